"""Where a proven deviation comes from: its shares by layer and by source, for people.

The multipliers are those of the proof: over the piece of the region that decides the bound, the
worst output is substituted back through the same lines and planes, and what every source adds on
the way is noted. Shares are told in doubles and prove nothing; the bound they divide is proven.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FixedNetwork, Network
from qdeploy.proof import kernel, linear, tree, tuned
from qdeploy.proof.certificate import RegionClaim, SplitPart, TunedPart
from qdeploy.proof.dyadic import Interval, Raw
from qdeploy.proof.enclosure import LayerRanges, Ranges
from qdeploy.proof.pair import Layer, Pair, align
from qdeploy.proof.ranges import analyse, boxes_on_grid, input_signal, is_open

Reals = NDArray[np.float64]

INPUT = "input rounding"
WEIGHTS = "weights"
PRUNING = "pruning"
ROUNDING = "activation rounding"
SATURATION = "saturation"
TABLE = "table"
RELAXATION = "looseness of the proof"
_MOST_LEAVES = 256
"""Of more, only so many, spread evenly, are looked at: all would take as long as the check."""
_MOST_TUNED = 3
"""Leaves with slopes that are looked at: each takes as long as in the check."""
SOURCES = (INPUT, WEIGHTS, PRUNING, ROUNDING, SATURATION, TABLE, RELAXATION)


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the bound."""

    layer: str
    """A node of the program, `input`, or empty for what belongs to no layer."""
    source: str
    share: float
    """Of 1."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Shares of the bound on one output over one region, largest first."""

    output: int
    shares: tuple[Share, ...]


def explain(network: Network, program: FixedNetwork, claim: RegionClaim) -> Explanation:
    """Divide the bound on the worst output of a region among its sources.

    Nothing is said of networks too deep for linear bounds.
    """
    output = max(range(len(claim.per_output)), key=lambda i: claim.per_output[i])
    if all(part.method in ("recursion", "interval") for part in claim.parts):
        return Explanation(output, ())
    piece = _deciding_piece(network, program, claim, output)
    amounts = list(_amounts(piece, program, output))
    total = float(claim.per_output[output])
    known = sum(amount.share for amount in amounts)
    amounts.append(Share("", RELAXATION, max(total - known, 0.0)))
    whole = max(total, known) or 1.0
    shares = [Share(a.layer, a.source, a.share / whole) for a in amounts if a.share > 0]
    return Explanation(output, tuple(sorted(shares, key=lambda s: -s.share)))


# --- the piece of the region that decides the bound, and its multipliers --------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """A box, all that is known over it, and how multipliers get through an activation there."""

    pair: Pair
    found: Ranges
    tuned: "_Tuned | None" = None

    def through(self, index: int, on_a: Reals, on_e: Reals) -> tuple[Reals, Reals]:
        """Return the multipliers of y and d that those of a and e become."""
        if self.tuned is not None and index < len(self.pair.layers) - 1:
            return self.tuned.through(index, on_a, on_e)
        return _through(self.pair, self.pair.layers[index], self.found.layers[index], (on_a, on_e))


@dataclass(frozen=True, slots=True)
class _Tuned:
    """The slopes with which one side of one output's deviation was bounded over a leaf."""

    task: tuned.Task
    slopes: Reals
    """[open neurons of all layers before the last, 2]."""

    def through(self, index: int, on_a: Reals, on_e: Reals) -> tuple[Reals, Reals]:
        """Return p and q (see `qdeploy.proof.tuned`)."""
        at = self.task.corners[index]
        if at is None:
            return on_a, on_e
        unit = 2.0**-self.task.pair.grid
        slope, share = _real(at.slope, unit), _real(at.share, unit)
        on_y, on_d = on_a * slope, on_e * slope
        own = self.slopes[self._first(index) :][: len(at.open)]
        size = abs(on_a) + abs(on_e) * share
        on_y[at.open] = size[at.open] * own[:, 0]
        on_d[at.open] = on_e[at.open] * own[:, 1]
        return on_y, on_d

    def _first(self, index: int) -> int:
        before = self.task.corners[:index]
        return sum(len(at.open) for at in before if at is not None)


