"""Rounding modes and saturation, on integers and on exact reals."""

from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint.formats import QFormat

Integers = NDArray[Any]
"""int64, or object holding Python integers where 64 bits do not suffice."""

_SAFE_BITS = 62
_NARROW_BITS = 32
_TIE = 0.5


class Rounding(StrEnum):
    """How a real number becomes an integer number of steps."""

    NEAREST = "nearest"
    """floor(v + 1/2): ties towards +infinity."""
    FLOOR = "floor"
    """The largest integer not above v."""
    TRUNC = "trunc"
    """Towards zero: sgn(v) * floor(|v|) (Li, Drummond and Duncan, L4DC 2021)."""


def round_fraction(value: Fraction, mode: Rounding) -> int:
    """Round an exact real to an integer."""
    return round_ratio(value.numerator, value.denominator, mode)


def round_ratio(numerator: int, denominator: int, mode: Rounding) -> int:
    """Round the exact real `numerator / denominator`, denominator > 0, to an integer."""
    if mode is Rounding.NEAREST:
        return (2 * numerator + denominator) // (2 * denominator)
    if mode is Rounding.FLOOR or numerator >= 0:
        return numerator // denominator
    return -(-numerator // denominator)


def round_shift(raw: Integers, shift: int, mode: Rounding) -> Integers:
    """Return `raw * 2**-shift` rounded by `mode`; a negative `shift` multiplies, exactly.

    Any `shift` is defined by its mathematics, also beyond the width of the integers.
    int64 in gives int64 out unless a left shift needs more; then Python integers come out. int32
    stays int32 where no shift by that width or to the left asks for more.
    """
    if shift == 0:
        return raw
    if raw.dtype == np.int32 and not 0 < shift < _NARROW_BITS:
        raw = raw.astype(np.int64)
    if shift < 0:
        return _shift_left(raw, -shift)
    return (_shift_narrow if raw.dtype == np.int32 else _shift_right)(raw, shift, mode)


def _shift_right(raw: Integers, shift: int, mode: Rounding) -> Integers:
    if raw.dtype != object:
        limit = int(max(abs(int(raw.max(initial=0))), abs(int(raw.min(initial=0)))))
        if shift > _SAFE_BITS or limit >= 1 << _SAFE_BITS:
            return np.asarray(_shift_right(raw.astype(object), shift, mode)).astype(np.int64)
    if mode is Rounding.NEAREST:
        return (raw + (1 << (shift - 1))) >> shift
    if mode is Rounding.FLOOR:
        return raw >> shift
    return np.where(raw >= 0, raw >> shift, -((-raw) >> shift))


def _shift_narrow(raw: Integers, shift: int, mode: Rounding) -> Integers:
    """Round int32 without a sum that could leave it."""
    if mode is Rounding.NEAREST:
        return np.asarray((raw >> shift) + ((raw >> (shift - 1)) & 1))
    if mode is Rounding.FLOOR:
        return np.asarray(raw >> shift)
    up = (raw >> (_NARROW_BITS - 1)) & ((1 << shift) - 1)
    return np.asarray((raw + up) >> shift)


def _shift_left(raw: Integers, shift: int) -> Integers:
    widest = max(abs(int(v)).bit_length() for v in (raw.max(initial=0), raw.min(initial=0)))
    if raw.dtype == object or widest + shift > _SAFE_BITS:
        return np.asarray(raw.astype(object) * (1 << shift), dtype=object)
    return raw << shift


def saturate(raw: Integers, fmt: QFormat) -> NDArray[np.int64]:
    """Clamp integers into the codes of `fmt`."""
    return np.clip(raw, fmt.raw_min, fmt.raw_max).astype(np.int64)


def encode(values: NDArray[np.float64], fmt: QFormat, mode: Rounding) -> NDArray[np.int64]:
    """Quantise float64 values (finite): rounded by `mode`, saturated. Exact for every double."""
    with np.errstate(over="ignore"):
        scaled = np.ldexp(np.asarray(values, dtype=np.float64), fmt.fb)
    # A tiny value may underflow to zero, but its sign still decides which way it rounds.
    vanished = (scaled == 0) & (np.asarray(values) != 0)
    scaled = np.where(vanished, np.copysign(np.float64(5e-324), values), scaled)
    limit = float(1 << fmt.bits)
    scaled = np.clip(scaled, -limit, limit)
    below = np.floor(scaled)
    fraction = scaled - below
    up = {
        Rounding.NEAREST: fraction >= _TIE,
        Rounding.FLOOR: np.zeros_like(fraction, dtype=bool),
        Rounding.TRUNC: (scaled < 0) & (fraction > 0),
    }[mode]
    return saturate(below.astype(np.int64) + up, fmt)


def rounding_error(
    lo: Fraction, hi: Fraction, fmt: QFormat, mode: Rounding, grid: Fraction | None
) -> tuple[Fraction, Fraction]:
    """Enclose sat(round(v)) - v for every v in [lo, hi], in real units.

    `grid` is the spacing the values v are known to lie on (multiples of it), or None for
    arbitrary reals. Includes saturation (shared design, numeric semantics; certificates 1).
    """
    down, up = _errors_within_range(lo, hi, fmt.step, mode, grid)
    if hi > fmt.max:
        down = min(down, fmt.max - hi)
    if lo < fmt.min:
        up = max(up, fmt.min - lo)
    return down, up


def _errors_within_range(
    lo: Fraction, hi: Fraction, step: Fraction, mode: Rounding, grid: Fraction | None
) -> tuple[Fraction, Fraction]:
    """Enclose round(v) - v without saturation.

    On a grid of step * p/q (in lowest terms) v lies m/q of a step above a code, 0 <= m < q.
    """
    if grid is None:
        half, whole = (step / 2, step / 2), step
    else:
        q = (grid / step).denominator
        tie = -(-q // 2)  # the first m that rounds up to nearest
        half = (Fraction(tie - 1, q) * step, Fraction(q - tie, q) * step)
        whole = Fraction(q - 1, q) * step
    if mode is Rounding.NEAREST:
        return -half[0], half[1]
    if mode is Rounding.FLOOR:
        return -whole, Fraction(0)
    return (-whole if hi > 0 else Fraction(0)), (whole if lo < 0 else Fraction(0))
