"""Boards: one folder each, with the facts in board.toml and the registers in board.c."""

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from qdeploy.boards._board import Board, Emulator, Flasher, Hardware, Region, Uart, Verified
from qdeploy.boards._reader import CPUS, read_board
from qdeploy.diagnostics import InputError, UsageError, Where
from qdeploy.reading import PathError, resolved, shown
from qdeploy.resources import folder

__all__ = [
    "CPUS",
    "DEFAULT",
    "Board",
    "Emulator",
    "Flasher",
    "Hardware",
    "Region",
    "Uart",
    "Verified",
    "all_boards",
    "load",
    "read_board",
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
        return read_board(_own(Path(name)))
    boards = all_boards()
    if name in boards:
        return boards[name]
    near = difflib.get_close_matches(name, boards, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"there is no board {name[:80]!r}",
        fix=f"{hint}the boards are {', '.join(boards)}; or give the folder of your own",
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
