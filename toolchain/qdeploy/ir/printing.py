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
    while not _reads_above(candidate, value):
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


def _reads_above(number: float, value: Fraction) -> bool:
    """Whether neither the double nor its decimal text is below `value`."""
    ratios = number.as_integer_ratio(), Decimal(repr(number)).as_integer_ratio()
    return all(n * value.denominator >= value.numerator * d for n, d in ratios)


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


def side_text(low: Fraction, high: Fraction) -> tuple[str, str]:
    """Return the ends of one side of a box in the decimals they were most likely written in.

    Corners are the doubles just outside of what somebody wrote. The shortest decimals that have
    these very corners lie inside the box, so of what is printed everything is covered. A side
    without width is one double, said to be one where its shortest decimal is another number.
    """
    if low == high:
        text = _plain(Decimal(repr(float(low))))
        told = text if Fraction(text) == low else f"{text} (double)"
        return told, told
    return _plain(-_shortest_below(-low)), _plain(_shortest_below(high))


def _shortest_below(corner: Fraction) -> Decimal:
    """Return the shortest decimal whose next double above is `corner`: of several the largest."""
    before = math.nextafter(float(corner), -math.inf)
    digits = 1
    while True:
        context = Context(prec=digits, rounding=ROUND_FLOOR)
        decimal = context.divide(Decimal(corner.numerator), Decimal(corner.denominator))
        if decimal > Decimal(before):
            return decimal
        digits += 1


def _plain(decimal: Decimal) -> str:
    """Print a decimal without an exponent where that is readable."""
    least = decimal.normalize(Context(prec=_MOST_DIGITS))
    return format(least, "f") if _SMALL <= least.adjusted() < _LARGE else format(least, "e")


_MOST_DIGITS = 40
_SMALL, _LARGE = -5, 17
"""Places of the first digit between which numbers are printed in full."""
