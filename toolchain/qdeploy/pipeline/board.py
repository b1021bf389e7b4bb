"""The board that a build folder is run on: the one it was made for, as it is now.

A build keeps its board's facts, so it needs nothing else. Where the board itself is still there, or
another one is named, it has to be what the image was built for, and says the rest: its emulator,
its USB numbers.
"""

from dataclasses import replace

from qdeploy import boards
from qdeploy.boards import Board
from qdeploy.diagnostics import InputError, Where
from qdeploy.pipeline.stored import MAKING, REBUILD, Stored
from qdeploy.reading import is_file


def choose_board(stored: Stored, asked: str | None) -> Board:
    """Return the named board, or the one of the build.

    Raises:
        UsageError: there is no such board.
        InputError: it cannot be read, or the image was built for other hardware.
    """
    kept = _kept(stored)
    if asked is not None:
        chosen = boards.load(asked)
        _require_same(kept, chosen, f"{chosen.name} is not the board of {stored.folder}")
        return chosen
    chosen = _as_it_is_now(stored, kept)
    _require_same(kept, chosen, f"board {kept.name} has changed since {stored.folder} was built")
    return chosen


def _kept(stored: Stored) -> Board:
    file = str(stored.folder / MAKING)
    board = boards.read_facts(dict(stored.firmware.board_facts), stored.firmware.board, file)
    return replace(board, own=stored.board_folder is not None)


def _as_it_is_now(stored: Stored, kept: Board) -> Board:
    """Return the board if it is still where it was; else what the build knows of it."""
    if stored.board_folder is not None:
        home = stored.folder / stored.board_folder
        if not is_file(home / boards.FACTS):
            return kept
        return replace(boards.load(f"{home}/"), name=kept.name)
    return boards.all_boards().get(kept.name, kept)


def _require_same(kept: Board, chosen: Board, what: str) -> None:
    difference = boards.first_difference(kept, chosen)
    if difference is None:
        return
    key, was, now = difference
    raise InputError(
        f"{what}: its {key} is {_shown(key, now)}, the image was built for {_shown(key, was)}",
        where=Where(chosen.file, key),
        fix=f"{REBUILD}, or name the board that it was made for with --board",
    )


def _shown(key: str, value: object) -> str:
    if isinstance(value, int) and key.rpartition(".")[2] in ("start", "base"):
        return f"{value:#010x}"
    return "not given" if value is None else str(value)
