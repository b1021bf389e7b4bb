"""Clip: min(max(x, lo), hi), either side open. After a dense layer a part of that layer's clamp."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FixedNetwork, FixedNode, FractionArray, Node, exact
from qdeploy.ops._curve import Curve, PiecewiseLinear
from qdeploy.ops._doubles import doubles
from qdeploy.ops._draws import any_number
from qdeploy.ops._kernel import Kernel, altered, container
from qdeploy.ops._protocol import Enclosed


class Clip:
    """See the module."""

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Double precision, limits rounded."""
        low, high = (doubles(node.parameters[k]) if k in node.parameters else None for k in _ENDS)
        return np.asarray(np.clip(x, low, high)) if node.parameters else x

    def enclose(self, node: Node, lo: FractionArray, hi: FractionArray) -> Enclosed:
        """Exact at both ends, as it never falls."""
        low = _clipped(node, lo)
        return low, low if hi is lo else _clipped(node, hi)

    def curve(self, node: Node) -> Curve:
        """Slope 1 between the limits, 0 beyond."""
        ends = [node.parameters[k][0] for k in _ENDS if k in node.parameters]
        slopes = [0, 1] if "lo" in node.parameters else [1]
        slopes += [0] if "hi" in node.parameters else []
        return PiecewiseLinear(
            exact([[v] for v in ends]), exact([[v] for v in slopes]), exact(ends[:1])
        )

    def draw(self, rng: np.random.Generator, n: int) -> Mapping[str, FractionArray]:
        """Two limits in order, or one."""
        del n
        low, high = any_number(rng), any_number(rng)
        if low == high:
            high += 1
        ends = dict(zip(_ENDS, sorted((low, high)), strict=True))
        kept = (_ENDS, _ENDS, _ENDS[:1], _ENDS[1:])[rng.integers(4)]
        return {name: exact([ends[name]]) for name in kept}

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Limits as codes; formats are equal."""
        del program
        return np.clip(codes, node.integers["clamp_lo"], node.integers["clamp_hi"])

    def multiplications(self, node: Node) -> int:
        """None."""
        del node
        return 0

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """The number of codes and the limits; there are no tables."""
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        lo, hi = node.integers["clamp_lo"], node.integers["clamp_hi"]
        if source.format != target.format or source.tensor.size != target.tensor.size:
            raise altered(node.name, "input and output of a clip differ in format or size")
        if not target.format.raw_min <= lo <= hi <= target.format.raw_max:
            raise altered(node.name, "the limits of a clip are no codes, or out of order")
        bits = container(source.format, f"tensor {source.id}")
        return {
            "kernel": Kernel("clip", (("x", bits),)),
            "n": source.tensor.size,
            "lo": lo,
            "hi": hi,
            "code_type": f"int{bits}_t",
            "table_bytes": 0,
        }


_ENDS = ("lo", "hi")


def _clipped(node: Node, values: FractionArray) -> FractionArray:
    result = values.copy()
    if "lo" in node.parameters:
        low: Fraction = node.parameters["lo"][0]
        result[values < low] = low
    if "hi" in node.parameters:
        high: Fraction = node.parameters["hi"][0]
        result[result > high] = high
    return result


OP = Clip()
