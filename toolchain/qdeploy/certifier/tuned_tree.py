"""The search for bounds with tuned slopes: more turns for the whole region, then cuts.

Each step tunes a few boxes from the start, so that what a leaf is bounded by depends on its box
and the turns alone. Cuts go where the bound is decided, along the axis whose halves have the least
bounds by standard lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.method import Question, Reached, Standing
from qdeploy.certifier.splitting import sharp_pair
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.certifier.tuning import searching
from qdeploy.proof import kernel, tree, tuned
from qdeploy.proof.budget import SECONDS_PER_OPERATION
from qdeploy.proof.certificate import TunedPart
from qdeploy.proof.dyadic import Interval, Raw
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.pair import Pair
from qdeploy.proof.ranges import analysis_operations, boxes_on_grid, is_open

Floats = NDArray[np.float64]
LeafSlopes = tuple[tuple[int, ...], ...]

_TURNS = (20, 60)
"""Of the whole region, step by step."""
_MORE_TURNS = 300
"""Where the region has so many inputs that cuts help little."""
_FEW_INPUTS = 8
_LEAF_TURNS = 40
_MOST_SLOPES = 1 << 20
"""Of one task; tasks of more are left to the standard lines."""
_MOST_STORED = 1 << 23
"""Of all leaves: a file of twenty megabytes."""
_CUTS = 2
"""Leaves that are cut in one step."""
_MOST_AXES = 16
"""Among so many, the longest ones, the best to cut along is looked for."""
_PATIENCE = 8
"""Cuts after which one must have gained something to go on."""
_LEAST_GAIN = 0.03
_CLOSE_ENOUGH = 1.002
_SMALLEST_SIDE = 2
"""Units of the grid below which nothing is cut."""
_SECONDS_PER_SLOPE = 1e-7
"""Of one turn; these are of the reference machine."""
_SECONDS_PER_PRODUCT = 3e-9
_SECONDS_PER_STAGE = 1.5e-4
_PASSES = 6
"""Exact passes over a box, in those by standard lines."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Predicted seconds."""

    grid: int
    turn: float
    """Of one turn of all tasks over the whole region."""
    exact: float
    """Of deriving a leaf's bound again."""
    slopes: int
    """That the whole region needs."""
    leaves: int
    """That a check takes on."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A box with its slopes and the bounds that follow, raw on the grid."""

    box: Interval
    slopes: LeafSlopes
    bounds: Raw


def predict(known: Analysis) -> Prices | None:
    """Predict what a region costs; None where slopes cannot be tuned, or nothing is to be."""
    if not tuned.supported(known.pair) or len(known.pair.layers) == 1:
        return None
    pair = _pair_for(known)
    slopes, products, stages = _sizes(known)
    if not 0 < slopes <= _MOST_STORED:
        return None
    turn = (
        _SECONDS_PER_SLOPE * slopes + _SECONDS_PER_PRODUCT * products + _SECONDS_PER_STAGE * stages
    )
    operations = kernel.leaf_operations(known, pair.grid)
    exact = _PASSES * SECONDS_PER_OPERATION * operations
    leaves = tuned.affordable_leaves(pair, operations)
    return Prices(pair.grid, turn, exact, slopes, leaves) if leaves else None


def _pair_for(known: Analysis) -> Pair:
    if analysis_operations(known.pair) > kernel.LARGEST_FINE_ANALYSIS:
        return known.pair
    return sharp_pair(known)


def _sizes(known: Analysis) -> tuple[int, int, int]:
    """Return slopes of all tasks, products of one turn, and passes through a layer."""
    pair = known.pair
    opened = [
        0 if layer.curve is None else int(is_open(layer, found.y, found.z, pair.grid).sum())
        for layer, found in zip(pair.layers, known.tight.layers, strict=True)
    ]
    slopes = products = stages = 0
    for index, layer in enumerate(pair.layers[1:], start=1):
        rows = 2 * layer.width if layer.curve is None else 6 * opened[index]
        needed = 2 * rows * sum(opened[:index])
        if rows == 0 or needed > 3 * _MOST_SLOPES:
            continue
        slopes += needed
        products += rows * sum(before.w.size for before in pair.layers[:index])
        stages += 3 * index
    return slopes, products, stages


def tune(scene: Scene, grid: int, box: Interval, turns: int) -> tuple[LeafSlopes, Raw]:
    """Find slopes for one box [1, n]; return them with the bounds they prove."""
    found: list[list[int]] = []
    bounds = tuned.leaf_bound(scene.pair(grid), box, searching(turns, _MOST_SLOPES, found))
    return tuple(map(tuple, found)), bounds


def best_axis(scene: Scene, grid: int, box: Interval) -> int:
    """Return the axis along which the halves of a box are bounded best by standard lines."""
    pair = scene.pair(grid)
    weight = np.abs(pair.layers[0].w.astype(np.float64)).sum(axis=0)
    reach = (box.hi - box.lo)[0].astype(np.float64) * weight
    axes = np.argsort(-reach, kind="stable")[:_MOST_AXES]
    rows = np.zeros(len(axes), dtype=np.int64)
    halves = tree.halves(Interval(box.lo[rows], box.hi[rows]), axes)
    leaves = tree.Leaves(halves, np.zeros(len(halves.lo), dtype=bool))
    bounds = tree.leaf_bounds(pair, scene.program, leaves).max(axis=1).reshape(len(axes), 2)
    return int(axes[np.argmin(bounds.sum(axis=1))])


