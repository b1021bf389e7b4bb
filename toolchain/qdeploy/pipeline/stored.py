"""A build folder read back: nothing in it is believed that its digests do not cover."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import importer
from qdeploy.diagnostics import InputError, Where
from qdeploy.ir import CompilerIdentity, Firmware, FixedNetwork, Network, program_digest
from qdeploy.pipeline.artifacts import MARKER
from qdeploy.pipeline.claims import Claim, read_claim
from qdeploy.reading import MalformedError, PathError, bytes_of, is_file, parse_json, shown

REBUILD = "build it again with qdeploy build"
_ADDRESSES = 1 << 32
_MOST_BYTES = 1 << 28
"""Of one file in the folder."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What `qdeploy build` left in a folder."""

    folder: Path
    summary: dict[str, Any]
    network: Network
    fixed: FixedNetwork
    claim: Claim
    firmware: Firmware


def read_build(folder: Path) -> Stored:
    """Read a folder and check its certificate against its model, and its image by digest.

    Raises:
        InputError: it is no build of ours, or a file in it is missing or damaged.
        RefusedError: the certificate does not check.
    """
    summary = _summary(folder)
    try:
        name, image = str(summary["model"]["file"]), dict(summary["firmware"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, MARKER, "it lacks model or firmware") from error
    network = importer.run(folder / "model" / Path(name).name)
    claim = read_claim(_bytes(folder, "certificate.json"), network)
    fixed = claim.certificate.program
    firmware = _firmware(folder, image, fixed)
    if "/" in firmware.board:
        raise _damaged(folder, MARKER, "its board is no board's name")
    if claim.subjects.get("firmware.elf") != hashlib.sha256(firmware.elf).hexdigest():
        raise _damaged(folder, "firmware/firmware.elf", "the certificate is for another image")
    return Stored(folder, summary, network, fixed, claim, firmware)


def _summary(folder: Path) -> dict[str, Any]:
    if not is_file(folder / MARKER):
        raise InputError(
            f"{shown(folder)} is no build folder",
            where=Where(shown(folder), f"no {MARKER}"),
            fix="give the folder that qdeploy build wrote",
        )
    try:
        data = parse_json(_bytes(folder, MARKER).decode("utf-8"))
    except (MalformedError, UnicodeDecodeError) as error:
        raise _damaged(folder, MARKER, f"it is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise _damaged(folder, MARKER, "it is no JSON object")
    return data


def _firmware(folder: Path, image: dict[str, Any], fixed: FixedNetwork) -> Firmware:
    try:
        name, _, version = str(image["compiler"]).partition(" ")
        compiler = CompilerIdentity(name, version, tuple(map(str, image["compiler_flags"])))
        return Firmware(
            board=str(image["board"]),
            elf=_bytes(folder, "firmware/firmware.elf"),
            hex=_optional(folder, "hex"),
            bin=_optional(folder, "bin"),
            map=_optional(folder, "map"),
            flash_bytes=_size(image["flash_bytes"]),
            ram_bytes=_size(image["ram_bytes"]),
            stack_bytes=None if image["stack_bytes"] is None else _size(image["stack_bytes"]),
            compiler=compiler,
            program_digest=program_digest(fixed),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, MARKER, f"its firmware part lacks {error}") from error


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < _ADDRESSES:
        raise ValueError("a number of bytes")
    return value


def _optional(folder: Path, form: str) -> bytes:
    """Return one form of the image; boards have those that make sense for them."""
    path = folder / "firmware" / f"firmware.{form}"
    return _bytes(folder, f"firmware/{path.name}") if is_file(path) else b""


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return bytes_of(folder / name, _MOST_BYTES)
    except PathError as error:
        raise _damaged(folder, name, str(error)) from error


def _damaged(folder: Path, name: str, why: str) -> InputError:
    return InputError(
        f"the build folder is damaged: {why}", where=Where(shown(folder), name), fix=REBUILD
    )
