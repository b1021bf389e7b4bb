"""Boards: one folder each, with the facts in board.toml and the registers in board.c."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from qdeploy.boards._board import Board, Emulator, Flasher, Hardware, Region, Uart, Verified
from qdeploy.boards._facts import facts, first_difference
from qdeploy.boards._reader import CPUS, read_board, read_facts
from qdeploy.boards._sources import ENTRY, FACTS, SOURCES_IN, from_here, read_sources
from qdeploy.diagnostics import InputError, UsageError, Where
from qdeploy.reading import PathError, is_file, resolved, shown
from qdeploy.resources import folder

__all__ = [
    "CPUS",
    "DEFAULT",
    "ENTRY",
    "FACTS",
    "SOURCES_IN",
    "Board",
    "Emulator",
    "Flasher",
    "Hardware",
    "Region",
    "Uart",
    "Verified",
    "all_boards",
    "facts",
    "first_difference",
    "from_here",
    "load",
    "read_board",
    "read_facts",
    "read_sources",
]

DEFAULT = "virtual-m4"


@cache
def all_boards() -> Mapping[str, Board]:
    """Every board that comes with qdeploy, by name, sorted."""
    homes = sorted(entry for entry in folder("boards").iterdir() if entry.is_dir())
    return MappingProxyType({home.name: read_board(home) for home in homes})


def load(name: str) -> Board:
    """Return a board by its name, or by the path of a folder of your own (with a `/` in it).

    Raises:
        UsageError: there is no such board; it suggests one.
        InputError: the folder's board.toml is wrong.
    """
    if "/" in name:
        return replace(read_board(_own(Path(name))), own=True)
    boards = all_boards()
    if name in boards:
        return boards[name]
    raise UsageError(
        f"there is no board {name[:80]!r}",
        fix=f"{_hint(name)}the boards are {', '.join(boards)}; or give the folder of your own",
    )


def _own(folder: Path) -> Path:
    try:
        return resolved(folder)
    except PathError as problem:
        raise InputError(
            f"the board cannot be read: {problem}",
            where=Where(shown(folder)),
            fix="give a folder with board.toml and board.c; see docs/add-a-board.md",
        ) from problem


def _hint(name: str) -> str:
    if name and is_file(Path.cwd() / name / FACTS):
        return f"write ./{name} for the folder here; "
    near = difflib.get_close_matches(name, all_boards(), n=1)
    return f"did you mean {near[0]}? " if near else ""
