"""Numbers for print: decimals that are never below the exact value they stand for."""

import math
from collections.abc import Iterable
from decimal import (
    MAX_EMAX,
    MAX_PREC,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_FLOOR,
    Context,
    Decimal,
    Inexact,
)
from fractions import Fraction

DIGITS = 12
"""Significant digits of a stated bound."""


_ABOVE = Context(prec=DIGITS, rounding=ROUND_CEILING)
_BELOW = Context(prec=DIGITS, rounding=ROUND_FLOOR)


def decimal_above(value: Fraction) -> Decimal:
    """Return the smallest decimal of DIGITS significant digits that is not below value >= 0."""
    return quotient_above(value.numerator, value.denominator)


def quotient_above(numerator: int, denominator: int) -> Decimal:
    """Return `decimal_above` of a quotient, which need not be reduced."""
    return _decimal(numerator, denominator, _ABOVE)


def decimal_below(value: Fraction) -> Decimal:
    """Return the largest decimal of DIGITS significant digits that is not above value >= 0."""
    return _decimal(value.numerator, value.denominator, _BELOW)


def _decimal(numerator: int, denominator: int, context: Context) -> Decimal:
    if numerator < 0:
        raise ValueError("a bound is never negative")
    return context.divide(Decimal(numerator), Decimal(denominator)).normalize(context)


def sum_of_squares(values: Iterable[Decimal]) -> Fraction:
    """Return the sum of squares, exactly."""
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, _EXACT.multiply(value, value))
    return Fraction(total)


_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


def root_above(value: Fraction) -> Fraction:
    """Return a rational not below the square root of value >= 0, within about 2**-64 of it.

    With n/d = n d / d^2 and an integer root r of n d 4^k rounded up, sqrt(n/d) <= r / (d 2^k).
    """
    bits = max(0, 128 - value.numerator.bit_length() + value.denominator.bit_length())
    scaled = value.numerator * value.denominator << (2 * bits)
    return Fraction(math.isqrt(scaled - 1) + 1 if scaled > 0 else 0, value.denominator << bits)
