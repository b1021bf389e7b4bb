"""A build folder read back: nothing in it is believed that its certificate does not cover.

What is used or told comes from the checked certificate, or from files whose digest it names.
build.json is an account of all that; wherever it says something else, the folder is refused.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import crossbuild, generate, importer, proof
from qdeploy.diagnostics import InputError, RefusedError, Where
from qdeploy.ir import CompilerIdentity, Firmware, FixedNetwork, Network, program_digest
from qdeploy.pipeline import outfolder
from qdeploy.pipeline.agreement import check_account
from qdeploy.pipeline.artifacts import LARGEST_FILE, MARKER, has_digest
from qdeploy.pipeline.claims import Claim, check_claim
from qdeploy.pipeline.summary import derived_summary, describe_firmware
from qdeploy.reading import (
    MalformedError,
    PathError,
    bytes_of,
    exists,
    is_file,
    parse_json,
    shown,
)

REBUILD = "build it again with qdeploy build"
MAKING = "firmware/firmware.json"
"""How the image came about, and for which board."""
_CERTIFICATE = "certificate.json"
_NEEDED = ("firmware.elf", "firmware.json", "library", outfolder.VECTORS)
_FORMS = frozenset({"hex", "bin", "map"})
"""Of the image, which boards have where they make sense."""
_ADDRESSES = 1 << 32


@dataclass(frozen=True, slots=True)
class Parts:
    """What lies in a build folder, every file being the one that the certificate names."""

    folder: Path
    account: Mapping[str, Any]
    """What build.json states, unchecked."""
    content: bytes
    """Of certificate.json."""
    statement: proof.Statement
    network: Network
    firmware: Firmware


@dataclass(frozen=True, slots=True)
class Stored:
    """What `qdeploy build` left in a folder, checked."""

    folder: Path
    network: Network
    fixed: FixedNetwork
    claim: Claim
    firmware: Firmware
    summary: dict[str, Any]
    """What build.json says, as far as it was derived again."""
    board_folder: str | None
    """The way from the folder to the user's own board; None for a board of qdeploy."""


def read_build(folder: Path, operations: int = proof.DEFAULT_OPERATIONS) -> Stored:
    """Read a folder, check its certificate against its model, and all else against that.

    Raises:
        InputError: it is no build of ours, or a file in it is missing or damaged.
        RefusedError: the certificate does not check, or something is not what it is about.
    """
    parts = read_parts(folder)
    claim = proven_claim(parts, operations)
    summary = {
        **derived_summary(parts.network, claim.certificate, claim.statement),
        "firmware": describe_firmware(parts.firmware),
    }
    check_account(folder, parts.account, summary)
    _check_files(folder, parts.account)
    fixed = claim.certificate.program
    board = _board_folder(folder, parts.account)
    return Stored(folder, parts.network, fixed, claim, parts.firmware, summary, board)


def _board_folder(folder: Path, account: Mapping[str, Any]) -> str | None:
    found = account.get("board_folder")
    if found is not None and not isinstance(found, str):
        raise _damaged(folder, MARKER, "its board_folder is no path")
    return found


def read_parts(folder: Path) -> Parts:
    """Read a folder and compare its files with what its certificate names; prove nothing.

    Raises:
        InputError: it is no build of ours, or a file in it is missing or damaged.
        RefusedError: something is not what the certificate is about.
    """
    account = _account(folder)
    content = _bytes(folder, _CERTIFICATE)
    statement = proof.read(content)
    network = importer.run(folder / "model" / _model_name(folder, statement))
    if network.source.sha256 != statement.certificate.model_sha256:
        raise RefusedError("model: the certificate is for another model file")
    files = _named_files(folder, statement)
    _check_library(folder, statement)
    firmware = _firmware(folder, files, statement.certificate.program)
    return Parts(folder, account, content, statement, network, firmware)


def proven_claim(parts: Parts, operations: int) -> Claim:
    """Prove the bounds of a folder's certificate again, in so many operations at most.

    Raises:
        RefusedError: they do not hold.
    """
    return check_claim(parts.statement, parts.content, parts.network, operations)


def _account(folder: Path) -> Mapping[str, Any]:
    if not is_file(folder / MARKER):
        raise InputError(
            f"{shown(folder)} is no build folder",
            where=Where(shown(folder), f"no {MARKER}"),
            fix="give the folder that qdeploy build wrote",
        )
    data = _json(folder, MARKER, _bytes(folder, MARKER))
    if not {"model", "firmware", "certificate"} <= data.keys():
        raise _damaged(folder, MARKER, "it lacks model, certificate or firmware")
    return data


