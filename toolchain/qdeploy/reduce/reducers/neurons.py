"""Whole hidden neurons: those of least norm are removed, so tables, time and RAM get smaller.

The norm of a neuron is |w_in| * |w_out|, the 2-norms of the weights that enter it and of those that
leave it. (Li, Drummond and Duncan, L4DC 2021, prune by the norm of the weights that enter; the
product does not change when a ReLU's weights are scaled by s on one side and 1/s on the other.)
The bias does not count: what a removed neuron emits in the middle of its range is folded into the
biases of the layer that read it, so that only its movement is lost.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import Box, FractionArray, Network, Node, Tensor, exact
from qdeploy.ops import doubles
from qdeploy.reduce._protocol import Reduction
from qdeploy.reduce._values import middles

_PER_NEURON = {"leaky_relu": "slope"}
"""Parameters of activations that may hold one number a neuron."""


class Neurons:
    """See the module."""

    things = "hidden neurons"

    def total(self, network: Network) -> int:
        """Count the neurons between dense layers."""
        return sum(len(node.parameters["bias"]) for node in _dense(network)[:-1])

    def most(self, network: Network) -> int:
        """Every layer keeps one."""
        return self.total(network) - max(len(_dense(network)) - 1, 0)

    def reduce(self, network: Network, count: int, regions: tuple[Box, ...]) -> Reduction:
        """Remove those of least norm, in the whole network; of equals the later one stays."""
        kept = _kept(_dense(network), count)
        emitted = middles(network, regions) if count else []
        return Reduction(_without(network, kept, emitted), kept)


def _dense(network: Network) -> list[Node]:
    return [node for node in network.nodes if node.op == "dense"]


def _kept(layers: Sequence[Node], count: int) -> tuple[tuple[int, ...], ...]:
    left = [list(range(len(layer.parameters["bias"]))) for layer in layers[:-1]]
    for _, layer, row in sorted(_norms(layers)):
        if count and len(left[layer]) > 1:
            left[layer].remove(row)
            count -= 1
    return tuple(map(tuple, left))


def _norms(layers: Sequence[Node]) -> list[tuple[float, int, int]]:
    """Return norm, hidden layer and row of every hidden neuron.

    Sums are rounded once (`fsum`), so that equal networks have equal norms on every machine.
    """
    weights = [doubles(layer.parameters["weight"]) for layer in layers]
    return [
        (_length(entering[row]) * _length(leaving[:, row]), index, row)
        for index, (entering, leaving) in enumerate(itertools.pairwise(weights))
        for row in range(len(entering))
    ]


def _length(values: NDArray[np.float64]) -> float:
    return math.sqrt(math.fsum(v * v for v in values.tolist()))


def _without(
    network: Network, kept: tuple[tuple[int, ...], ...], emitted: Sequence[FractionArray]
) -> Network:
    """Return the network with these rows of every hidden layer."""
    ends = [range(network.inputs[0].size), *kept, range(network.outputs[0].size)]
    nodes, sizes, depth = [], {network.inputs[0].id: network.inputs[0].size}, 0
    for node in network.nodes:
        if node.op == "dense":
            columns, depth = list(ends[depth]), depth + 1
            middle = emitted[depth - 2] if emitted and depth > 1 else None
            parameters = _narrowed(node, (list(ends[depth]), columns), middle)
        else:
            parameters = {k: _some(node, k, a, ends[depth]) for k, a in node.parameters.items()}
        nodes.append(replace(node, parameters=parameters))
        sizes[node.output] = len(ends[depth])
    tensors = tuple(_resized(t, sizes[t.id]) for t in network.tensors)
    return replace(network, nodes=tuple(nodes), tensors=tensors)


def _narrowed(
    node: Node, kept: tuple[list[int], list[int]], middle: FractionArray | None
) -> dict[str, FractionArray]:
    """Return weights and biases for some rows and columns, what is lost folded into the biases."""
    rows, columns = kept
    weight, bias = node.parameters["weight"][rows], node.parameters["bias"][rows]
    gone = sorted(set(range(weight.shape[1])) - set(columns))
    if middle is not None and gone:
        bias = bias + weight[:, gone] @ middle[gone]
    return {"weight": exact(weight[:, columns]), "bias": exact(bias)}


def _some(node: Node, name: str, array: FractionArray, rows: Sequence[int]) -> FractionArray:
    if _PER_NEURON.get(node.op) != name or array.size == 1:
        return array
    return exact(array[list(rows)])


def _resized(tensor: Tensor, size: int) -> Tensor:
    return tensor if tensor.size == size else replace(tensor, shape=(size,))


REDUCER = Neurons()
