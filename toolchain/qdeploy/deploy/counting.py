"""What an inference costs, said only where the counter is right about a loop of known length.

A counter is software, a clock in a board.toml and an emulator's idea of time; any of them may be
wrong, and its number then looks like any other. So the device also counts loops whose number of
instructions is known, a short one and one that is as long as the inference. On an emulator they
must come out exactly; on silicon, where cycles differ between cores, plausibly.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.boards import Board
from qdeploy.deploy._protocol import Device, EmulatorTool, NoSuchRequestError

_SHORT_TURNS = 50
_LONG_TURNS = 5000
MOST_TURNS = 1 << 23
"""That a device takes."""
_A_TURN = 2
"""Instructions."""
_FASTEST, _SLOWEST = Fraction(2, 5), 16
"""Core cycles an instruction of the loop: two at once and every branch foreseen, or each fetched
from a slow flash."""
_CROOKED = Fraction(1, 4)
"""By how much ten times as many turns may cost more or less than ten times as much."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one inference costs, or why nobody can say."""

    count: int | None
    why_not: str = ""
    """In words; empty where there is a count, or nothing to count with."""


NOTHING = Cost(None)
_TOO_LONG = Cost(None, "an inference does not fit the board's counter")
_TOO_SHORT = Cost(None, "an inference counts as less than an empty function")
NO_COUNTER = Cost(None, "qd_board_counter() of board.c says that there is no counter")
NO_CYCLES = Cost(
    None, "an emulator has no cycles; let qd_board_counter() of board.c return QD_COUNTER_TICKS"
)
UNKNOWN_TICKS = Cost(
    None,
    "SysTick counts cycles on silicon and none on an emulator, and a port does not say which is "
    "behind it",
)
_CANNOT_CHECK = Cost(
    None, "the firmware has no loop of known length to check its counter with; build it again"
)


def count_instructions(
    device: Device, codes: NDArray[np.int64], tool: EmulatorTool, board: Board
) -> Cost:
    """Return the instructions of one inference, of a device in an emulator that counts."""
    (ticks,) = device.infer(codes[:1]).counts
    if ticks is None:
        return _TOO_LONG
    # The empty function that was subtracted consists of its return.
    instructions = tool.instructions(ticks, board) + 1
    if instructions < 1:
        return _TOO_SHORT
    as_long = -(-instructions // _A_TURN)
    for turns in (min(max(_LONG_TURNS, as_long), MOST_TURNS), _SHORT_TURNS):
        try:
            shown = device.count_loop(turns)
        except NoSuchRequestError:
            return _CANNOT_CHECK
        counted = None if shown is None else tool.instructions(shown, board)
        if counted != _A_TURN * turns:
            return Cost(None, _miscounted(turns, counted, tool, board))
    return Cost(instructions)


def _miscounted(turns: int, counted: int | None, tool: EmulatorTool, board: Board) -> str:
    shown = "more than the counter holds" if counted is None else str(counted)
    said = f"a loop of {_A_TURN * turns} instructions counts as {shown}"
    if not counted or not tool.keeps_time or board.hardware is None:
        return said
    stated = board.hardware.clock_hz
    fitting = _likely_clock(stated, counted, _A_TURN * turns)
    if fitting == stated:
        return said
    return (
        f"{said}: clock_hz = {stated} in board.toml is not the emulator's clock; "
        f"clock_hz = {fitting} would fit"
    )


def _likely_clock(stated: int, counted: int, expected: int) -> int:
    """Return the roundest clock at which the counter would have been right, to an instruction."""
    lowest = Fraction(stated * (counted - 1), expected)
    highest = Fraction(stated * (counted + 1), expected)
    middle = (lowest + highest) / 2
    for power in range(len(str(int(highest))), 0, -1):
        rounded = int(round(middle, -power))
        if rounded and lowest <= rounded <= highest:
            return rounded
    return int(middle)


def count_cycles(device: Device, counts: tuple[int | None, ...]) -> Cost:
    """Return the most cycles that an inference took, if the device's counter is plausible."""
    found = [count for count in counts if count is not None]
    if len(found) < len(counts):
        return _TOO_LONG
    if min(found) < 0:
        return _TOO_SHORT
    try:
        short, long = (device.count_loop(turns) for turns in (_LONG_TURNS // 10, _LONG_TURNS))
    except NoSuchRequestError:
        return _CANNOT_CHECK
    if short is None or long is None:
        return _TOO_LONG
    cycles_each = Fraction(long, _A_TURN * _LONG_TURNS)
    straight = abs(long - 10 * short) <= _CROOKED * long
    if straight and _FASTEST <= cycles_each <= _SLOWEST:
        return Cost(max(found))
    return Cost(
        None,
        f"the counter shows {short} and {long} cycles for loops of {_A_TURN * _LONG_TURNS // 10} "
        f"and {_A_TURN * _LONG_TURNS} instructions, which no core takes",
    )
