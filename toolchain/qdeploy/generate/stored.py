"""A library in a folder, against what the program that it claims to be generates."""

from pathlib import Path

from qdeploy.diagnostics import InputError, RefusedError
from qdeploy.ir import SourceTree

C_FILES = frozenset({".c", ".h", ".s", ".S"})
"""A file of these in a library could change what is compiled."""


def check_stored(library: SourceTree, folder: Path) -> None:
    """Compare a stored library with the generated one, byte for byte.

    Raises:
        RefusedError: they differ; the first file is named.
        InputError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", fix="give OUT/library of a build")
    for name, content in library.files.items():
        path = folder / name
        if not path.is_file():
            raise RefusedError(f"sources: {name} is missing from {folder}")
        if _start(path, len(content) + 1) != content:
            raise RefusedError(f"sources: {name} is not what the certified program generates")
    for path in sorted(folder.iterdir()):
        if path.suffix in C_FILES and path.name not in library.files:
            raise RefusedError(f"sources: {path.name} is no file the certified program generates")


def _start(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(length)
    except OSError as error:
        raise InputError(
            f"source file {path.name} cannot be read: {error.strerror}",
            fix="give files that qdeploy build wrote",
        ) from error
