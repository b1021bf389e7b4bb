"""A region cut into leaves: what a tree means, and the bound over all its leaves.

A tree is stored level by level, one byte a node: the axis along which the box is halved, or the
kind of a leaf. Leaves are derived from the region and the tree, so they cover it by construction.

* A *linear* leaf is bounded by back-substitution over its box.
* An *exact* leaf runs the program on every input code its box can produce, and bounds the network
  over the closed preimage of each code within the box (saturated codes reach to infinity).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy import ops
from qdeploy.fixedpoint import QFormat, Rounding, round_shift
from qdeploy.ir import FixedNetwork
from qdeploy.proof.dyadic import NARROW_BITS, NARROW_GRIDS, Interval, Raw, stored, widest
from qdeploy.proof.enclosure import Ranges
from qdeploy.proof.pair import Pair
from qdeploy.proof.ranges import analyse, analysis_operations, reference_error

LINEAR_LEAF = 254
EXACT_LEAF = 255
LARGEST_AXIS = 250
LARGEST_TREE = 1 << 21
"""Nodes a tree may have."""
LARGEST_CELLS = 4096
"""Codes an exact leaf may enumerate."""
LARGEST_CELL_CORNERS = 1 << 20
"""Codes of one exact leaf times inputs: some Python integers each."""
LARGEST_BOUNDS = 1 << 23
"""Leaves times outputs: all are held at once."""
LARGEST_CORNERS = 1 << 25
"""Leaves (or codes of few leaves) times inputs that may stand in memory at once."""
LARGEST_WORK = 400_000_000_000
"""Operations that all leaves together may take; most of an hour."""
_WIDE_FACTOR = 10
"""How much slower Python's integers are, at worst."""
_LEAST_OPERATIONS = 10_000
_BATCH = 256
_EXACT_BATCH = 64
_BATCH_NUMBERS = 1 << 18
"""Neurons times boxes that are enclosed together: 2 MiB an array, dozens of which are needed."""


