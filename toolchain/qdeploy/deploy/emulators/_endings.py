"""How an emulator ended, told to the author of a board or to the user of one of ours."""

from qdeploy.boards import Board
from qdeploy.diagnostics import MissingToolError, Where


def ended(words: str, board: Board) -> MissingToolError:
    """Return the error of an emulator that stopped on its own; `words` say how."""
    tool = "" if board.emulator is None else board.emulator.tool
    what = f"the emulator {tool} stopped: {words}"
    if board.own:
        return MissingToolError(what, where=Where(board.file), fix=f"{CHECK}; {KEEP}")
    return MissingToolError(what, fix="run it again; if it happens again, report it as a bug")


CHECK = "check cpu, [memory], [uart] and qd_board_init() against what the emulator models"
KEEP = "qdeploy build --no-run keeps the image, to be tried by hand"
