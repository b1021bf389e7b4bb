"""A build folder read back: nothing in it is believed that its digests do not cover."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import generate, importer
from qdeploy.diagnostics import InputError, Where
from qdeploy.ir import CompilerIdentity, Firmware, FixedNetwork, Network, program_digest
from qdeploy.pipeline.artifacts import MARKER
from qdeploy.pipeline.claims import Claim, read_claim
from qdeploy.proof import Certificate

REBUILD = "build it again with qdeploy build"


@dataclass(frozen=True, slots=True)
class Stored:
    """What `qdeploy build` left in a folder."""

    folder: Path
    summary: dict[str, Any]
    network: Network
    fixed: FixedNetwork
    claim: Claim
    firmware: Firmware
    board_folder: str | None
    """The way from the folder to the user's own board; None for a board of qdeploy."""


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
    firmware = _firmware(folder, image, claim.certificate)
    if "/" in firmware.board:
        raise _damaged(folder, MARKER, "its board is no board's name")
    if claim.subjects.get("firmware.elf") != hashlib.sha256(firmware.elf).hexdigest():
        raise _damaged(folder, "firmware/firmware.elf", "the certificate is for another image")
    return Stored(folder, summary, network, fixed, claim, firmware, _board_folder(folder, summary))


def _board_folder(folder: Path, summary: dict[str, Any]) -> str | None:
    found = summary.get("board_folder")
    if found is not None and not isinstance(found, str):
        raise _damaged(folder, MARKER, "its board_folder is no path")
    return found


def _summary(folder: Path) -> dict[str, Any]:
    if not (folder / MARKER).is_file():
        raise InputError(
            f"{folder} is no build folder",
            where=Where(str(folder), f"no {MARKER}"),
            fix="give the folder that qdeploy build wrote",
        )
    try:
        data = json.loads(_bytes(folder, MARKER))
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, MARKER, "it is no JSON") from error
    if not isinstance(data, dict):
        raise _damaged(folder, MARKER, "it is no JSON object")
    return data


def _firmware(folder: Path, image: dict[str, Any], certificate: Certificate) -> Firmware:
    digest = program_digest(certificate.program)
    try:
        name, _, version = str(image["compiler"]).partition(" ")
        compiler = CompilerIdentity(name, version, tuple(map(str, image["compiler_flags"])))
        return Firmware(
            board=str(image["board"]),
            elf=_bytes(folder, "firmware/firmware.elf"),
            hex=_optional(folder, "hex"),
            bin=_optional(folder, "bin"),
            map=_optional(folder, "map"),
            flash_bytes=int(image["flash_bytes"]),
            ram_bytes=int(image["ram_bytes"]),
            stack_bytes=image["stack_bytes"],
            compiler=compiler,
            program_digest=digest,
            board_facts=dict(image["board_facts"]),
            model_symbol=generate.Names(certificate.library_name, digest).symbol,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, MARKER, f"its firmware part lacks {error}") from error


def _optional(folder: Path, form: str) -> bytes:
    """Return one form of the image; boards have those that make sense for them."""
    path = folder / "firmware" / f"firmware.{form}"
    return path.read_bytes() if path.is_file() else b""


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(folder, name, error.strerror or "it cannot be read") from error


def _damaged(folder: Path, name: str, why: str) -> InputError:
    return InputError(
        f"the build folder is damaged: {why}", where=Where(str(folder), name), fix=REBUILD
    )