class TreeError(ValueError):
    """The tree proves nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """Boxes [leaves, n] that cover a region, and which of them are exact."""

    boxes: Interval
    exact: NDArray[np.bool_]


def expand(tree: bytes, root: Interval) -> Leaves:
    """Return the leaves of a tree over the box `root` [1, n].

    Raises:
        TreeError: bytes are left over or missing, or an axis or a kind is none.
    """
    boxes, kinds = pieces(tree, root, (LINEAR_LEAF, EXACT_LEAF))
    return Leaves(boxes, kinds == EXACT_LEAF)


def pieces(
    tree: bytes, root: Interval, allowed: Sequence[int]
) -> tuple[Interval, NDArray[np.int64]]:
    """Return the boxes of a tree's leaves and the kind of each, one of those `allowed`.

    Raises:
        TreeError: bytes are left over or missing, or an axis or a kind is none.
    """
    if len(tree) > LARGEST_TREE:
        raise TreeError(f"a tree of {len(tree)} nodes is beyond {LARGEST_TREE}")
    _require_room((len(tree) + 1) // 2, root.lo.shape[1])
    nodes = np.frombuffer(tree, dtype=np.uint8).astype(np.int64)
    level, position = root, 0
    boxes: list[Interval] = []
    kinds: list[NDArray[np.int64]] = []
    while len(level.lo):
        codes = nodes[position : position + len(level.lo)]
        position += len(level.lo)
        if len(codes) < len(level.lo):
            raise TreeError("the tree ends before its leaves")
        ends = codes > LARGEST_AXIS
        if not np.isin(codes[ends], allowed).all():
            raise TreeError("a leaf is of no known kind")
        boxes.append(Interval(level.lo[ends], level.hi[ends]))
        kinds.append(codes[ends])
        level = halves(Interval(level.lo[~ends], level.hi[~ends]), codes[~ends])
    if position != len(nodes):
        raise TreeError("the tree goes on after its leaves")
    lo, hi = (np.concatenate([getattr(b, side) for b in boxes]) for side in ("lo", "hi"))
    return Interval(lo, hi), np.concatenate(kinds)


def _require_room(boxes: int, inputs: int) -> None:
    if boxes * inputs > LARGEST_CORNERS:
        raise TreeError(f"{boxes} boxes of {inputs} inputs are beyond {LARGEST_CORNERS} corners")


def halves(boxes: Interval, axes: NDArray[np.int64]) -> Interval:
    """Cut every box in the middle of its axis; lower halves stand before their upper halves."""
    if len(axes) and int(axes.max()) >= boxes.lo.shape[1]:
        raise TreeError("a cut goes along an axis that the region does not have")
    rows = np.arange(len(axes))
    middle = (boxes.lo[rows, axes] + boxes.hi[rows, axes]) >> 1
    lo, hi = (np.repeat(side, 2, axis=0) for side in (boxes.lo, boxes.hi))
    hi[2 * rows, axes] = middle
    lo[2 * rows + 1, axes] = middle
    return Interval(lo, hi)


def outgrows(pair: Pair, found: Ranges, grid: int) -> bool:
    """Whether 64 bits do not hold some number of a region on the pair's grid.

    `found` encloses the region on a grid of its own.
    """
    if pair.grid not in NARROW_GRIDS:
        return True
    boxes = [box for layer in found.layers for box in (layer.y, layer.z, layer.d)]
    bits = max(widest(side) for box in boxes for side in (box.lo, box.hi))
    return bits + pair.grid - grid > NARROW_BITS


def leaf_operations(pair: Pair, *, wide: bool) -> int:
    """Estimate what analysing one leaf among many costs; `wide`: numbers outgrow 64 bits."""
    operations = _LEAST_OPERATIONS + analysis_operations(pair, _BATCH) // _BATCH
    return operations * (_WIDE_FACTOR if wide else 1)


def count_pieces(pair: Pair, leaves: Leaves) -> int:
    """Return how many boxes are analysed: leaves, and the codes of exact ones."""
    exact = _rows(leaves.boxes, np.flatnonzero(leaves.exact))
    cells = int(count_cells(pair.input, pair.input_rounding, exact, pair.grid).sum())
    return len(leaves.exact) + cells


def require_affordable(pair: Pair, leaves: Leaves, *, wide: bool) -> int:
    """Return the operations all leaves take; refuse trees that nobody would wait for.

    Raises:
        TreeError: the leaves and codes are too many for this network.
    """
    pieces = count_pieces(pair, leaves)
    if len(leaves.exact) * pair.layers[-1].width > LARGEST_BOUNDS:
        raise TreeError(
            f"{len(leaves.exact)} leaves of so many outputs are beyond {LARGEST_BOUNDS}"
        )
    operations = pieces * leaf_operations(pair, wide=wide)
    if operations > LARGEST_WORK:
        raise TreeError(f"{pieces} leaves and codes are too much work")
    return operations


def leaf_bounds(pair: Pair, program: FixedNetwork, leaves: Leaves) -> Raw:
    """Bound |deviation| per leaf and output [leaves, outputs], raw on the pair's grid."""
    bounds = np.zeros((len(leaves.exact), pair.layers[-1].width), dtype=object)
    for exact, method in ((False, _linear), (True, _exact)):
        chosen = np.flatnonzero(leaves.exact == exact)
        if len(chosen):
            bounds[chosen] = method(pair, program, _rows(leaves.boxes, chosen))
    return bounds


