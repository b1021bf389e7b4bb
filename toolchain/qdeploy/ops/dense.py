"""Dense layer: y = weight @ x + bias; in integers one exact sum, one rounding shift, one clamp."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import round_shift
from qdeploy.ir import (
    Accumulator,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    FractionArray,
    Node,
    exact,
)
from qdeploy.ops._doubles import doubles
from qdeploy.ops._kernel import Kernel, altered, container, ctype
from qdeploy.ops._protocol import Enclosed
from qdeploy.ops._sums import narrow_sums, rational_sums


class Dense:
    """See the module."""

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Double precision product."""
        weight, bias = doubles(node.parameters["weight"]), doubles(node.parameters["bias"])
        return np.asarray(x @ weight.T + bias)

    def enclose(self, node: Node, lo: FractionArray, hi: FractionArray) -> Enclosed:
        """Rational products; a row's negative weights meet the other end."""
        weight, bias = node.parameters["weight"], node.parameters["bias"]
        if hi is lo:
            exactly = rational_sums(lo, weight, bias)
            return exactly, exactly
        parts = np.concatenate([np.maximum(weight, 0), np.minimum(weight, 0)], axis=1)
        ends = (np.concatenate([lo, hi], axis=1), np.concatenate([hi, lo], axis=1))
        low, high = (rational_sums(end, exact(parts), bias) for end in ends)
        return low, high

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Exact for every code; on a device because the accumulator was proven wide enough."""
        total = narrow_sums(codes, node.arrays["weight"].raw, node.arrays["bias"].raw)
        rounding = program.tensor(node.output).rounding
        rounded = round_shift(total, node.integers["shift"], rounding)
        low, high = node.integers["clamp_lo"], node.integers["clamp_hi"]
        return np.clip(rounded, low, high).astype(np.int64)

    def multiplications(self, node: Node) -> int:
        """One per weight."""
        return int(node.parameters["weight"].size)

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """Tables in row order, and the numbers of `qd_dense_layer`."""
        weight, bias = node.arrays["weight"], node.arrays["bias"]
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        accumulator = _check(node, source, target)
        bits = {
            "w": container(weight.format, f"the weight of {node.name}"),
            "x": container(source.format, f"tensor {source.id}"),
            "y": container(target.format, f"tensor {target.id}"),
            "a": accumulator.bits,
        }
        return {
            "kernel": Kernel("dense", tuple(bits.items())),
            "n_out": weight.raw.shape[0],
            "n_in": weight.raw.shape[1],
            "weight": weight.raw,
            "weight_type": ctype(bits["w"]),
            "weight_format": str(weight.format),
            "bias": bias.raw,
            "bias_type": ctype(accumulator.bits),
            "accumulator": accumulator,
            "output_format": str(target.format),
            "shift": node.integers["shift"],
            "rounding": target.rounding.value,
            "lo": node.integers["clamp_lo"],
            "hi": node.integers["clamp_hi"],
            "table_bytes": weight.raw.size * bits["w"] // 8 + bias.raw.size * bits["a"] // 8,
        }


def _check(node: FixedNode, source: FixedTensor, target: FixedTensor) -> Accumulator:
    """Return the accumulator of a node whose numbers are consistent with each other.

    Raises:
        InputError: they are not; tables made from them would not mean what the program says.
    """
    accumulator = node.accumulator
    if accumulator is None:
        raise altered(node.name, "no accumulator")
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    scale = weight.format.fb + source.format.fb
    lo, hi = node.integers["clamp_lo"], node.integers["clamp_hi"]
    claims = {
        "shapes": weight.raw.shape == (target.tensor.size, source.tensor.size)
        and bias.raw.shape == (target.tensor.size,),
        "scales": accumulator.fb == scale == bias.format.fb,
        "shift": node.integers["shift"] == scale - target.format.fb,
        "clamp": target.format.raw_min <= lo <= hi <= target.format.raw_max,
        "bias": -accumulator.bound <= int(bias.raw.min())
        and int(bias.raw.max()) <= accumulator.bound,
    }
    wrong = [claim for claim, holds in claims.items() if not holds]
    if wrong:
        raise altered(node.name, f"inconsistent {', '.join(wrong)}")
    return accumulator


OP = Dense()
