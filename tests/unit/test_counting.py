"""A count is said only by a counter that is right about loops of known length."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import boards
from qdeploy.deploy import counting
from qdeploy.deploy._members import known_emulators
from qdeploy.deploy._protocol import Answers, NoSuchRequestError

BOARD = boards.load("mps2-an385")
QEMU, UNICORN = known_emulators()["qemu"], known_emulators()["unicorn"]
CODES = np.zeros((1, 2), dtype=np.int64)


class Counter:
    """A device whose inferences take 3024 instructions; `show` is what its counter makes of n."""

    def __init__(self, show):
        self._show = show
        self.asked = []

    def infer(self, codes):
        return Answers(np.zeros((len(codes), 1)), (self._show(3024 - 1),) * len(codes))

    def count_loop(self, turns):
        self.asked.append(turns)
        return self._show(2 * turns)


def at(clock_hz):
    """A SysTick of that clock in QEMU's virtual time, for a board that states 25 MHz."""
    tick_ns = Fraction(10**9, clock_hz)
    return lambda instructions: int(instructions * 128 / tick_ns)


def qemu(show, board=BOARD):
    return counting.count_instructions(Counter(show), CODES, QEMU, board)


def test_a_counter_that_is_right_is_believed():
    assert qemu(at(25_000_000)) == counting.Cost(3024)
    exact = counting.count_instructions(Counter(lambda n: n), CODES, UNICORN, BOARD)
    assert exact == counting.Cost(3024)


def test_the_loop_is_as_long_as_the_inference():
    """So that what overflows, or stops, on the way is noticed."""
    slow = Counter(lambda n: n)
    slow.infer = lambda codes: Answers(np.zeros((1, 1)), (123_456,))
    counting.count_instructions(slow, CODES, UNICORN, BOARD)
    assert max(slow.asked) * 2 >= 123_457
    slow.infer = lambda codes: Answers(np.zeros((1, 1)), (0x7FFF_FFFF,))
    counting.count_instructions(slow, CODES, UNICORN, BOARD)
    assert max(slow.asked) == counting.MOST_TURNS


@pytest.mark.parametrize(
    "clock",
    [
        1_000_000,
        12_000_000,
        12_500_000,
        16_000_000,
        24_576_000,
        26_000_000,
        50_000_000,
        168_000_000,
    ],
)
def test_another_clock_is_noticed_and_named(clock):
    found = qemu(at(clock))
    assert found.count is None
    assert " instructions counts as " in found.why_not
    assert "clock_hz = 25000000 in board.toml is not the emulator's clock" in found.why_not
    named = int(found.why_not.split("clock_hz = ")[-1].split()[0])
    assert abs(named - clock) <= clock / 2000
    if clock != 24_576_000:
        assert named == clock


@pytest.mark.parametrize(
    ("show", "says"),
    [
        (lambda n: 0, "a loop of 10000 instructions counts as 0"),
        (lambda n: None if n > 5000 else n * 16 // 5, "counts as more than the counter holds"),
        (lambda n: min(n, 9000) * 16 // 5, "counts as 9000"),
        (lambda n: (n + 1) * 16 // 5, "counts as 10001"),
        (lambda n: (n - (n < 200)) * 16 // 5, "a loop of 100 instructions counts as 99"),
    ],
    ids=["stands still", "overflows", "stops", "an instruction more", "a loss at the start"],
)
def test_any_other_fault_is_noticed_too(show, says):
    found = qemu(show)
    assert found.count is None
    assert says in found.why_not


def test_a_miscounting_emulator_without_a_clock_does_not_blame_one():
    found = counting.count_instructions(Counter(lambda n: n // 2), CODES, UNICORN, BOARD)
    assert found == counting.Cost(None, "a loop of 10000 instructions counts as 5000")


def test_an_inference_cannot_cost_less_than_nothing():
    device = Counter(lambda n: n)
    device.infer = lambda codes: Answers(np.zeros((1, 1)), (-30,))
    assert (
        "less than an empty function"
        in counting.count_instructions(device, CODES, UNICORN, BOARD).why_not
    )
    assert counting.count_cycles(device, (3000, -1)).count is None


def test_an_inference_beyond_the_counter_has_no_count():
    assert "does not fit" in qemu(lambda n: None).why_not


def old_firmware(turns):
    raise NoSuchRequestError("no such request")


def test_a_firmware_without_the_loop_counts_nothing():
    device = Counter(lambda n: n)
    device.count_loop = old_firmware
    for cost in (
        counting.count_instructions(device, CODES, UNICORN, BOARD),
        counting.count_cycles(device, (3024,)),
    ):
        assert cost.count is None
        assert "build it again" in cost.why_not


@pytest.mark.parametrize("each", [0.5, 1.0, 1.5, 2.0, 6.5])
def test_cycles_that_a_core_may_take_are_believed(each):
    """A turn is two instructions: one cycle on a Cortex-M7, three or four on most others."""
    cost = counting.count_cycles(Counter(lambda n: int(each * n) + 12), (3000, 3100, 3050))
    assert cost == counting.Cost(3100)


@pytest.mark.parametrize(
    "show",
    [
        lambda n: 0,
        lambda n: n // 84,  # microseconds
        lambda n: n // 8 * 3 // 2,  # SysTick at an eighth of the clock
        lambda n: 100 * n,
        lambda n: 5000,  # whatever was asked
        lambda n: n * 2 % 4096,  # twelve bits
        lambda n: None,
    ],
    ids=["nothing", "microseconds", "an eighth", "nanoseconds", "constant", "wraps", "overflows"],
)
def test_what_counts_no_cycles_is_not_believed(show):
    cost = counting.count_cycles(Counter(show), (3000,))
    assert cost.count is None
    assert cost.why_not


def test_one_overflow_among_the_vectors_is_no_maximum():
    assert counting.count_cycles(Counter(lambda n: n), (3000, None)).count is None


def test_a_clock_that_is_stated_right_is_not_blamed():
    faster = replace(BOARD, hardware=replace(BOARD.hardware, clock_hz=12_500_000))
    assert qemu(lambda n: int(n * Fraction(256, 80)), faster) == counting.Cost(3024)
    assert "board.toml" not in qemu(lambda n: int((n + 1) * Fraction(256, 80)), faster).why_not
