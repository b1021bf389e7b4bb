"""Leaky ReLU, and PReLU: x where it is not negative, slope * x where it is."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import round_shift, saturate
from qdeploy.ir import FixedNetwork, FixedNode, FractionArray, Node, exact
from qdeploy.ops._curve import Curve, PiecewiseLinear
from qdeploy.ops._doubles import doubles
from qdeploy.ops._draws import any_number
from qdeploy.ops._kernel import Kernel, altered, container
from qdeploy.ops._protocol import Enclosed

_SLOPE_BITS = 16


class LeakyRelu:
    """See the module."""

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Double precision product below zero."""
        return np.where(x >= 0, x, x * doubles(node.parameters["slope"]))

    def enclose(self, node: Node, lo: FractionArray, hi: FractionArray) -> Enclosed:
        """Exact at the ends; with a negative slope the least value between may be that at 0."""
        slope = node.parameters["slope"]
        low = _leaked(lo, slope)
        if hi is lo:
            return low, low
        high = _leaked(hi, slope)
        least = np.minimum(low, high)
        least[(lo < 0) & (hi > 0) & (slope < 0)] = Fraction(0)
        return least, np.maximum(low, high)

    def curve(self, node: Node) -> Curve:
        """`slope` below zero and 1 above."""
        slope = node.parameters["slope"]
        zeros = exact(np.zeros(slope.size, dtype=np.int64))
        slopes = exact(np.stack([slope, exact(np.ones(slope.size, dtype=np.int64))]))
        return PiecewiseLinear(exact(zeros[None, :]), slopes, zeros)

    def draw(self, rng: np.random.Generator, n: int) -> Mapping[str, FractionArray]:
        """Any slopes: one, or one a neuron."""
        count = (1, n)[rng.integers(2)]
        return {"slope": exact([any_number(rng) for _ in range(count)])}

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """One exact product (at most 32 + 16 bits), one rounding shift, saturated."""
        target, slope = program.tensor(node.output), node.arrays["slope"]
        leaked = round_shift(codes * slope.raw, slope.format.fb, target.rounding)
        return np.where(codes >= 0, codes, saturate(leaked, target.format))

    def multiplications(self, node: Node) -> int:
        """Not counted: at most one per element, beside a dense layer's many."""
        del node
        return 0

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """Slopes, one or one an element, and the numbers of `qd_leaky_relu_layer`."""
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        slope = node.arrays["slope"]
        _check(node, program)
        bits = container(source.format, f"tensor {source.id}")
        bound = -source.format.raw_min * int(np.abs(slope.raw).max())
        accumulator = 32 if bound < 1 << 31 else 64
        return {
            "kernel": Kernel("leaky_relu", (("x", bits), ("a", accumulator))),
            "n": source.tensor.size,
            "slope": slope.raw,
            "slope_format": str(slope.format),
            "slope_stride": 0 if slope.raw.size == 1 else 1,
            "bound": bound,
            "accumulator_bits": accumulator,
            "shift": slope.format.fb,
            "rounding": target.rounding.value,
            "lo": target.format.raw_min,
            "hi": target.format.raw_max,
            "output_format": str(target.format),
            "table_bytes": slope.raw.size * _SLOPE_BITS // 8,
        }


def _check(node: FixedNode, program: FixedNetwork) -> None:
    source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
    slope = node.arrays["slope"]
    if source.format != target.format or source.tensor.size != target.tensor.size:
        raise altered(node.name, "input and output of a leaky ReLU differ in format or size")
    if slope.raw.shape not in ((1,), (source.tensor.size,)):
        raise altered(node.name, "as many slopes as elements, or one, are needed")
    if slope.format.bits > _SLOPE_BITS or slope.format.fb < 0:
        raise altered(node.name, f"slopes {slope.format} are beyond {_SLOPE_BITS} bits")


def _leaked(values: FractionArray, slope: FractionArray) -> FractionArray:
    return np.asarray(np.where(values >= 0, values, values * slope), dtype=object)


OP = LeakyRelu()
