"""What the smooth curves share: enclosures of rationals, and quotients rounded both ways."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from qdeploy.fixedpoint import Integers
from qdeploy.ir import FractionArray
from qdeploy.ops._curve import Smooth
from qdeploy.ops._protocol import Enclosed

_GRID_BITS = 128
"""Arguments are rounded outward to multiples of 2**-128, whatever their denominators."""

_VALUE_BITS = 112


def enclosed(curve: Smooth, lo: FractionArray, hi: FractionArray) -> Enclosed:
    """Enclose the curve on everything between lo and hi by multiples of 2**-112."""
    below = _mapped(lo, lambda v: (v.numerator << _GRID_BITS) // v.denominator)
    above = _mapped(hi, lambda v: -((-v.numerator << _GRID_BITS) // v.denominator))
    low, _ = curve.value(below, _GRID_BITS, _VALUE_BITS)
    _, high = curve.value(above, _GRID_BITS, _VALUE_BITS)
    return _fractions(low), _fractions(high)


def quotient(numerator: Integers | int, denominator: Integers | int) -> Integers:
    """Return floor(numerator / denominator), denominator > 0; arrays hold Python integers."""
    return np.asarray(numerator // denominator, dtype=object)


def quotient_up(numerator: Integers | int, denominator: Integers | int) -> Integers:
    """Return the ceiling of numerator / denominator, denominator > 0."""
    return np.asarray(-((-numerator) // denominator), dtype=object)


def _mapped(values: FractionArray, step: Callable[[Fraction], int]) -> Integers:
    result = np.empty(values.size, dtype=object)
    result[:] = [step(v) for v in values.ravel().tolist()]
    return result.reshape(values.shape)


def _fractions(numerators: Integers) -> FractionArray:
    result = np.empty(numerators.size, dtype=object)
    result[:] = [Fraction(n, 1 << _VALUE_BITS) for n in numerators.ravel().tolist()]
    return result.reshape(numerators.shape)
