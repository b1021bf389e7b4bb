"""Smooth curves on a device: values at evenly spaced codes, straight lines in between.

With s the node's `shift`, y its `values` (2**(bits - s) + 1 of them, g fraction bits finer than
the output) and n = c - raw_min the number of code c, k = n >> s, m = n & (2**s - 1):

    T(c) = clip(round((y[k] * 2**s + (y[k + 1] - y[k]) * m) * 2**-(s + g)), raw_min, raw_max)

s = 0 is a plain table: one value a code (and one more, which nothing reads).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import QFormat, Rounding, round_shift, saturate
from qdeploy.ir import FixedNetwork, FixedNode, FractionArray, Node
from qdeploy.ops._curve import LOOKUP_BITS, Smooth
from qdeploy.ops._kernel import Kernel, altered, container, ctype
from qdeploy.ops._protocol import Enclosed
from qdeploy.ops._smooth import enclosed

_VALUE_BITS = 32
_LARGEST_SHIFT = 62


@dataclass(frozen=True, slots=True)
class Tabulated:
    """An operator that is `double` in double precision and `smooth` for proofs."""

    double: Callable[[Node, NDArray[np.float64]], NDArray[np.float64]]
    smooth: Callable[[Node], Smooth]
    drawn: Callable[[np.random.Generator], Mapping[str, FractionArray]]
    """Any parameters that are allowed."""

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Double precision."""
        return self.double(node, x)

    def enclose(self, node: Node, lo: FractionArray, hi: FractionArray) -> Enclosed:
        """Rational enclosures of irrational values, at both ends: the curve never falls."""
        return enclosed(self.smooth(node), lo, hi)

    def curve(self, node: Node) -> Smooth:
        """Return the facts about the curve."""
        return self.smooth(node)

    def draw(self, rng: np.random.Generator, n: int) -> Mapping[str, FractionArray]:
        """Return any parameters; a smooth curve is alike for all neurons."""
        del n
        return self.drawn(rng)

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """See the module. int64 holds every term: 32 bits of a difference and 16 of m."""
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        values, shift = node.arrays["values"], node.integers["shift"]
        number = codes - source.format.raw_min
        k, m = number >> shift, number & ((1 << shift) - 1)
        below, above = values.raw[k], values.raw[k + 1]
        total = (below << shift) + (above - below) * m
        down = shift + values.format.fb - target.format.fb
        return saturate(round_shift(total, down, target.rounding), target.format)

    def multiplications(self, node: Node) -> int:
        """Not counted: at most one per element, beside a dense layer's many."""
        del node
        return 0

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """The table, and the numbers of `qd_table`."""
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        _check(node, program)
        values, shift = node.arrays["values"], node.integers["shift"]
        bound = _largest_term(values.raw, shift)
        bits = {
            "x": container(source.format, f"tensor {source.id}"),
            "y": container(target.format, f"tensor {target.id}"),
            "v": container(values.format, f"the table of {node.name}"),
            "a": 32 if bound < 1 << 31 else 64,
        }
        return {
            "kernel": Kernel("table", tuple(bits.items())),
            "op": node.op,
            "n": source.tensor.size,
            "entries": values.raw,
            "value_type": ctype(bits["v"]),
            "value_format": str(values.format),
            "input_format": str(source.format),
            "output_format": str(target.format),
            "bound": bound,
            "accumulator_bits": bits["a"],
            "first": source.format.raw_min,
            "spacing": shift,
            "shift": shift + values.format.fb - target.format.fb,
            "rounding": target.rounding.value,
            "lo": target.format.raw_min,
            "hi": target.format.raw_max,
            "table_bytes": values.raw.size * bits["v"] // 8,
        }


def _check(node: FixedNode, program: FixedNetwork) -> None:
    """Refuse a table that does not have a value for every code.

    Raises:
        InputError: the node's numbers contradict each other.
    """
    source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
    values, shift = node.arrays["values"], node.integers["shift"]
    claims = {
        "size": source.tensor.size == target.tensor.size,
        "width of codes": source.format.bits <= LOOKUP_BITS,
        "spacing": 0 <= shift <= source.format.bits,
        "number of values": 0 <= shift <= source.format.bits
        and values.raw.shape == ((1 << (source.format.bits - shift)) + 1,),
        "formats": 0 <= values.format.fb - target.format.fb <= _LARGEST_SHIFT - shift,
        "width of values": values.format.bits <= _VALUE_BITS,
    }
    wrong = [claim for claim, holds in claims.items() if not holds]
    if wrong:
        raise altered(node.name, f"inconsistent {', '.join(wrong)}")


def _largest_term(values: NDArray[np.int64], shift: int) -> int:
    """Return a bound on all that is formed: y[k] * 2**s, y[k + 1] - y[k], its product with m.

    The sum of the first and the last lies between y[k] * 2**s and y[k + 1] * 2**s.
    """
    steps = int(np.abs(np.diff(values)).max(initial=0))
    return max(int(np.abs(values).max()) << shift, steps * max((1 << shift) - 1, 1))


def tabulated(curve: Smooth, source: QFormat, values: QFormat, shift: int) -> NDArray[np.int64]:
    """Return the curve at every 2**shift-th code of `source`, to nearest, saturated, as codes."""
    count = (1 << (source.bits - shift)) + 1
    codes = source.raw_min + (np.arange(count, dtype=np.int64) << shift)
    bits = max(values.fb, 0) + 32
    lo, hi = curve.value(codes, source.fb, bits)
    return saturate(round_shift((lo + hi) >> 1, bits - values.fb, Rounding.NEAREST), values)
