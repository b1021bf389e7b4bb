"""HardSwish: x * clip(x + 3, 0, 6) / 6, stated as a smooth curve, which it is not: it falls."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from qdeploy.fixedpoint import Integers
from qdeploy.ir import Node
from qdeploy.ops._curve import Smooth
from qdeploy.ops._draws import no_parameters
from qdeploy.ops._smooth import quotient, quotient_up
from qdeploy.ops._table import Tabulated


def _value(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    n = np.asarray(t).astype(object)
    one = 1 << max(fb, 0)
    if fb < 0:
        n = n << -fb
    gate = np.minimum(np.maximum(n + 3 * one, 0), 6 * one)
    top, below = (n * gate) << bits, 6 * one * one
    return quotient(top, below), quotient_up(top, below)


def _slope(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    n = np.asarray(t).astype(object)
    one = 1 << max(fb, 0)
    if fb < 0:
        n = n << -fb
    top = np.where(n <= -3 * one, 0, np.where(n >= 3 * one, 6 * one, 2 * n + 3 * one)) << bits
    return quotient(top, 6 * one), quotient_up(top, 6 * one)


_CURVE = Smooth(
    value=_value,
    slope=_slope,
    curvature=Fraction(1, 3),
    inflection=None,
    floor=Fraction(0),
    ceiling=None,
    reach=4,
)


def _double(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    del node
    return x * np.clip(x + 3, 0, 6) / 6


def _curve(node: Node) -> Smooth:
    del node
    return _CURVE


OP = Tabulated(_double, _curve, no_parameters)