def _deciding_piece(
    network: Network, program: FixedNetwork, claim: RegionClaim, output: int
) -> _Piece:
    """Return the leaf with the largest bound, of the part that is best for the output."""
    best = [
        part.data
        for part in claim.parts
        if isinstance(part.data, SplitPart | TunedPart)
        and part.per_output[output] == claim.per_output[output]
    ]
    data = best[0] if best else None
    if data is None:
        known = kernel.analysis(network, program, claim.box)
        return _Piece(known.pair, known.tight.row(0))
    pair = align(network, program, data.grid)
    whole = boxes_on_grid([claim.box], pair.grid)
    leaves = tree.expand(data.tree, whole)
    if isinstance(data, TunedPart):
        return _worst_tuned(pair, program, leaves, (data, output))
    piece = _worst_leaf(pair, program, leaves, output)
    return _Piece(pair, analyse(pair, piece, use_linear=True).row(0))


def _worst_leaf(pair: Pair, program: FixedNetwork, leaves: tree.Leaves, output: int) -> Interval:
    some = slice(None, None, -(-len(leaves.exact) // _MOST_LEAVES))
    boxes = Interval(leaves.boxes.lo[some], leaves.boxes.hi[some])
    bounds = tree.leaf_bounds(pair, program, tree.Leaves(boxes, leaves.exact[some]))
    worst = int(bounds[:, output].argmax())
    return Interval(boxes.lo[worst : worst + 1], boxes.hi[worst : worst + 1])


def _worst_tuned(
    pair: Pair, program: FixedNetwork, leaves: tree.Leaves, asked: tuple[TunedPart, int]
) -> _Piece:
    """Enclose the leaves again that are worst by standard lines, and keep the one that decides."""
    data, output = asked
    by_lines = tree.leaf_bounds(pair, program, leaves)[:, output]
    worst = np.argsort(-by_lines, kind="stable")[:_MOST_TUNED]
    pieces = [_tuned_piece(pair, leaves, data, (int(leaf), output)) for leaf in worst]
    return max(pieces, key=lambda piece: int(piece.found.layers[-1].out.e.magnitude[output]))


def _tuned_piece(
    pair: Pair, leaves: tree.Leaves, data: TunedPart, place: tuple[int, int]
) -> _Piece:
    leaf, output = place
    given, _ = tuned.given(data.leaves[leaf])
    asked: list[tuple[tuned.Task, tuned.Slopes | None]] = []

    def choose(task: tuned.Task) -> tuned.Slopes | None:
        asked.append((task, given(task)))
        return asked[-1][1]

    box = Interval(leaves.boxes.lo[leaf : leaf + 1], leaves.boxes.hi[leaf : leaf + 1])
    found = tuned.enclose(pair, input_signal(pair, box), choose)
    return _Piece(pair, found.row(0), _output_slopes(pair, found, output, asked))


def _output_slopes(
    pair: Pair,
    found: Ranges,
    output: int,
    asked: list[tuple[tuned.Task, tuned.Slopes | None]],
) -> _Tuned | None:
    """Return the slopes of an output in the last task, which is about d; None without any."""
    last = found.layers[-1]
    outputs = np.flatnonzero(is_open(pair.layers[-1], last.y, last.z, pair.grid)[0])
    task, slopes = asked[-1] if asked else (None, None)
    if task is None or slopes is None or len(slopes) != 2 * len(outputs) or output not in outputs:
        return None
    side = 0 if _worse_side(found.row(0), output) > 0 else len(outputs)
    row = side + int(np.flatnonzero(outputs == output)[0])
    return _Tuned(task, np.asarray(slopes[row] * 2.0**-tuned.SLOPE_BITS))


def _worse_side(found: Ranges, output: int) -> int:
    """Return the sign that the larger end of an output's deviation has."""
    e = found.layers[-1].out.e
    return 1 if int(e.hi[output]) >= -int(e.lo[output]) else -1


# --- what each source adds ----------------------------------------------------------------------


def _amounts(piece: _Piece, program: FixedNetwork, output: int) -> Iterator[Share]:
    """Substitute e of one output back, or -e, and yield what each source adds, in real units."""
    pair, found = piece.pair, piece.found
    unit = 2.0**-pair.grid
    on_e = np.zeros(pair.layers[-1].width)
    on_e[output] = _worse_side(found, output)
    on_a = np.zeros_like(on_e)
    for index in range(len(pair.layers) - 1, -1, -1):
        layer, ranges = pair.layers[index], found.layers[index]
        yield from _behind(layer, ranges, on_e, unit)
        on_y, on_d = piece.through(index, on_a, on_e)
        entering = found.signal(index)
        pruned = _pruned(layer, program, pair.grid)
        yield from _before(layer, ranges, entering.a, (on_d, pruned), unit)
        on_a = on_y @ _real(layer.w, unit)
        if piece.tuned is not None:
            on_a = on_a + on_d @ _real(layer.v - layer.w, unit)
        on_e = on_d @ _real(layer.v, unit)
    yield Share("input", INPUT, _most(on_e, found.input.e, unit))


def _real(raw: Raw, unit: float) -> Reals:
    return np.asarray(raw, dtype=np.float64) * unit


def _most(on: Reals, box: Interval, unit: float) -> float:
    """Return the largest value of on @ v over a box, but not below 0."""
    ends = on * _real(box.lo, unit), on * _real(box.hi, unit)
    return max(float(np.maximum(*ends).sum()), 0.0)


def _behind(layer: Layer, ranges: LayerRanges, on_e: Reals, unit: float) -> Iterator[Share]:
    """What the program adds behind the activation: table, rounding, saturation."""
    if layer.lookup is not None:
        yield Share(layer.name, TABLE, _most(on_e, ranges.r, unit))
        return
    step = int(float(layer.output.step) / unit)
    rounding = Interval(np.maximum(ranges.r.lo, -step), np.minimum(ranges.r.hi, step))
    rounded = _most(on_e, rounding, unit)
    yield Share(layer.name, ROUNDING, rounded)
    yield Share(layer.name, SATURATION, _most(on_e, ranges.r, unit) - rounded)


def _before(
    layer: Layer,
    ranges: LayerRanges,
    a: Interval,
    through: tuple[Reals, NDArray[np.bool_]],
    unit: float,
) -> Iterator[Share]:
    """What the program adds before the activation: its weights, and rounding for a table.

    Where whole neurons are gone, the bias holds what was folded into it for them.
    """
    on_d, pruned = through
    moved = _real(layer.v - layer.w, unit)
    offset = float(on_d @ _real(layer.v_bias - layer.c, unit))
    silent = pruned.any(axis=0) & (pruned | (layer.w == 0)).all(axis=0)
    folded = offset if silent.any() else 0.0
    changed = np.where(pruned, 0.0, moved)
    box = np.stack([_real(a.lo, unit), _real(a.hi, unit)])
    yield Share(layer.name, WEIGHTS, max(_largest(on_d @ changed, box) + offset - folded, 0.0))
    yield Share(layer.name, PRUNING, max(_largest(on_d @ (moved - changed), box) + folded, 0.0))
    if layer.lookup is not None:
        yield Share(layer.name, ROUNDING, _most(on_d, ranges.before, unit))


def _pruned(layer: Layer, program: FixedNetwork, grid: int) -> NDArray[np.bool_]:
    """Return the weights that are gone though no rounding explains it.

    No quantiser moves a weight by a step or more; what else a neuron emitted that is gone went with
    it, however little.
    """
    node = next((n for n in program.nodes if n.name == layer.name), None)
    if node is None or node.op != "dense":
        return np.zeros(layer.v.shape, dtype=bool)
    step = int(node.arrays["weight"].format.step * (1 << grid))
    zero = layer.v == 0
    gone = zero & (abs(layer.w) >= step)
    silent = zero.all(axis=0) & gone.any(axis=0)
    return np.asarray(gone | (silent & (layer.w != 0)), dtype=bool)


def _largest(on: Reals, box: Reals) -> float:
    return float(np.maximum(on * box[0], on * box[1]).sum())


def _through(
    pair: Pair, layer: Layer, ranges: LayerRanges, on: tuple[Reals, Reals]
) -> tuple[Reals, Reals]:
    """Return the multipliers of y and d that those of a and e become.

    A plane over e has an offset because d is only known to lie in a range: what that adds is due
    to d, so the slope is raised by it, up to the steepest that the activation has.
    """
    planes = linear.relax(pair.grid, layer, ranges)
    unit = 2.0**-pair.grid
    steepest = 1.0 if layer.curve is None else layer.curve.steepest * unit
    reach = np.maximum(_real(ranges.d.magnitude, unit), unit)
    on_a, on_e = on
    on_y, on_d = np.zeros(layer.width), np.zeros(layer.width)
    for part, plane in (
        (np.maximum(on_a, 0.0), planes.a_high),
        (np.minimum(on_a, 0.0), planes.a_low),
    ):
        on_y = on_y + part * _real(plane.y, unit)
    for part, plane, error, side in (
        (np.maximum(on_e, 0.0), planes.e_high, ranges.r.hi, 1),
        (np.minimum(on_e, 0.0), planes.e_low, ranges.r.lo, -1),
    ):
        slope = _real(plane.d, unit)
        raised = slope + np.maximum(side * _real(plane.offset - error, unit), 0.0) / reach
        on_y = on_y + part * _real(plane.y, unit)
        on_d = on_d + part * np.maximum(slope, np.minimum(raised, steepest))
    return on_y, on_d
