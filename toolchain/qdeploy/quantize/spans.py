"""Which codes a tensor holds: over the regions (proven, element by element), and at all.

Interval arithmetic through the integer program itself, so rounding and saturation are in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Integers, QFormat, Rounding, encode, round_shift
from qdeploy.ir import Box, FixedNetwork, FixedNode, FixedTensor
from qdeploy.ops import execute, integer_sums
from qdeploy.quantize.formats import code

_EVEN = 0.5
_KINDS = 3
"""Of samples: corners are a third."""


@dataclass(frozen=True, slots=True)
class Span:
    """Codes of one tensor: for inputs in region r, lo[r, i] <= code i <= hi[r, i]."""

    tensor: FixedTensor
    lo: NDArray[np.int64]
    hi: NDArray[np.int64]
    least: int
    """Smallest code for any input code whatever, also outside the regions."""
    most: int
    seen: NDArray[np.int64]
    """Codes that some inputs of the regions lead to, [samples, n]."""

    @property
    def magnitude(self) -> int:
        """Largest |code| for any input code whatever."""
        return max(-self.least, self.most)


def input_span(tensor: FixedTensor, regions: tuple[Box, ...], samples: int) -> Span:
    """Return the codes the regions' real inputs are rounded and saturated to."""
    fmt, mode = tensor.format, tensor.rounding
    seen = encode(sampled(regions, samples), fmt, mode)
    lo = [[code(v, fmt.fb, mode) for v in box.lo] for box in regions]
    hi = [[code(v, fmt.fb, mode) for v in box.hi] for box in regions]
    return Span(tensor, _saturated(lo, fmt), _saturated(hi, fmt), fmt.raw_min, fmt.raw_max, seen)


def sampled(regions: tuple[Box, ...], count: int) -> NDArray[np.float64]:
    """Return inputs of the regions in turn: corners, centres, and random ones; always the same."""
    rng = np.random.default_rng(0)
    lo, hi = (
        np.array([[float(v) for v in getattr(box, side)] for box in regions])
        for side in ("lo", "hi")
    )
    which = np.arange(count) % len(regions)
    share = rng.random((count, lo.shape[1]))
    kind = np.arange(count) // len(regions) % _KINDS
    share[kind == 0] = share[kind == 0].round()
    share[: len(regions)] = _EVEN
    low, high = lo[which], hi[which]
    return np.asarray(np.clip(low * (1.0 - share) + high * share, low, high))


def _saturated(codes: list[list[int]], fmt: QFormat) -> NDArray[np.int64]:
    clipped = [[min(max(c, fmt.raw_min), fmt.raw_max) for c in row] for row in codes]
    return np.array(clipped, dtype=np.int64)


def sum_span(
    source: Span, weight: NDArray[np.int64], bias: NDArray[np.int64]
) -> tuple[Integers, Integers]:
    """Return the least and greatest sum of every neuron over each region.

    pre: the accumulator was proven to hold the sums, so int64 holds what is formed here.
    """
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    nothing = np.zeros_like(bias)
    lo = integer_sums(source.lo, positive, bias) + integer_sums(source.hi, negative, nothing)
    hi = integer_sums(source.hi, positive, bias) + integer_sums(source.lo, negative, nothing)
    return lo, hi


def rounded_span(
    tensor: FixedTensor,
    sums: tuple[Integers, Integers, Integers],
    shift: int,
    clamp: tuple[int, int],
) -> Span:
    """Return the codes that a rounding shift and a clamp make of sums: least, greatest, seen."""
    lo, hi, seen = (_finish(s, shift, tensor.rounding, clamp) for s in sums)
    return Span(tensor, lo, hi, *clamp, seen)


def _finish(
    sums: Integers, shift: int, mode: Rounding, clamp: tuple[int, int]
) -> NDArray[np.int64]:
    return np.clip(round_shift(sums, shift, mode), *clamp).astype(np.int64)


def node_span(node: FixedNode, source: Span, tensor: FixedTensor) -> Span:
    """Return the codes that an activation on its own makes of its input's.

    Every activation is monotone below code 0 and above it, so the ends of an interval and, where
    it lies between them, 0 decide.
    """
    program = FixedNetwork(
        node.name, (source.tensor.id,), (tensor.id,), (source.tensor, tensor), (node,)
    )
    shape = (1, source.tensor.tensor.size)
    lo, hi = _image(program, source.lo, source.hi)
    least, most = _image(program, np.full(shape, source.least), np.full(shape, source.most))
    seen = execute(program, source.seen)
    return Span(tensor, lo, hi, int(least.min()), int(most.max()), seen)


def _image(
    program: FixedNetwork, lo: NDArray[np.int64], hi: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ends = [execute(program, codes) for codes in (lo, np.clip(0, lo, hi), hi)]
    return np.minimum.reduce(ends), np.maximum.reduce(ends)
