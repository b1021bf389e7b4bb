"""Choosing IB: the smallest whose codes hold given exact values after they were rounded.

Rounding is monotone, so the least and the greatest value decide for all between them.
"""

from fractions import Fraction

from qdeploy.fixedpoint import MAX_FRACTION, QFormat, Rounding, round_ratio, smallest_integer_bits


def code(value: Fraction, fb: int, mode: Rounding) -> int:
    """Return `value` in steps of 2**-fb, rounded, not saturated."""
    if fb >= 0:
        return round_ratio(value.numerator << fb, value.denominator, mode)
    return round_ratio(value.numerator, value.denominator << -fb, mode)


def word_length(lo: int, hi: int) -> int:
    """Return the fewest bits of two's complement that hold both codes."""
    return 1 + max((v if v >= 0 else ~v).bit_length() for v in (lo, hi))


def smallest_format(
    lo: Fraction, hi: Fraction, bits: int, mode: Rounding, finest: int = MAX_FRACTION
) -> QFormat:
    """Return the format `bits` wide with the smallest IB that [lo, hi] fits, FB <= `finest`.

    A range of nothing but zero fits any format and gets IB = 1.

    Raises:
        OverflowError: the range lies beyond every format.
    """
    ib = 1 if lo == hi == 0 else smallest_integer_bits(lo, hi) - 1
    ib = max(ib, bits - finest)
    while word_length(code(lo, bits - ib, mode), code(hi, bits - ib, mode)) > bits:
        ib += 1
    if bits - ib < -MAX_FRACTION:
        raise OverflowError(f"values of 2^{ib - 2} and more are beyond every {bits}-bit format")
    return QFormat(ib, bits - ib)
