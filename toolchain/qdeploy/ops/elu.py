"""ELU: x where it is not negative, alpha * (exp(x) - 1) where it is; alpha >= 0."""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Integers
from qdeploy.ir import FractionArray, Node, exact
from qdeploy.ops._curve import Smooth
from qdeploy.ops._doubles import doubles
from qdeploy.ops._draws import any_number
from qdeploy.ops._exponential import exp_minus, shifted
from qdeploy.ops._smooth import quotient, quotient_up
from qdeploy.ops._table import Tabulated

_GUARD = 8


def _value(alpha: Fraction, t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    number = np.asarray(t).astype(object)
    e_lo, e_hi, precision = _exponential(alpha, number, fb, bits)
    one, scale = 1 << precision, alpha.denominator << (precision - bits)
    lo = quotient(alpha.numerator * (e_lo - one), scale)
    hi = quotient_up(alpha.numerator * (e_hi - one), scale)
    above = number >= 0
    line = shifted(number, bits - fb), -shifted(-number, bits - fb)
    return np.where(above, line[0], lo), np.where(above, line[1], hi)


def _slope(alpha: Fraction, t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    number = np.asarray(t).astype(object)
    e_lo, e_hi, precision = _exponential(alpha, number, fb, bits)
    scale = alpha.denominator << (precision - bits)
    lo = quotient(alpha.numerator * e_lo, scale)
    hi = quotient_up(alpha.numerator * e_hi, scale)
    one = 1 << bits
    lo = np.where(number > 0, one, np.where(number == 0, np.minimum(lo, one), lo))
    hi = np.where(number > 0, one, np.where(number == 0, np.maximum(hi, one), hi))
    return lo, hi


def _exponential(
    alpha: Fraction, number: Integers, fb: int, bits: int
) -> tuple[Integers, Integers, int]:
    """Enclose exp at min(number, 0), with bits enough that `alpha` cannot widen it by units."""
    integer_part = alpha.numerator // alpha.denominator
    precision = bits + _GUARD + integer_part.bit_length()
    return (*exp_minus(-np.minimum(number, 0), fb, precision), precision)


def _curve(node: Node) -> Smooth:
    return _scaled(node.parameters["alpha"][0])


@cache
def _scaled(alpha: Fraction) -> Smooth:
    """Return the curve; the same object for the same alpha, so that tables of it can be kept."""

    def value(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
        return _value(alpha, t, fb, bits)

    def slope(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
        return _slope(alpha, t, fb, bits)

    return Smooth(
        value=value,
        slope=slope,
        curvature=alpha,  # alpha exp(x), x <= 0
        inflection=None if alpha <= 1 else Fraction(0),  # the slope falls from alpha to 1 at 0
        floor=-alpha,
        ceiling=None,
        reach=28 + (alpha.numerator // alpha.denominator).bit_length(),  # alpha exp(-reach) < 2^-40
    )


def _double(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    alpha = doubles(node.parameters["alpha"])
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _drawn(rng: np.random.Generator) -> Mapping[str, FractionArray]:
    return {"alpha": exact([abs(any_number(rng))])}


OP = Tabulated(_double, _curve, _drawn)
