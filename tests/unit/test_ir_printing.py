"""A printed bound is never below the exact one, a printed attack never above."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.ir.printing import float_down, float_up, text_down, text_up

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
