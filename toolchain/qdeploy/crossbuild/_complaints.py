"""What a compiler or linker says about a board's own files, told as the user's mistake that it is.

Our files compile and link under every compiler, which the tests see to; so what fails in a board's
folder, or for want of something in it, is for its author to correct. All else is a bug of ours.
"""

import re
from pathlib import Path

from qdeploy.boards import ENTRY, SOURCES_IN, Board, from_here
from qdeploy.crossbuild._process import ToolFailedError
from qdeploy.diagnostics import InputError, Where, visible

_MOST_LINES = 12
_LONGEST_LINE = 160
_OWN = re.compile(rf"(?<![\w./-]){SOURCES_IN}/")
_PLACE = re.compile(rf"^{SOURCES_IN}/([^:\n]+):(\d+)(?::\d+)?: (?:fatal )?error\b", re.MULTILINE)
_MENTIONED = re.compile(rf"(?<![\w./-]){SOURCES_IN}/([^:\s]+):(\d+)")
"""Where an error stands in a header of ours, the line that includes it."""
_UNDEFINED = re.compile(r"(?:undefined reference to [`']|undefined symbol: )([\w.$]+)")
_TWICE = re.compile(r"(?:multiple definition of [`']|duplicate symbol: )([\w.$]+)")
_OBJECT = re.compile(rf"(?<![\w./-]){SOURCES_IN}/([^\s:()]+)\.o\b")
_IMPLEMENTED_BY_BOARDS = "qd_board_"


def not_compiling(error: ToolFailedError, name: str, board: Board) -> InputError:
    """Return what to tell about a file of the board's folder that does not compile."""
    place = _PLACE.search(error.output) or _MENTIONED.search(error.output)
    file, line = (place[1], f":{place[2]}") if place else (name, "")
    return InputError(
        f"{name} does not compile\n{_quoted(error.output, board)}",
        where=Where(f"{_shown(file, board)}{line}"),
        fix="correct it there; docs/add-a-board.md says what a board may use",
    )


def not_linking(error: ToolFailedError, board: Board) -> InputError | None:
    """Return what to tell about a board that does not link; None where it is not its fault."""
    undefined, twice = (sorted(set(p.findall(error.output))) for p in (_UNDEFINED, _TWICE))
    concerned = _OBJECT.search(error.output)
    missing = [name for name in undefined if name.startswith(_IMPLEMENTED_BY_BOARDS)]
    if not (concerned or missing) or not (undefined or twice):
        return None
    said = [f"{name} is nowhere defined" for name in undefined]
    said += [f"{name} is defined twice" for name in twice]
    file = concerned[1] if concerned and not missing else ENTRY
    return InputError(
        f"the board does not link: {', '.join(said)}\n{_quoted(error.output, board)}",
        where=Where(_shown(file, board)),
        fix="define it once in a file of the board's folder; of the C library there are memcpy and "
        "memset and nothing else; see docs/add-a-board.md",
    )


def _quoted(output: str, board: Board) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    named = [_OWN.sub(f"{_shown('', board)}/", line) for line in lines]
    cut = [visible(line.expandtabs().rstrip())[:_LONGEST_LINE] for line in named]
    shown = [f"    {line}" for line in cut[:_MOST_LINES]]
    if len(cut) > _MOST_LINES:
        shown.append(f"    and {len(cut) - _MOST_LINES} more lines")
    return "\n".join(shown)


def _shown(name: str, board: Board) -> str:
    """Return the user's own name for a file of the board's folder."""
    home = None if board.hardware is None else board.hardware.home
    return from_here((home or Path(SOURCES_IN)) / name)