def _json(folder: Path, name: str, content: bytes) -> Mapping[str, Any]:
    try:
        data = parse_json(content.decode("utf-8"))
    except (MalformedError, UnicodeDecodeError) as error:
        raise _damaged(folder, name, f"it is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise _damaged(folder, name, "it is no JSON object")
    return data


def _model_name(folder: Path, statement: proof.Statement) -> str:
    name = statement.certificate.model_name
    if name in ("", "..") or name != Path(name).name:
        raise _damaged(folder, _CERTIFICATE, "its model's name is no file name")
    return name


def _named_files(folder: Path, statement: proof.Statement) -> dict[str, bytes]:
    """Return the files that the certificate names, each being what it names."""
    for name in _NEEDED:
        if name not in statement.subjects:
            raise _damaged(folder, _CERTIFICATE, f"the certificate names no {name}")
    _check_forms(folder, statement)
    found = {}
    for name, digest in statement.subjects.items():
        if name == "library" or name.startswith("model/"):
            continue
        place = name if name == outfolder.VECTORS else f"firmware/{name}"
        found[name] = _bytes(folder, place)
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise _other(folder, place, f"{name} is not the file that the certificate names")
    return found


def _check_forms(folder: Path, statement: proof.Statement) -> None:
    """Refuse an image in a form that nobody vouches for, and that might be flashed."""
    for form in sorted(_FORMS):
        name = f"firmware.{form}"
        if exists(folder / "firmware" / name) and name not in statement.subjects:
            raise _other(folder, f"firmware/{name}", f"the certificate names no {name}")


def _check_library(folder: Path, statement: proof.Statement) -> None:
    certificate = statement.certificate
    library = generate.library(certificate.program, certificate.library_name)
    if statement.subjects["library"] != proof.tree_digest(library):
        raise _other(folder, _CERTIFICATE, "the certificate is for another library")
    try:
        generate.check_stored(library, certificate.library_name, folder / "library")
    except RefusedError as refusal:
        raise _other(folder, "library", refusal.what) from refusal


def _firmware(folder: Path, files: Mapping[str, bytes], fixed: FixedNetwork) -> Firmware:
    made = _json(folder, MAKING, files["firmware.json"])
    elf = files["firmware.elf"]
    image = crossbuild.measure(elf)
    if image.program_digest != program_digest(fixed):
        raise _other(folder, "firmware/firmware.elf", "the image runs another program")
    try:
        name, _, version = str(made["compiler"]).partition(" ")
        stack = made["stack_bytes"]
        firmware = Firmware(
            board=str(made["board"]),
            elf=elf,
            hex=files.get("firmware.hex", b""),
            bin=files.get("firmware.bin", b""),
            map=files.get("firmware.map", b""),
            flash_bytes=image.flash_bytes,
            ram_bytes=image.ram_bytes,
            stack_bytes=None if stack is None else _size(stack),
            compiler=CompilerIdentity(name, version, tuple(map(str, made["compiler_flags"]))),
            program_digest=image.program_digest,
            model_symbol=image.model_symbol,
            board_facts=_facts(made["board_facts"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, MAKING, f"it lacks {error}") from error
    if "/" in firmware.board:
        raise _damaged(folder, MAKING, "its board is no board's name")
    return firmware


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < _ADDRESSES:
        raise ValueError("a number of bytes")
    return value


def _facts(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("board_facts")
    return value


def _check_files(folder: Path, account: Mapping[str, Any]) -> None:
    """Compare every file with its digest in build.json: pages are named by nothing else."""
    stated = account.get("files")
    if not isinstance(stated, dict):
        raise _damaged(folder, MARKER, "it lacks files")
    for name, digest in sorted(stated.items()):
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise _damaged(folder, MARKER, f"{name[:80]!r} is no file of the folder")
        if not has_digest(folder / name, digest):
            said = shown(Path(name))
            raise _other(folder, said, f"{said} is not the file that {MARKER} states")


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return bytes_of(folder / name, LARGEST_FILE)
    except PathError as error:
        raise _damaged(folder, name, str(error)) from error


def _damaged(folder: Path, name: str, why: str) -> InputError:
    return InputError(
        f"the build folder is damaged: {why}", where=Where(shown(folder), name), fix=REBUILD
    )


def _other(folder: Path, name: str, what: str) -> RefusedError:
    return RefusedError(what, where=Where(shown(folder), name), fix=REBUILD)
