"""Laws of rounding, shifting and saturation: one definition, however a number is represented."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.fixedpoint import (
    QFormat,
    Rounding,
    encode,
    round_fraction,
    round_ratio,
    round_shift,
    rounding_error,
    saturate,
    smallest_integer_bits,
)
from support.slow import quantised, rounded

MODES = st.sampled_from(Rounding)
FORMATS = st.tuples(st.integers(1, 32), st.integers(-40, 60)).map(
    lambda t: QFormat(t[0] - t[1], t[1])
)
CODES64 = st.integers(-(1 << 63), (1 << 63) - 1)
CODES32 = st.integers(-(1 << 31), (1 << 31) - 1)


@given(st.fractions(), MODES)
def test_round_fraction_is_the_definition(value, mode):
    assert round_fraction(value, mode) == rounded(value, mode)


@given(st.integers(), st.integers(1, 10**6), MODES)
def test_a_ratio_need_not_be_in_lowest_terms(numerator, denominator, mode):
    value = Fraction(numerator, denominator)
    assert round_ratio(numerator, denominator, mode) == rounded(value, mode)


@given(st.integers(-1000, 1000), st.integers(0, 3), MODES)
def test_ties_and_their_neighbours(whole, quarters, mode):
    value = whole + Fraction(quarters, 4)
    assert round_fraction(value, mode) == rounded(value, mode)


@given(st.lists(CODES64, min_size=1, max_size=8), st.integers(0, 200), MODES)
def test_a_shift_to_the_right_divides_and_rounds(codes, shift, mode):
    out = round_shift(np.array(codes, dtype=np.int64), shift, mode)
    assert out.dtype == np.int64
    assert out.tolist() == [rounded(Fraction(c, 1 << shift), mode) for c in codes]


@given(st.integers(1, 62), st.integers(-4, 4), st.integers(-1, 1), MODES)
def test_a_shift_rounds_ties_like_any_other_value(shift, whole, beside, mode):
    code = (whole << shift) + (1 << (shift - 1)) + beside
    expected = rounded(Fraction(code, 1 << shift), mode)
    assert round_shift(np.array([code]), shift, mode).tolist() == [expected]


@given(st.lists(CODES64, min_size=1, max_size=8), st.integers(0, 200), MODES)
def test_a_shift_to_the_left_multiplies_whatever_the_size(codes, shift, mode):
    out = round_shift(np.array(codes, dtype=np.int64), -shift, mode)
    assert [int(v) for v in out.tolist()] == [c << shift for c in codes]


@given(st.lists(CODES32, min_size=1, max_size=8), st.integers(-40, 80), MODES)
def test_narrow_integers_shift_alike(codes, shift, mode):
    codes = [*codes, -(1 << 31), (1 << 31) - 1]
    scale = Fraction(1 << -shift) if shift < 0 else Fraction(1, 1 << shift)
    out = round_shift(np.array(codes, dtype=np.int32), shift, mode)
    assert out.tolist() == [rounded(c * scale, mode) for c in codes]
    assert (out.dtype == np.int32) == (0 <= shift < 32)


@given(st.lists(st.integers(-(1 << 90), 1 << 90), min_size=1), st.integers(-99, 99), MODES)
def test_integers_beyond_64_bits_shift_alike(codes, shift, mode):
    scale = Fraction(1 << -shift) if shift < 0 else Fraction(1, 1 << shift)
    out = round_shift(np.array(codes, dtype=object), shift, mode)
    assert out.tolist() == [rounded(c * scale, mode) for c in codes]


@given(st.lists(st.integers(-(1 << 80), 1 << 80), min_size=1), FORMATS)
def test_saturation_is_a_clamp(codes, fmt):
    out = saturate(np.array(codes, dtype=object), fmt)
    assert out.tolist() == [min(max(c, fmt.raw_min), fmt.raw_max) for c in codes]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), FORMATS, MODES)
def test_encoding_doubles_is_exact(values, fmt, mode):
    out = encode(np.array(values), fmt, mode)
    assert out.tolist() == [quantised(Fraction(v), fmt, mode) for v in values]


@given(FORMATS, st.data(), MODES, st.integers(0, 3), st.sampled_from([-math.inf, math.inf]))
def test_encoding_decides_ties_and_the_doubles_beside_them(fmt, data, mode, quarters, towards):
    code = data.draw(st.integers(fmt.raw_min - 2, fmt.raw_max + 2))
    at = float((code + Fraction(quarters, 4)) * fmt.step)
    for value in (at, math.nextafter(at, towards)):
        assert encode(np.array([value]), fmt, mode).tolist() == [
            quantised(Fraction(value), fmt, mode)
        ]


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("fmt", [QFormat(2, 1), QFormat(1, 2), QFormat(4, -2), QFormat(-1, 3)])
@pytest.mark.parametrize("denominator", [None, 1, 2, 3, 4, 5, 8])
def test_rounding_error_encloses_every_error_and_is_attained(mode, fmt, denominator):
    """Over all ranges between points around the format; a grid of step/denominator or none."""
    fine = fmt.step / (denominator or 12)
    count = int((fmt.max - fmt.min) / fine) + 6
    points = [fmt.min + (k - 3) * fine for k in range(count)]
    grid = None if denominator is None else fine
    base = fmt.min / fine
    assert base.denominator == 1, "the points must be multiples of the grid"
    errors = [quantised(v, fmt, mode) * fmt.step - v for v in points]
    for first in range(0, count, 3):
        for last in range(first, count, 4):
            down, up = rounding_error(points[first], points[last], fmt, mode, grid)
            assert down <= min(errors[first : last + 1])
            assert max(errors[first : last + 1]) <= up


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("q", [1, 2, 3, 4, 7, 8])
def test_rounding_error_on_a_grid_is_attained_where_nothing_saturates(mode, q):
    fmt = QFormat(6, 2)
    grid = fmt.step / q
    values = [k * grid for k in range(-8 * q, 8 * q + 1)]
    errors = [quantised(v, fmt, mode) * fmt.step - v for v in values]
    expected = (min(errors), max(errors))
    assert rounding_error(values[0], values[-1], fmt, mode, grid) == expected


@given(st.fractions(), st.fractions())
def test_smallest_integer_bits_fit_and_one_less_does_not(a, b):
    lo, hi = min(a, b), max(a, b)
    ib = smallest_integer_bits(lo, hi)

    def fits(bits: int) -> bool:
        limit = Fraction(2) ** (bits - 1)
        return -limit <= lo and hi < limit

    assert fits(ib)
    assert ib == -63 or not fits(ib - 1)
