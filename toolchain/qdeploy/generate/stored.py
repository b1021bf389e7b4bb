"""A library in a folder, against what the program that it claims to be generates."""

from pathlib import Path

from qdeploy.diagnostics import InputError, RefusedError, Where
from qdeploy.generate.library import file_name
from qdeploy.ir import SourceTree
from qdeploy.reading import PathError, SizeError, bytes_of, is_folder, names_in, shown

C_FILES = frozenset({".c", ".h", ".s", ".S"})
"""A file of these in a library could change what is compiled."""
_FIX = "give OUT/library of a build"


def check_stored(library: SourceTree, name: str | None, folder: Path) -> None:
    """Compare a stored library with the generated one of this name, byte for byte.

    Raises:
        RefusedError: they differ; the first file is named.
        InputError: the folder cannot be read.
    """
    found = _names(folder)
    _require_called(name, found, folder)
    for file, content in library.files.items():
        if file not in found:
            raise RefusedError(f"sources: {file} is missing from {shown(folder)}")
        if not _holds(folder / file, content):
            raise RefusedError(f"sources: {file} is not what the certified program generates")
    for file in found:
        if Path(file).suffix in C_FILES and file not in library.files:
            raise RefusedError(f"sources: {file} is no file the certified program generates")


def _require_called(name: str | None, found: tuple[str, ...], folder: Path) -> None:
    """Refuse a library of another name by that, before its files are looked at one by one."""
    if {f"{file_name(name)}.c", f"{file_name(name)}.h"}.isdisjoint(found):
        known = f"called {name}" if name else "without a name"
        what = f"sources: the certificate is for a library {known}, not for {shown(folder)}"
        raise RefusedError(what)


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