def _batch(pair: Pair) -> int:
    """Return how many boxes are enclosed together; their bounds do not depend on it."""
    neurons = pair.layers[0].w.shape[1] + sum(layer.width for layer in pair.layers)
    return max(1, min(_BATCH, int(_BATCH_NUMBERS // neurons)))


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _rows(boxes: Interval, rows: NDArray[np.int64] | slice) -> Interval:
    return Interval(boxes.lo[rows], boxes.hi[rows])


def _linear(pair: Pair, program: FixedNetwork, boxes: Interval) -> Raw:
    """Bound |deviation| over each box [boxes, n] by back-substitution."""
    del program
    bounds = []
    for chunk in _chunks(len(boxes.lo), _batch(pair)):
        found = analyse(pair, _rows(boxes, chunk), use_linear=True, sparing=True)
        bounds.append(found.layers[-1].out.e.magnitude + reference_error(pair, found))
    return np.concatenate(bounds)


def _exact(pair: Pair, program: FixedNetwork, boxes: Interval) -> Raw:
    """Bound |deviation| over each box [boxes, n] code by code, few leaves at a time."""
    bounds = np.zeros((len(boxes.lo), pair.layers[-1].width), dtype=object)
    counts = count_cells(pair.input, pair.input_rounding, boxes, pair.grid)
    for chunk in _few_cells(counts, boxes.lo.shape[1], min(_EXACT_BATCH, _batch(pair))):
        codes, cells, first = input_cells(
            pair.input, pair.input_rounding, _rows(boxes, chunk), pair.grid
        )
        owner = np.repeat(np.arange(len(first)), np.diff(first, append=len(codes)))
        for some in _chunks(len(codes), _batch(pair)):
            gaps = _gaps(pair, program, codes[some], _rows(cells, some))
            leaves, start = np.unique(owner[some], return_index=True)
            worst = np.maximum.reduceat(gaps, start, axis=0)
            bounds[chunk][leaves] = np.maximum(bounds[chunk][leaves], worst)
    return bounds


def _few_cells(counts: Raw, inputs: int, most: int) -> Iterator[slice]:
    """Cut leaves of so many cells into runs whose cells fit into little memory.

    Raises:
        TreeError: the cells of one leaf alone do not.
    """
    start, cells = 0, 0
    for index, count in enumerate(counts.tolist()):
        if count * inputs > LARGEST_CELL_CORNERS:
            raise TreeError(f"an exact leaf of {count} codes of {inputs} inputs is too large")
        if index > start and (
            index - start >= most or (cells + count) * inputs > LARGEST_CELL_CORNERS
        ):
            yield slice(start, index)
            start, cells = index, 0
        cells += count
    if start < len(counts):
        yield slice(start, len(counts))


def _gaps(pair: Pair, program: FixedNetwork, codes: NDArray[np.int64], cells: Interval) -> Raw:
    """Bound |device - network| for each code over its cell."""
    scale = pair.grid - pair.layers[-1].output.fb
    device = ops.execute(program, codes).astype(object) << scale
    found = analyse(pair, cells, use_linear=True, sparing=True)
    real, extra = found.layers[-1].out.a, reference_error(pair, found)
    return np.asarray(np.maximum(abs(device - real.lo), abs(device - real.hi)) + extra)


def count_cells(fmt: QFormat, mode: Rounding, boxes: Interval, grid: int) -> Raw:
    """Return how many input codes each box [boxes, n] can produce, as Python integers."""
    low, high = code_range(fmt, mode, boxes, grid)
    return np.asarray((high - low + 1).astype(object).prod(axis=1))


def code_range(
    fmt: QFormat, mode: Rounding, boxes: Interval, grid: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the codes of both ends; rounding and saturation are monotone.

    The closed lower end may also be the closed upper end of the code before: where the end lies
    on such a border, the code belongs to it anyway, since the device rounds that very number.
    """
    shift = grid - fmt.fb
    low, high = (
        np.clip(round_shift(side, shift, mode).astype(object), fmt.raw_min, fmt.raw_max)
        for side in (boxes.lo, boxes.hi)
    )
    return low.astype(np.int64), high.astype(np.int64)


def input_cells(
    fmt: QFormat, mode: Rounding, boxes: Interval, grid: int
) -> tuple[NDArray[np.int64], Interval, NDArray[np.int64]]:
    """Cut boxes into the parts that give one input code each.

    Returns the codes [cells, n] box by box, the part of each closed preimage inside its box, and
    where each box's cells begin.

    Raises:
        TreeError: one box has more than LARGEST_CELLS.
    """
    counts = count_cells(fmt, mode, boxes, grid)
    if counts.max() > LARGEST_CELLS:
        raise TreeError(f"an exact leaf of {counts.max()} codes is beyond {LARGEST_CELLS}")
    _require_room(int(counts.sum()), boxes.lo.shape[1])
    low, high = code_range(fmt, mode, boxes, grid)
    ranges = [
        [range(a, b + 1) for a, b in zip(*ends, strict=True)]
        for ends in zip(low.tolist(), high.tolist(), strict=True)
    ]
    codes = np.array([c for axes in ranges for c in itertools.product(*axes)], dtype=np.int64)
    owner = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
    start, end = _preimages(codes, fmt, mode, grid)
    box_lo, box_hi = boxes.lo[owner], boxes.hi[owner]
    lo = np.maximum(np.where(codes == fmt.raw_min, box_lo, start), box_lo)
    hi = np.minimum(np.where(codes == fmt.raw_max, box_hi, end), box_hi)
    first = np.searchsorted(owner, np.arange(len(counts)))
    return codes, Interval(stored(np.asarray(lo), grid), stored(np.asarray(hi), grid)), first


def _preimages(
    codes: NDArray[np.int64], fmt: QFormat, mode: Rounding, grid: int
) -> tuple[Raw, Raw]:
    """Closed ends of the reals that round to each code, saturation apart."""
    step = 1 << (grid - fmt.fb)
    centre = codes.astype(object) * step
    match mode:
        case Rounding.NEAREST:
            return centre - step // 2, centre + step // 2
        case Rounding.FLOOR:
            return centre, centre + step
        case Rounding.TRUNC:
            down, up = (side.astype(object) * step for side in (codes <= 0, codes >= 0))
            return centre - down, centre + up
