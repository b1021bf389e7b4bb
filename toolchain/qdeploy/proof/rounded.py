"""Numbers for print: decimals that are never below the exact value they stand for."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

DIGITS = 12
"""Significant digits of a stated bound."""


def decimal_above(value: Fraction) -> Decimal:
    """Return the smallest decimal of DIGITS significant digits that is not below value >= 0."""
    return _decimal(value, ROUND_CEILING)


def decimal_below(value: Fraction) -> Decimal:
    """Return the largest decimal of DIGITS significant digits that is not above value >= 0."""
    return _decimal(value, ROUND_FLOOR)


def _decimal(value: Fraction, rounding: str) -> Decimal:
    if value < 0:
        raise ValueError("a bound is never negative")
    context = Context(prec=DIGITS, rounding=rounding)
    return context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context)


def root_above(value: Fraction) -> Fraction:
    """Return a rational not below the square root of value >= 0, within about 2**-64 of it.

    With n/d = n d / d^2 and an integer root r of n d 4^k rounded up, sqrt(n/d) <= r / (d 2^k).
    """
    bits = max(0, 128 - value.numerator.bit_length() + value.denominator.bit_length())
    scaled = value.numerator * value.denominator << (2 * bits)
    return Fraction(math.isqrt(scaled - 1) + 1 if scaled > 0 else 0, value.denominator << bits)
