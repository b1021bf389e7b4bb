"""ReLU: max(x, 0). After a dense layer it is folded into that layer's clamp."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FixedNetwork, FixedNode, FractionArray, Node, exact
from qdeploy.ops._curve import Curve, PiecewiseLinear
from qdeploy.ops._kernel import Kernel, altered, container
from qdeploy.ops._protocol import Enclosed


class Relu:
    """See the module."""

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Elementwise maximum with zero."""
        del node
        return np.maximum(x, 0.0)

    def enclose(self, node: Node, lo: FractionArray, hi: FractionArray) -> Enclosed:
        """Elementwise maximum with zero, which never falls."""
        del node
        low = _above_zero(lo)
        return low, low if hi is lo else _above_zero(hi)

    def curve(self, node: Node) -> Curve:
        """Slope 0 below zero and 1 above."""
        del node
        return PiecewiseLinear(exact([[0]]), exact([[0], [1]]), exact([0]))

    def draw(self, rng: np.random.Generator, n: int) -> Mapping[str, FractionArray]:
        """None."""
        del rng, n
        return {}

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Elementwise maximum with zero; formats are equal."""
        del node, program
        return np.maximum(codes, 0)

    def multiplications(self, node: Node) -> int:
        """None."""
        del node
        return 0

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """The number of codes; there are no tables."""
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        if source.format != target.format or source.tensor.size != target.tensor.size:
            raise altered(node.name, "input and output of a relu differ in format or size")
        bits = container(source.format, f"tensor {source.id}")
        return {
            "kernel": Kernel("relu", (("x", bits),)),
            "n": source.tensor.size,
            "output_format": str(target.format),
            "table_bytes": 0,
        }


def _above_zero(values: FractionArray) -> FractionArray:
    result = values.copy()
    result[values < 0] = Fraction(0)
    return result


OP = Relu()
