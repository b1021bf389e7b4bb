"""Running a whole network or program, node by node."""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

import qdeploy.ops
from qdeploy.ir import FixedNetwork, FractionArray, Network
from qdeploy.ops._protocol import Enclosed, Op
from qdeploy.registry import discover


@cache
def known_ops() -> Mapping[str, Op]:
    """Every operator, by name."""
    return discover(qdeploy.ops, "OP", Op)  # type: ignore[type-abstract]


def evaluate(network: Network, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Run the real network in double precision on rows x [n, n_in] -> [n, n_out]."""
    values = {network.inputs[0].id: x}
    for node in network.nodes:
        values[node.output] = known_ops()[node.op].evaluate(node, values[node.inputs[0]])
    return values[network.outputs[0].id]


def enclose(network: Network, x: FractionArray) -> Enclosed:
    """Enclose what the real network makes of rows of Fractions [n, n_in] -> 2 x [n, n_out].

    Both ends are one array where every operator is exact.
    """
    values = {network.inputs[0].id: (x, x)}
    for node in network.nodes:
        values[node.output] = known_ops()[node.op].enclose(node, *values[node.inputs[0]])
    return values[network.outputs[0].id]


def evaluate_exact(network: Network, x: FractionArray) -> FractionArray:
    """Run a network of exact operators without any rounding, [n, n_in] -> [n, n_out].

    Raises:
        ValueError: some operator has no exact value, such as tanh.
    """
    lo, hi = enclose(network, x)
    if lo is not hi:
        raise ValueError("this network has no exact values, only enclosures")
    return lo


def apart(network: Network, x: FractionArray, answers: FractionArray) -> FractionArray:
    """Return how far answers [n, n_out] surely are from what the network makes of rows x.

    Exactly how far, where every operator of the network is exact.
    """
    low, high = enclose(network, x)
    if low is high:
        return np.asarray(abs(answers - low))
    return np.asarray(np.maximum(np.maximum(answers - high, low - answers), 0) + Fraction(0))


def execute_all(program: FixedNetwork, codes: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Run the integer program on input codes [n, n_in]; return the codes of every tensor."""
    values = {program.inputs[0]: np.asarray(codes, dtype=np.int64)}
    for node in program.nodes:
        op = known_ops()[node.op]
        values[node.output] = op.execute(node, program, values[node.inputs[0]])
    return values


def execute(program: FixedNetwork, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Run the integer program on input codes [n, n_in] -> output codes [n, n_out]."""
    return execute_all(program, codes)[program.outputs[0]]
