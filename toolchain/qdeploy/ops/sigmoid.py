"""Sigmoid: 1 / (1 + exp(-x))."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import Node
from qdeploy.ops._curve import Smooth
from qdeploy.ops._draws import no_parameters
from qdeploy.ops._logistic import logistic, logistic_slope
from qdeploy.ops._table import Tabulated

_CURVE = Smooth(
    value=logistic,
    slope=logistic_slope,
    curvature=Fraction(1, 10),  # sqrt(3) / 18 = 0.09622..., at ln(2 + sqrt(3))
    inflection=Fraction(0),
    floor=Fraction(0),
    ceiling=Fraction(1),
    reach=28,  # exp(-28) < 2^-40
)


def _double(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    del node
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _curve(node: Node) -> Smooth:
    del node
    return _CURVE


OP = Tabulated(_double, _curve, no_parameters)
