"""Hyperbolic tangent: 2 sigmoid(2 x) - 1."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Integers
from qdeploy.ir import Node
from qdeploy.ops._curve import Smooth
from qdeploy.ops._draws import no_parameters
from qdeploy.ops._logistic import logistic, logistic_slope
from qdeploy.ops._table import Tabulated


def _value(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    lo, hi = logistic(t, fb - 1, bits + 1)
    return lo - (1 << bits), hi - (1 << bits)


def _slope(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    return logistic_slope(t, fb - 1, bits + 2)


_CURVE = Smooth(
    value=_value,
    slope=_slope,
    curvature=Fraction(77, 100),  # 4 / (3 sqrt(3)) = 0.76980..., at artanh(1 / sqrt(3))
    inflection=Fraction(0),
    floor=Fraction(-1),
    ceiling=Fraction(1),
    reach=15,  # 2 exp(-30) < 2^-40
)


def _double(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    del node
    return np.tanh(x)


def _curve(node: Node) -> Smooth:
    del node
    return _CURVE


OP = Tabulated(_double, _curve, no_parameters)
