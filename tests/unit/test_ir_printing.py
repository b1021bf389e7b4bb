"""A printed bound is never below the exact one, a printed attack never above."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.ir import Box
from qdeploy.ir.printing import float_down, float_up, side_text, text_down, text_up
from qdeploy.ir.region import float_above, float_below

numbers = st.fractions(min_value=-(10**30), max_value=10**30, max_denominator=10**40)


@given(numbers)
def test_up_is_above_and_close(value):
    number = float_up(value)
    assert Fraction(number) >= value
    assert Fraction(repr(number)) >= value
    assert abs(Fraction(number) - value) <= abs(value) / (1 << 50) + Fraction(1, 10**320)


@given(numbers)
def test_down_is_the_mirror_of_up(value):
    number = float_down(value)
    assert Fraction(number) <= value
    assert Fraction(repr(number)) <= value
    assert number == -float_up(-value)


@given(numbers)
def test_text_is_directed(value):
    assert Fraction(text_up(value)) >= value >= Fraction(text_down(value))


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [
        (Fraction(1, 3), "0.3334", "0.3333"),
        (Fraction(-1, 3), "-0.3333", "-0.3334"),
        (Fraction(5), "5", "5"),
        (Fraction(0), "0", "0"),
        (Fraction(1, 64), "0.01563", "0.01562"),
        (Fraction(1, 10**12), "1e-12", "1e-12"),
    ],
)
def test_text_of_some_numbers(value, up, down):
    assert (text_up(value), text_down(value)) == (up, down)


def test_zero_has_no_sign():
    assert str(float_down(Fraction(0))) == "0.0"


def test_what_no_double_holds_is_refused():
    with pytest.raises(OverflowError):
        float_up(Fraction(10) ** 400)


def box(low, high):
    made = Box.enclosing((Fraction(low),), (Fraction(high),))
    return made.lo[0], made.hi[0]


@pytest.mark.parametrize(
    ("low", "high", "printed"),
    [
        ("-3.15", "3.15", ("-3.15", "3.15")),
        ("-7.50", "7.5", ("-7.5", "7.5")),
        ("0", "1", ("0", "1")),
        ("0.1", "0.1", ("0.1", "0.1")),
        ("-100", "200", ("-100", "200")),
        ("1e-5", "123456789.125", ("0.00001", "123456789.125")),
        ("1e-7", "1e17", ("1e-7", "1e+17")),
        ("-1e300", "1e300", ("-1e+300", "1e+300")),
        ("1e-400", "1e-400", ("0", "4e-324")),
        ("0.3333333333333333333", "1", ("0.33333333333333332", "1")),
    ],
)
def test_a_box_is_printed_as_it_was_written(low, high, printed):
    assert side_text(*box(low, high)) == printed


@pytest.mark.parametrize(
    ("value", "printed"), [(0.5, "0.5"), (3.0, "3"), (0.1, "0.1 (double)"), (-0.0, "0")]
)
def test_a_side_without_width_is_a_double(value, printed):
    assert side_text(Fraction(value), Fraction(value)) == (printed, printed)


_DOUBLES = st.floats(-1e300, 1e300)


@given(_DOUBLES, _DOUBLES | st.integers(0, 3))
def test_of_what_is_printed_everything_lies_in_the_box(one, other):
    """`other` is another end, or how many doubles further the side ends."""
    if isinstance(other, int):
        ends = [one, one]
        for _ in range(other):
            ends[1] = math.nextafter(ends[1], math.inf)
    else:
        ends = sorted((one, other))
    low, high = map(Fraction, ends)
    if low == high:
        return
    printed = tuple(map(Fraction, side_text(low, high)))
    assert low <= printed[0] <= printed[1] <= high
    assert (float_below(printed[0]), float_above(printed[1])) == (low, high)


@given(st.decimals(-1000, 1000, places=6), st.decimals(-1000, 1000, places=6))
def test_decimals_come_back_as_they_were_written(one, other):
    low, high = sorted((one, other))
    ends = box(low, high)
    if ends[0] != ends[1]:
        assert tuple(map(Fraction, side_text(*ends))) == (Fraction(low), Fraction(high))
