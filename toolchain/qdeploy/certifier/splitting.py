"""Branch and bound over the input box: cut the leaves that decide the bound, many at once.

The tree only says where to cut; `proof.tree` derives the leaves and their bounds. Cuts follow
from bounds alone, never from the clock or the budget, so a larger budget only adds cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.attack import Sampled
from qdeploy.certifier.method import Question, Standing
from qdeploy.certifier.tasks import Scene, Task, in_pieces
from qdeploy.proof import kernel, tree
from qdeploy.proof.budget import SECONDS_PER_OPERATION
from qdeploy.proof.certificate import Part, SplitPart
from qdeploy.proof.dyadic import Interval, Raw
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.pair import Pair, align, coarse_grid, sharp_grid
from qdeploy.proof.ranges import analysis_operations, boxes_on_grid

_ROUND = 512
"""Leaves that are cut at once, unless the tree is large."""
_LARGEST_ROUND = 4096
_SHARE_OF_TREE = 8
_PIECE = 256
"""Boxes of one task; more are analysed no faster together."""
_PIECE_NUMBERS = 1 << 18
"""Boxes of one task times outputs."""
_MOST_NUMBERS = 1 << 22
"""Nodes of a tree times outputs: the bounds of all are kept."""
_FEW_CELLS = 64
"""An exact leaf of more codes is cut first."""
_CLOSE_ENOUGH = 1.002
_PROBE = 512
"""Boxes after which splitting must have gained something to go on."""
_LEAST_GAIN = 0.03
"""Of the bound."""
_LEAST_MEAN_GAIN = 0.1
"""Of the leaves' mean bound: where tables saturate, the worst leaf falls last."""
_LEAST_STEEPNESS = 1e-6
_WORTH_CUTTING = 0.5
"""Leaves below this part of the worst one wait."""
_SMALLEST_SIDE = 2
"""Units of the grid below which nothing is cut."""
_LEAST_OUTPUT = 0.1
"""Outputs that deviate less than this part of the largest one are not worth splitting for."""
_SMALLEST_FLOOR = 1e-30
_GRID_STEP = 5
_SHARP = 1.02
"""What a coarser grid may cost."""
_PROBE_SIDE = 8
"""Grids are compared on a box in the middle whose sides are this much shorter."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prices:
    """Predicted seconds, and how far a tree may grow."""

    grid: int
    box: float
    """Of analysing one box among many."""
    least: float
    """Of analysing boxes at all, however few."""
    most_boxes: int
    """Boxes that the checker is willing to analyse."""


@lru_cache(maxsize=2)
def sharp_pair(known: Analysis) -> Pair:
    """Put network and program on the coarsest grid whose rounding hardly shows in small boxes.

    Raises:
        MismatchError: no such grid holds the program.
    """
    finest = sharp_grid(known.program)
    last = known.pairs.on(finest)
    best = _probe(last, known)
    coarser = range(coarse_grid(known.program), finest - _GRID_STEP + 1, _GRID_STEP)
    pairs = (align(known.network, known.program, grid) for grid in coarser)
    return next((pair for pair in pairs if _probe(pair, known) <= _SHARP * best), last)


def _probe(pair: Pair, known: Analysis) -> float:
    """Bound the deviation over a small box in the middle of the region."""
    whole = boxes_on_grid([known.box], pair.grid)
    middle, side = (whole.lo + whole.hi) >> 1, (whole.hi - whole.lo) // (2 * _PROBE_SIDE)
    leaf = tree.Leaves(Interval(middle - side, middle + side), np.zeros(1, dtype=bool))
    bound = tree.leaf_bounds(pair, known.program, leaf)
    return float(bound.max()) * 2.0**-pair.grid


def predict(known: Analysis, pair: Pair) -> Prices:
    """Predict what boxes cost."""
    operations = kernel.leaf_operations(known, pair.grid)
    return Prices(
        pair.grid,
        SECONDS_PER_OPERATION * operations,
        SECONDS_PER_OPERATION * analysis_operations(pair),
        tree.LARGEST_WORK // operations // 2,
    )


def bound_boxes(scene: Scene, grid: int, boxes: Interval) -> tuple[Raw, NDArray[np.bool_]]:
    """Bound boxes [boxes, n] as linear leaves, and as exact ones where they have few codes."""
    pair = scene.pair(grid)
    linear = np.zeros(len(boxes.lo), dtype=bool)
    bounds = tree.leaf_bounds(pair, scene.program, tree.Leaves(boxes, linear))
    few = np.flatnonzero(_few_cells(pair, boxes))
    exact = np.zeros(len(boxes.lo), dtype=bool)
    if len(few):
        leaves = tree.Leaves(_rows(boxes, few), np.ones(len(few), dtype=bool))
        found = tree.leaf_bounds(pair, scene.program, leaves)
        better = (found <= bounds[few]).all(axis=1)
        bounds[few[better]] = found[better]
        exact[few[better]] = True
    return bounds, exact


def _cells(pair: Pair, boxes: Interval) -> Raw:
    return tree.count_cells(pair.input, pair.input_rounding, boxes, pair.grid)


def _few_cells(pair: Pair, boxes: Interval) -> NDArray[np.bool_]:
    """Which boxes have so few codes that all may be run."""
    most = min(_FEW_CELLS, tree.LARGEST_CELL_CORNERS // boxes.lo.shape[1])
    return np.asarray(_cells(pair, boxes) <= most, dtype=bool)


def _rows(boxes: Interval, rows: NDArray[np.int64] | slice) -> Interval:
    return Interval(boxes.lo[rows], boxes.hi[rows])


@dataclass(frozen=True, slots=True)
class _Cut:
    """The next step: leaves (by their place among the leaves) and their halves."""

    chosen: NDArray[np.int64]
    axes: NDArray[np.int64]
    halves: Interval
    boxes: int
    """Boxes to be analysed, cells of exact leaves among them."""


class Growth:
    """A tree while it grows. Nodes are only ever added, so earlier trees remain readable."""

    def __init__(self, question: Question, prices: Prices) -> None:
        self.prices = prices
        self.pair = question.scene.pair(prices.grid)
        self.floor = _floor(question.found)
        self.exact: list[bool] = []
        self.axes: list[int] = []
        self.children: list[int] = []
        """Of every node the first of its two children, 0 for a leaf."""
        self.depths: list[int] = []
        self.bounds: list[Raw] = []
        """Of all nodes, some a step."""
        root = boxes_on_grid([question.box], prices.grid)
        self._boxes = Interval(root.lo[:0], root.hi[:0])
        self._nodes = np.zeros(0, dtype=np.int64)
        self._heights = np.zeros((0, len(self.floor)))
        none = np.zeros(0, dtype=np.int64)
        self._cut: _Cut | None = _Cut(none, none, root, self._count(root))
        self._spent = 0
        self._first_score = np.inf
        self._standing: GrownTree | None = None

    def price(self) -> float | None:
        """Predict the next round of cuts."""
        if self._cut is None:
            return None
        return max(self.prices.least, self._cut.boxes * self.prices.box)

    def tasks(self) -> tuple[Task, ...]:
        """Return the next boxes, some a task."""
        if self._cut is None:
            return ()
        halves = self._cut.halves
        size = max(1, min(_PIECE, _PIECE_NUMBERS // len(self.floor)))
        pieces = in_pieces(len(halves.lo), size)
        share = (self.price() or 0.0) / len(pieces)
        return tuple(
            Task(bound_boxes, (self.prices.grid, _rows(halves, piece)), share) for piece in pieces
        )

    def take(self, answers: Sequence[tuple[Raw, NDArray[np.bool_]]]) -> None:
        """Put halves in the place of the leaves that were cut, and choose what to cut next."""
        if self._cut is None:
            return
        bounds = np.concatenate([bound for bound, _ in answers])
        self._add(self._cut, bounds, np.concatenate([exact for _, exact in answers]))
        self._spent += self._cut.boxes
        self._cut = self._next()
        self._standing = GrownTree(self, len(self.axes))

    def standing(self) -> Standing | None:
        """Return the tree as it is now."""
        return self._standing

    def _count(self, boxes: Interval) -> int:
        few = _few_cells(self.pair, boxes)
        return len(boxes.lo) + int(_cells(self.pair, boxes)[few].sum())

    def _add(self, cut: _Cut, bounds: Raw, exact: NDArray[np.bool_]) -> None:
        first, count = len(self.axes), len(bounds)
        parents = self._nodes[cut.chosen].tolist()
        for place, (leaf, axis) in enumerate(zip(parents, cut.axes.tolist(), strict=True)):
            self.axes[leaf], self.children[leaf] = axis, first + 2 * place
            self.depths += [self.depths[leaf] + 1] * 2
        self.depths += [0] * (len(self.axes) + count - len(self.depths))  # the root's
        self.axes += [0] * count
        self.children += [0] * count
        self.exact += exact.tolist()
        self.bounds.append(bounds)
        keep = np.ones(len(self._nodes), dtype=bool)
        keep[cut.chosen] = False
        heights = bounds.astype(np.float64) * 2.0**-self.prices.grid
        if len(self.floor) == 1 and len(cut.chosen):
            # Halves may be bounded worse than their whole, which then stays a leaf (`_pruned`).
            heights = np.minimum(heights, np.repeat(self._heights[cut.chosen], 2, axis=0))
        self._nodes = np.concatenate([self._nodes[keep], np.arange(first, first + count)])
        self._heights = np.concatenate([self._heights[keep], heights])
        sides = ((getattr(self._boxes, s)[keep], getattr(cut.halves, s)) for s in ("lo", "hi"))
        self._boxes = Interval(*(np.concatenate(side) for side in sides))

    def _next(self) -> _Cut | None:
        """Choose the leaves with the largest bounds.

        None when they meet the floor, or the tree has become as large as anybody would check, or
        the first cuts gained next to nothing, as in boxes of many inputs.
        """
        score = (self._heights / self.floor).max(axis=1)
        worst = float(score.max())
        self._first_score = min(self._first_score, worst) if len(score) == 1 else self._first_score
        if self._spent > _PROBE and self._gained_nothing(worst, float(score.mean())):
            return None
        size = min(_LARGEST_ROUND, max(_ROUND, len(score) // _SHARE_OF_TREE))
        order = np.argsort(-score, kind="stable")[:size]
        chosen = order[score[order] > max(_CLOSE_ENOUGH, worst * _WORTH_CUTTING)]
        boxes = _rows(self._boxes, chosen)
        if len(chosen) == 0 or ((boxes.hi - boxes.lo).max(axis=1) <= _SMALLEST_SIDE).any():
            return None
        axes = _axes(self.pair, boxes)
        halves = tree.halves(boxes, axes)
        cut = _Cut(chosen, axes, halves, self._count(halves))
        numbers = (len(self.axes) + len(halves.lo)) * len(self.floor)
        if self._spent + cut.boxes > self.prices.most_boxes or numbers > _MOST_NUMBERS:
            return None
        return cut

    def _gained_nothing(self, worst: float, mean: float) -> bool:
        return (
            worst > (1 - _LEAST_GAIN) * self._first_score
            and mean > (1 - _LEAST_MEAN_GAIN) * self._first_score
        )


class GrownTree:
    """A tree as it was when it had so many nodes."""

    def __init__(self, growth: Growth, nodes: int) -> None:
        self.growth = growth
        self.nodes = nodes
        _, reach = self._pruned()
        self._reach = reach.astype(np.float64) * 2.0**-growth.prices.grid

    @property
    def bounds(self) -> Floats:
        """Return the largest bound over its leaves, output by output."""
        return self._reach

    def _pruned(self) -> tuple[NDArray[np.bool_], Raw]:
        """Return which nodes are leaves of what is written, and its bounds."""
        children = np.array(self.growth.children[: self.nodes])
        depths = np.array(self.growth.depths[: self.nodes])
        return _pruned(np.where(children < self.nodes, children, 0), depths, self._bounds)

    @property
    def _bounds(self) -> Raw:
        return np.concatenate(self.growth.bounds)[: self.nodes]

    def part(self) -> Part:
        """Return the tree as a certificate holds it, with its bounds."""
        leaf, _ = self._pruned()
        tree_bytes, kept = self._written(leaf)
        grid = self.growth.prices.grid
        return kernel.split_part(SplitPart(grid, tree_bytes), self._bounds[kept])

    def _written(self, leaf: NDArray[np.bool_]) -> tuple[bytes, NDArray[np.int64]]:
        """Return the tree level by level, and which nodes are its leaves."""
        exact, children = np.array(self.growth.exact[: self.nodes]), self.growth.children
        ends = np.where(exact, tree.EXACT_LEAF, tree.LINEAR_LEAF)
        codes = np.where(leaf, ends, np.array(self.growth.axes[: self.nodes]))
        out, level, kept = bytearray(), np.array([0]), []
        while len(level):
            kept.append(level[leaf[level]])
            out += codes[level].astype(np.uint8).tobytes()
            first = np.array([children[node] for node in level[~leaf[level]]], dtype=np.int64)
            level = (first[:, None] + np.arange(2)).ravel()
        return bytes(out), np.concatenate(kept)


def _pruned(
    children: NDArray[np.int64], depths: NDArray[np.int64], bounds: Raw
) -> tuple[NDArray[np.bool_], Raw]:
    """Return which nodes to make leaves, and the bounds of the tree that results, output by output.

    Leaves become those whose parts are bounded no better, in any output. Children stand behind
    their parents, and 0 stands for none.
    """
    best, leaf = bounds.copy(), children == 0
    for depth in range(int(depths.max()) - 1, -1, -1):
        nodes = np.flatnonzero((depths == depth) & ~leaf)
        first = children[nodes]
        parts = np.maximum(best[first], best[first + 1])
        worse = (best[nodes] <= parts).all(axis=1)
        leaf[nodes[worse]] = True
        best[nodes[~worse]] = parts[~worse]
    return leaf, best[0]


def _floor(found: Sampled) -> Floats:
    """Return the deviation per output that no bound can go below, or is not worth going below."""
    largest = max(float(found.linf), _SMALLEST_FLOOR)
    return np.maximum([float(v) for v in found.per_output], _LEAST_OUTPUT * largest)


def _axes(pair: Pair, boxes: Interval) -> NDArray[np.int64]:
    """Cut across the side that moves the first layer most."""
    weight = np.abs(pair.layers[0].w.astype(np.float64)).sum(axis=0)
    sides = (boxes.hi - boxes.lo).astype(np.float64)
    steepness = np.maximum(weight, weight.max() * _LEAST_STEEPNESS)
    return np.asarray(np.argmax(sides * steepness, axis=1), dtype=np.int64)
