"""Running a whole network or program, node by node."""

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

import qdeploy.ops
from qdeploy.ir import FixedNetwork, FractionArray, Network
from qdeploy.ops._protocol import Op
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


def evaluate_exact(network: Network, x: FractionArray) -> FractionArray:
    """Run the real network without any rounding on rows of Fractions [n, n_in] -> [n, n_out]."""
    values = {network.inputs[0].id: x}
    for node in network.nodes:
        values[node.output] = known_ops()[node.op].evaluate_exact(node, values[node.inputs[0]])
    return values[network.outputs[0].id]


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
