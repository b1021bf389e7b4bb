"""A library in a folder, against what the program that it claims to be generates."""

from pathlib import Path

from qdeploy.diagnostics import InputError, RefusedError, Where
from qdeploy.ir import SourceTree
from qdeploy.reading import PathError, SizeError, bytes_of, is_folder, names_in, shown

C_FILES = frozenset({".c", ".h", ".s", ".S"})
"""A file of these in a library could change what is compiled."""
_FIX = "give OUT/library of a build"


def check_stored(library: SourceTree, folder: Path) -> None:
    """Compare a stored library with the generated one, byte for byte.

    Raises:
        RefusedError: they differ; the first file is named.
        InputError: the folder cannot be read.
    """
    names = _names(folder)
    for name, content in library.files.items():
        if name not in names:
            raise RefusedError(f"sources: {name} is missing from {shown(folder)}")
        if not _holds(folder / name, content):
            raise RefusedError(f"sources: {name} is not what the certified program generates")
    for name in names:
        if Path(name).suffix in C_FILES and name not in library.files:
            raise RefusedError(f"sources: {name} is no file the certified program generates")


def _names(folder: Path) -> tuple[str, ...]:
    if not is_folder(folder):
        raise InputError(f"there is no folder {shown(folder)}", fix=_FIX)
    try:
        return names_in(folder)
    except PathError as problem:
        what = f"the folder cannot be read: {problem}"
        raise InputError(what, where=Where(shown(folder)), fix=_FIX) from problem


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file has exactly this content."""
    try:
        return bytes_of(path, len(content)) == content
    except SizeError:
        return False
    except PathError as problem:
        what = f"source file {path.name} cannot be read: {problem}"
        raise InputError(what, where=Where(shown(path)), fix=_FIX) from problem
