"""Single weights: those of least magnitude in the whole network become zero; biases stay.

Kernels are dense, so tables and time stay as they are; what compresses an image, or a later sparse
kernel, gains from the zeros. (Magnitude pruning: Han, Pool, Tran and Dally, NeurIPS 2015.)
"""

from dataclasses import replace

import numpy as np

from qdeploy.ir import Box, Network, Node, exact
from qdeploy.ops import doubles
from qdeploy.reduce._protocol import Reduction


class Weights:
    """See the module."""

    things = "weights"

    def total(self, network: Network) -> int:
        """Count the weights, those that are zero already among them."""
        return sum(node.parameters["weight"].size for node in _dense(network))

    def most(self, network: Network) -> int:
        """All of them: what is left is the biases."""
        return self.total(network)

    def reduce(self, network: Network, count: int, regions: tuple[Box, ...]) -> Reduction:
        """Set the `count` least to zero; of equals the later one stays."""
        del regions
        layers = _dense(network)
        sizes = [np.abs(doubles(layer.parameters["weight"])).ravel() for layer in layers]
        gone = np.zeros(self.total(network), dtype=bool)
        gone[np.argsort(np.concatenate(sizes), kind="stable")[:count]] = True
        cuts = np.cumsum([len(size) for size in sizes])[:-1]
        masks = dict(zip((n.name for n in layers), np.split(gone, cuts), strict=True))
        nodes = tuple(
            _thinned(node, masks[node.name]) if node.op == "dense" else node
            for node in network.nodes
        )
        kept = tuple(tuple(range(len(layer.parameters["bias"]))) for layer in layers[:-1])
        return Reduction(replace(network, nodes=nodes), kept)


def _dense(network: Network) -> list[Node]:
    return [node for node in network.nodes if node.op == "dense"]


def _thinned(node: Node, gone: np.typing.NDArray[np.bool_]) -> Node:
    weight = node.parameters["weight"].copy()
    weight[gone.reshape(weight.shape)] = 0
    return replace(node, parameters={**node.parameters, "weight": exact(weight)})


REDUCER = Weights()
