"""Exact numbers for people and JSON: a bound is never printed too small, an attack never too large.

Both the decimal text a reader sees and the double a program parses from it stand on the stated
side of the exact value.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction


def float_up(value: Fraction) -> float:
    """Return the smallest double whose value and whose decimal text are not below `value`."""
    candidate = _nearest(value)
    while _lowest_reading(candidate) < value:
        candidate = math.nextafter(candidate, math.inf)
    return candidate


def float_down(value: Fraction) -> float:
    """Return the largest double whose value and whose decimal text are not above `value`."""
    return 0.0 - float_up(-value)


def _nearest(value: Fraction) -> float:
    largest = math.nextafter(math.inf, 0.0)
    if abs(value) > Fraction(largest):
        raise OverflowError("the number is beyond double precision")
    return float(value)


def _lowest_reading(number: float) -> Fraction:
    return min(Fraction(number), Fraction(repr(number)))


def text_up(value: Fraction, digits: int = 4) -> str:
    """Print a bound with `digits` significant digits, rounded up."""
    return _text(value, digits, ROUND_CEILING)


def text_down(value: Fraction, digits: int = 4) -> str:
    """Print a found value with `digits` significant digits, rounded down."""
    return _text(value, digits, ROUND_FLOOR)


def _text(value: Fraction, digits: int, rounding: str) -> str:
    context = Context(prec=digits, rounding=rounding)
    quotient = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return format(quotient, f".{digits}g")
