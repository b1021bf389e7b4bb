"""Softsign: x / (1 + |x|), rational, but tabulated like its smooth relatives."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Integers
from qdeploy.ir import Node
from qdeploy.ops._curve import Smooth
from qdeploy.ops._draws import no_parameters
from qdeploy.ops._smooth import quotient, quotient_up
from qdeploy.ops._table import Tabulated


def _scaled(t: Integers, fb: int) -> tuple[Integers, int]:
    """Return (n, d) with t * 2**-fb = n / d."""
    number = np.asarray(t).astype(object)
    return (number, 1 << fb) if fb >= 0 else (number << -fb, 1)


def _value(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    number, one = _scaled(t, fb)
    whole = one + np.abs(number)
    return quotient(number << bits, whole), quotient_up(number << bits, whole)


def _slope(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    number, one = _scaled(t, fb)
    square = (one + np.abs(number)) ** 2
    top = (one * one) << bits
    return quotient(top, square), quotient_up(top, square)


_CURVE = Smooth(
    value=_value,
    slope=_slope,
    curvature=Fraction(2),  # 2 / (1 + |x|)^3, which jumps from 2 to -2 at 0
    inflection=Fraction(0),
    floor=Fraction(-1),
    ceiling=Fraction(1),
    reach=64,  # within 1/65 of its limit, and hardly curved: 2 / 65^3
)


def _double(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    del node
    return np.asarray(x / (1.0 + np.abs(x)))


def _curve(node: Node) -> Smooth:
    del node
    return _CURVE


OP = Tabulated(_double, _curve, no_parameters)
