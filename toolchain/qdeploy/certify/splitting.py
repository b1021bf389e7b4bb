"""Branch and bound over the input box: cut the leaves that decide the bound, many at once.

The tree only says where to cut; `proof.tree` derives the leaves and their bounds. Work is counted
in analysed boxes, never in seconds, so that equal requests give equal trees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import Box, FixedNetwork
from qdeploy.proof import tree
from qdeploy.proof.certificate import SplitPart
from qdeploy.proof.dyadic import Interval, Raw
from qdeploy.proof.pair import Pair
from qdeploy.proof.ranges import analysis_operations, boxes_on_grid

_ROUND = 512
"""Boxes that are cut at once."""
_FEW_CELLS = 64
"""An exact leaf of more codes is cut first."""
_CLOSE_ENOUGH = 1.002
_PROBE = 512
"""Boxes after which splitting must have gained something to go on."""
_LEAST_GAIN = 0.03
_LEAST_STEEPNESS = 1e-6
_WORTH_CUTTING = 0.5
"""Leaves below this part of the worst one wait."""
_SMALLEST_SIDE = 2
"""Units of the grid below which nothing is cut."""
_SECONDS_PER_OPERATION = 4e-9


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop: boxes analysed, and the deviation per output that no bound can go below."""

    boxes: int
    floor: NDArray[np.float64]


class _Growth:
    """A tree while it grows: node codes and children by index, and the leaves with their bounds."""

    def __init__(self, pair: Pair, program: FixedNetwork, root: Interval) -> None:
        self.pair = pair
        self.program = program
        self.codes = [tree.LINEAR_LEAF]
        self.children: dict[int, int] = {}
        self.boxes = root
        self.nodes = np.array([0])
        self.spent = 0
        self.bounds, exact = self._bound(root)
        if exact[0]:
            self.codes[0] = tree.EXACT_LEAF

    def split(self, chosen: NDArray[np.int64], axes: NDArray[np.int64]) -> None:
        """Replace leaves by their halves and bound those."""
        halves = tree.halves(Interval(self.boxes.lo[chosen], self.boxes.hi[chosen]), axes)
        bounds, exact = self._bound(halves)
        first = len(self.codes)
        for leaf, axis in zip(self.nodes[chosen].tolist(), axes.tolist(), strict=True):
            self.codes[leaf] = axis
            self.children[leaf] = len(self.codes)
            self.codes += [tree.LINEAR_LEAF] * 2
        fresh = np.arange(first, len(self.codes))
        for leaf in fresh[exact].tolist():
            self.codes[leaf] = tree.EXACT_LEAF
        keep = np.ones(len(self.nodes), dtype=bool)
        keep[chosen] = False
        self.nodes = np.concatenate([self.nodes[keep], fresh])
        self.bounds = np.concatenate([self.bounds[keep], bounds])
        lo, hi = (
            np.concatenate([getattr(self.boxes, s)[keep], getattr(halves, s)]) for s in ("lo", "hi")
        )
        self.boxes = Interval(lo, hi)

    def _bound(self, boxes: Interval) -> tuple[Raw, NDArray[np.bool_]]:
        """Bound boxes as linear leaves, and as exact ones where they have few codes."""
        linear = np.zeros(len(boxes.lo), dtype=bool)
        bounds = tree.leaf_bounds(self.pair, self.program, tree.Leaves(boxes, linear))
        cells = tree.count_cells(self.pair.input, self.pair.input_rounding, boxes, self.pair.grid)
        few = np.flatnonzero(cells <= _FEW_CELLS)
        self.spent += len(boxes.lo) + int(cells[few].sum())
        exact = np.zeros(len(boxes.lo), dtype=bool)
        if len(few):
            leaves = tree.Leaves(
                Interval(boxes.lo[few], boxes.hi[few]), np.ones(len(few), dtype=bool)
            )
            found = tree.leaf_bounds(self.pair, self.program, leaves)
            better = (found <= bounds[few]).all(axis=1)
            bounds[few[better]] = found[better]
            exact[few[better]] = True
        return bounds, exact

    def written(self) -> bytes:
        """Return the tree level by level."""
        out, level = bytearray(), [0]
        while level:
            out += bytes(self.codes[node] for node in level)
            first = (self.children[node] for node in level if node in self.children)
            level = [child for start in first for child in (start, start + 1)]
        return bytes(out)


def grow(pair: Pair, program: FixedNetwork, box: Box, budget: Budget) -> SplitPart | None:
    """Cut the leaves with the largest bounds until they meet the floor or the budget ends.

    None where the first cuts gain next to nothing, as in boxes of many inputs.
    """
    growth = _Growth(pair, program, boxes_on_grid([box], pair.grid))
    start = _scores(growth, budget).max()
    while growth.spent < budget.boxes:
        score = _scores(growth, budget)
        if growth.spent > _PROBE and score.max() > (1 - _LEAST_GAIN) * start:
            return None
        order = np.argsort(-score, kind="stable")[:_ROUND]
        chosen = order[score[order] > max(_CLOSE_ENOUGH, score.max() * _WORTH_CUTTING)]
        sides = (growth.boxes.hi[chosen] - growth.boxes.lo[chosen]).max(axis=1, initial=0)
        if len(chosen) == 0 or (sides <= _SMALLEST_SIDE).any():
            break
        growth.split(chosen, _axes(growth, chosen))
    return SplitPart(pair.grid, growth.written())


def _scores(growth: _Growth, budget: Budget) -> NDArray[np.float64]:
    """Largest bound of each leaf in units of the floor, over the outputs."""
    scale = 2.0**-growth.pair.grid
    return np.asarray((growth.bounds.astype(np.float64) * scale / budget.floor).max(axis=1))


def _axes(growth: _Growth, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut across the side that moves the first layer most."""
    weight = np.abs(growth.pair.layers[0].w.astype(np.float64)).sum(axis=0)
    sides = (growth.boxes.hi[chosen] - growth.boxes.lo[chosen]).astype(np.float64)
    steepness = np.maximum(weight, weight.max() * _LEAST_STEEPNESS)
    return np.asarray(np.argmax(sides * steepness, axis=1), dtype=np.int64)


def predicted_seconds(pair: Pair, box: Box) -> float:
    """Predict the analysis of one box, on a machine of 2024 (measured in benchmarks/)."""
    return _SECONDS_PER_OPERATION * tree.leaf_operations(pair, boxes_on_grid([box], pair.grid))


def predicted_round(pair: Pair) -> float:
    """Predict one round of cuts, which takes its time however few boxes it has."""
    return _SECONDS_PER_OPERATION * analysis_operations(pair)


def most_boxes(pair: Pair, box: Box) -> int:
    """Return how many boxes the checker is willing to analyse."""
    cost = tree.leaf_operations(pair, boxes_on_grid([box], pair.grid))
    return tree.LARGEST_WORK // cost // 2
