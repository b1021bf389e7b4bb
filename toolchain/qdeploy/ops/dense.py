"""Dense layer: y = weight @ x + bias; in integers one exact sum, one rounding shift, one clamp."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import round_shift
from qdeploy.ir import FixedNetwork, FixedNode, FractionArray, Node


class Dense:
    """See the module."""

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Double precision product."""
        weight = node.parameters["weight"].astype(np.float64)
        bias = node.parameters["bias"].astype(np.float64)
        return np.asarray(x @ weight.T + bias)

    def evaluate_exact(self, node: Node, x: FractionArray) -> FractionArray:
        """Rational product."""
        return np.asarray(x.dot(node.parameters["weight"].T) + node.parameters["bias"])

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Exact: the accumulator bound was proven to hold the sum in any order."""
        total = codes @ node.arrays["weight"].raw.T + node.arrays["bias"].raw
        rounding = program.tensor(node.output).rounding
        rounded = round_shift(total, node.integers["shift"], rounding)
        low, high = node.integers["clamp_lo"], node.integers["clamp_hi"]
        return np.clip(rounded, low, high).astype(np.int64)

    def multiplications(self, node: Node) -> int:
        """One per weight."""
        return int(node.parameters["weight"].size)

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """Filled in with the code generator."""
        raise NotImplementedError


OP = Dense()