def cut(
    scene: Scene, grid: int, box: Interval, turns: int
) -> tuple[int, list[tuple[LeafSlopes, Raw]]]:
    """Halve a box along its best axis and tune both halves; return the axis and what was found."""
    axis = best_axis(scene, grid, box)
    halves = tree.halves(box, np.array([axis]))
    found = [
        tune(scene, grid, Interval(halves.lo[side : side + 1], halves.hi[side : side + 1]), turns)
        for side in range(2)
    ]
    return axis, found


class Refinement:
    """The region's tree while it grows."""

    def __init__(self, question: Question, prices: Prices) -> None:
        self._prices = prices
        self._floor = float(question.found.linf)
        self._whole = boxes_on_grid([question.box], prices.grid)
        inputs = self._whole.lo.shape[1]
        self._turns = [*_TURNS, *([] if inputs <= _FEW_INPUTS else [_MORE_TURNS])]
        self._leaves: dict[int, Leaf] = {}
        """By the node they are."""
        self._axes: dict[int, int] = {}
        self._children: dict[int, int] = {}
        self._nodes = 1
        self._reached: Reached | None = None
        self._first = np.inf
        self._chosen: list[int] = []
        self._over = False

    def price(self) -> float | None:
        """Predict the next turns, or cuts."""
        if self._turns:
            return self._prices.turn * self._turns[0] + self._prices.exact
        if self._over:
            return None
        return len(self._chosen) * self._halving

    @property
    def _halving(self) -> float:
        inputs: int = min(self._whole.lo.shape[1], _MOST_AXES)
        tuning = 2 * (self._prices.turn * _LEAF_TURNS + self._prices.exact)
        return tuning + 2 * inputs * self._prices.exact / _PASSES

    def tasks(self) -> tuple[Task, ...]:
        """Return the whole region with more turns than before, or leaves to be cut."""
        grid = self._prices.grid
        if self._turns:
            turns = self._turns[0]
            return (Task(tune, (grid, self._whole, turns), self.price() or 0.0),)
        return tuple(
            Task(cut, (grid, self._leaves[node].box, _LEAF_TURNS), self._halving)
            for node in self._chosen
        )

    def take(self, answers: Sequence[object]) -> None:
        """Keep the better slopes of the whole, or put halves in the place of leaves."""
        if self._turns:
            self._turns.pop(0)
            self._take_whole(answers[0])  # type: ignore[arg-type]
        else:
            self._take_halves(answers)  # type: ignore[arg-type]
        self._choose()
        self._reached = Reached(kernel.leaves_part("tuned", *self._written()))

    def standing(self) -> Standing | None:
        """Return the tree as it is now."""
        return self._reached

    def _take_whole(self, answer: tuple[LeafSlopes, Raw]) -> None:
        slopes, bounds = answer
        if not self._leaves or bounds.max() < self._leaves[0].bounds.max():
            self._leaves[0] = Leaf(self._whole, slopes, bounds)
        self._first = float(self._leaves[0].bounds.max())

    def _take_halves(self, answers: Sequence[tuple[int, list[tuple[LeafSlopes, Raw]]]]) -> None:
        for node, (axis, found) in zip(self._chosen, answers, strict=True):
            halves = tree.halves(self._leaves.pop(node).box, np.array([axis]))
            self._axes[node], self._children[node] = axis, self._nodes
            for side, (slopes, bounds) in enumerate(found):
                box = Interval(halves.lo[side : side + 1], halves.hi[side : side + 1])
                self._leaves[self._nodes + side] = Leaf(box, slopes, bounds)
            self._nodes += 2

    def _choose(self) -> None:
        """Choose the worst leaves; nothing is left where they are good enough, or cuts in vain."""
        scale = 2.0**-self._prices.grid
        worst = {node: float(leaf.bounds.max()) for node, leaf in self._leaves.items()}
        self._chosen = sorted(worst, key=lambda node: (-worst[node], node))[:_CUTS]
        height = worst[self._chosen[0]]
        in_vain = len(self._leaves) > _PATIENCE and height > (1 - _LEAST_GAIN) * self._first
        stored = [sum(map(len, leaf.slopes)) for leaf in self._leaves.values()]
        growth = len(self._chosen)
        box = self._leaves[self._chosen[0]].box
        self._over = bool(
            in_vain
            or height * scale <= _CLOSE_ENOUGH * self._floor
            or sum(stored) + growth * max(stored) > _MOST_STORED
            or len(stored) + growth > self._prices.leaves
            or box.lo.shape[1] > tree.LARGEST_AXIS
            or (box.hi - box.lo).max() <= _SMALLEST_SIDE
        )

    def _written(self) -> tuple[TunedPart, Raw]:
        """Return the tree level by level with the slopes of its leaves, and their bounds."""
        out, level, order = bytearray(), [0], []
        while level:
            order += [node for node in level if node in self._leaves]
            out += bytes(self._axes.get(node, tree.LINEAR_LEAF) for node in level)
            parents = [node for node in level if node in self._axes]
            level = [self._children[node] + side for node in parents for side in range(2)]
        slopes = tuple(self._leaves[node].slopes for node in order)
        bounds = np.stack([self._leaves[node].bounds.astype(object) for node in order])
        return TunedPart(self._prices.grid, bytes(out), slopes), bounds
