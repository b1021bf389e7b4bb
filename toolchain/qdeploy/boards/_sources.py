"""The C and assembly files of a board's folder: board.c, and whatever it builds on.

Read within limits, and from inside the folder alone: no link leads out of it.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from qdeploy.diagnostics import InputError, Where
from qdeploy.reading import PathError, SizeError, bytes_of, is_file, resolved, shown

ENTRY = "board.c"
FACTS = "board.toml"
SOURCES_IN = "board"
"""The folder of a board's files among all those of a firmware."""
SUFFIXES = (".c", ".h", ".S", ".s")
MOST_FILES = 1000
MOST_BYTES = 1 << 26
_MOST_ENTRIES = 20_000


def read_sources(home: Path) -> Mapping[str, bytes]:
    """Return every source and header in and below a folder, by its path inside, sorted.

    What begins with a dot is left out, and what is neither C nor assembly.

    Raises:
        InputError: a file leads out of the folder or is none, or there is more than anybody needs.
    """
    found: dict[str, bytes] = {}
    size = 0
    for path in _candidates(home):
        name = path.relative_to(home).as_posix()
        _check(path, name, home)
        data = _content(path, name, home)
        size += len(data)
        if len(found) >= MOST_FILES or size > MOST_BYTES:
            raise _too_much(home)
        found[name] = data
    return dict(sorted(found.items()))


def _candidates(home: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(home, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen += len(folders) + len(files)
        if seen > _MOST_ENTRIES:
            raise _wrong(
                home, f"the board has more than {_MOST_ENTRIES} files", "name a folder of its own"
            )
        for name in folders:
            if (Path(place) / name).is_symlink():
                _check_inside(Path(place) / name, home)
        yield from (
            Path(place) / name
            for name in sorted(files)
            if name.endswith(SUFFIXES) and not name.startswith(".")
        )


def _check(path: Path, name: str, home: Path) -> None:
    _check_inside(path, home)
    if not is_file(path):
        raise _wrong(path, f"{name} is no file", "a board's sources are plain files")
    if not name.isprintable():
        raise _wrong(home, f"the name {name!r} cannot be printed", "rename the file")


def _check_inside(path: Path, home: Path) -> None:
    name = path.relative_to(home).as_posix()
    try:
        inside = resolved(path).is_relative_to(resolved(home))
    except PathError as problem:
        raise _wrong(path, f"{name} cannot be read: {problem}", "remove it") from problem
    if not inside:
        raise _wrong(path, f"{name} leads out of the board's folder", "copy into it what it needs")


def _content(path: Path, name: str, home: Path) -> bytes:
    try:
        return bytes_of(path, MOST_BYTES)
    except SizeError as problem:
        raise _too_much(home) from problem
    except PathError as problem:
        raise _wrong(path, f"{name} cannot be read: {problem}", "make it readable") from problem


def _too_much(home: Path) -> InputError:
    return _wrong(
        home,
        f"the board has more than {MOST_FILES} sources and headers, or {MOST_BYTES >> 20} MiB of "
        "them",
        "leave those there that it needs",
    )


def _wrong(path: Path, what: str, fix: str) -> InputError:
    return InputError(what, where=Where(from_here(path)), fix=f"{fix}; see docs/add-a-board.md")


def from_here(path: Path) -> str:
    """Return a path as a person would type it: from where they are, if it lies below."""
    try:
        return shown(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # it lies elsewhere, or where they are is gone
        return shown(path)
