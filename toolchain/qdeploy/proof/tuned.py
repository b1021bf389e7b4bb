"""Back-substitution with tuned slopes: the Lagrangian dual of a layer-wise relaxation.

A row alpha a + beta e of what a layer emits is replaced by p y + q d of what enters its activation,
plus the largest that

    alpha phi(y) + beta (phi(y + d) - phi(y)) - p y - q d

can be over the neuron's polygon: the (y, d) with y, z = y + d and d in their ranges. Any p and q
are sound, since that maximum is computed here for the very numbers that are used; which are best,
somebody else has to find. (The dual is that of Dvijotham et al. 2018 and, for two networks at
once, the joint hull of a ReLU and its deviation.)

For a piecewise linear curve the maximum is attained at a vertex of the polygon or where a
breakpoint of phi(y) or phi(z) crosses it, so a few exact evaluations are a proof.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.proof.curves import Pieces
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    down,
    negative,
    positive,
    scaled_matmul,
    scaled_times,
    stored,
    times,
    total,
    up,
    zeros,
)
from qdeploy.proof.enclosure import LayerRanges, Ranges, Signal
from qdeploy.proof.linear import Before
from qdeploy.proof.pair import Layer, Pair
from qdeploy.proof.ranges import (
    Sums,
    analysis_operations,
    enclose_by,
    input_signal,
    is_open,
    reference_error,
    tighten_all,
)
from qdeploy.proof.tree import LARGEST_WORK, Leaves

SLOPE_BITS = 8
"""Slopes are multiples of 2**-SLOPE_BITS."""
STEEPEST = 1 << 20
"""Largest magnitude of a slope in a certificate, in those multiples."""

_PASSES = 8
"""How often as long as by the standard lines alone a leaf takes, at most about."""

Slopes = NDArray[np.int64]
"""[rows, open neurons of all earlier layers, 2]: p / (|alpha| + share |beta|) and q / beta."""


class TuningError(ValueError):
    """The slopes are not those of this network over this box; the text says why."""


@dataclass(frozen=True, slots=True)
class Corners:
    """Where the maximum over each neuron's polygon may be attained, [corners, n] on the grid."""

    y: Raw
    d: Raw
    a: Raw
    """phi(y), rounded down."""
    kept: Raw
    """phi(y + d), rounded down."""
    missing: int
    """Units, 0 or 1, that a and kept may lie too low."""
    slope: Raw
    """Of neurons that are one straight piece, [n]; the others are `open`."""
    share: Raw
    """How wide d is beside y, 1 at most, [n]: a plane above e needs no p beyond that."""
    open: NDArray[np.int64]
    bent: NDArray[np.int64]
    """Neurons to look at in every corner: open ones, and where a slope is off the grid."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be bounded above, on_a @ a + on_e @ e + offset, [rows, n] and [rows]."""

    on_a: Raw
    on_e: Raw
    offset: Raw


@dataclass(frozen=True, slots=True)
class Task:
    """Rows over what the last layer of `before` emits, and the polygons of all those layers."""

    pair: Pair
    before: Ranges
    corners: tuple[Corners | None, ...]
    """None: the layer has no activation."""
    rows: Row

    @property
    def choices(self) -> int:
        """Open neurons of all layers before."""
        return sum(len(at.open) for at in self.corners if at is not None)


Choose = Callable[[Task], Slopes | None]
"""Slopes for a task; None: it is left to the standard lines."""


def supported(pair: Pair) -> bool:
    """Whether every activation is piecewise linear."""
    return all(layer.curve is None or isinstance(layer.curve, Pieces) for layer in pair.layers)


def enclose(pair: Pair, entering: Signal, choose: Choose) -> Ranges:
    """Enclose every quantity of the pair over one box, tightened by lines and then by slopes."""
    polygons: list[Corners | None] = []

    def tighten(before: Before, layer: Layer, known: Sums) -> Sums:
        last = before.ranges.layers[-1]
        polygons.append(corners(pair.layers[len(polygons)], last, pair.grid))
        setting = _Setting(pair, before.ranges, tuple(polygons), choose)
        return _tighten(setting, layer, tighten_all(before, layer, known))

    return enclose_by(pair, entering, tighten)


def leaf_bound(pair: Pair, box: Interval, choose: Choose) -> Raw:
    """Bound |deviation| of every output over one box [1, n], raw on the pair's grid."""
    found = enclose(pair, input_signal(pair, box), choose)
    return np.asarray(found.layers[-1].out.e.magnitude[0] + reference_error(pair, found)[0])


def leaf_bounds(pair: Pair, leaves: Leaves, data: Sequence[Sequence[Sequence[int]]]) -> Raw:
    """Bound |deviation| per leaf and output with the slopes of every leaf.

    Raises:
        TuningError: slopes or leaves are not what they must be.
    """
    if leaves.exact.any() or len(leaves.exact) != len(data):
        raise TuningError("not every leaf has slopes")
    if not supported(pair):
        raise TuningError("an activation is not piecewise linear")
    bounds = []
    for index, slopes in enumerate(data):
        choose, all_asked = given(slopes)
        box = Interval(leaves.boxes.lo[index : index + 1], leaves.boxes.hi[index : index + 1])
        bounds.append(leaf_bound(pair, box, choose).astype(object))
        if not all_asked():
            raise TuningError("slopes are left over")
    return np.stack(bounds)


def leaf_operations(pair: Pair, operations: int) -> int:
    """Estimate what a leaf takes, of which a tree analyses one among many in `operations`.

    A tree looks at many leaves together; here each pays alone for every step, however narrow.
    """
    return _PASSES * (operations + analysis_operations(pair))


def affordable_leaves(pair: Pair, operations: int) -> int:
    """Return how many leaves a check takes on, of which a tree analyses one in `operations`."""
    return LARGEST_WORK // leaf_operations(pair, operations)


@dataclass(frozen=True, slots=True)
class _Setting:
    pair: Pair
    before: Ranges
    corners: tuple[Corners | None, ...]
    choose: Choose

    def bound(self, on_a: Raw, on_e: Raw, offset: Raw, known: Interval, at: Raw) -> Interval:
        """Narrow what is known of on_a @ a + on_e @ e + offset for the neurons `at`."""
        signed = (np.concatenate([side, -side]) for side in (on_a, on_e, offset))
        task = Task(self.pair, self.before, self.corners, Row(*signed))
        slopes = self.choose(task)
        if slopes is None:
            return known
        high = upper_bound(task, slopes)[None]
        narrower = Interval(-high[:, len(at) :], high[:, : len(at)])
        return known.meet_where(np.ones(known.lo.shape, dtype=bool), at, narrower)


def _tighten(setting: _Setting, layer: Layer, known: Sums) -> Sums:
    """Tighten the neurons that are open: y and z, then d of those that still are."""
    y, z, d = known
    grid = setting.pair.grid
    if layer.curve is not None:
        at = np.flatnonzero(is_open(layer, y, z, grid)[0])
        if len(at):
            none = zeros(layer.w[at].shape, grid)
            y = setting.bound(layer.w[at], none, layer.c[at], y, at)
            z = setting.bound(layer.v[at], layer.v[at], layer.v_bias[at], z, at)
    at = np.flatnonzero(is_open(layer, y, z, grid)[0])
    if len(at):
        moved = layer.v_bias[at] - layer.c[at]
        d = setting.bound(layer.v[at] - layer.w[at], layer.v[at], moved, d, at)
    return y, z, d


def given(data: Sequence[Sequence[int]]) -> tuple[Choose, Callable[[], bool]]:
    """Return what hands out stored slopes in their order, and whether all were asked for.

    An empty list stands for none.
    """
    waiting = list(data)[::-1]

    def choose(task: Task) -> Slopes | None:
        if not waiting:
            raise TuningError("slopes are missing")
        values = tuple(waiting.pop())
        if not values:
            return None
        shape = (len(task.rows.offset), task.choices, 2)
        if len(values) != shape[0] * shape[1] * shape[2]:
            raise TuningError(f"{len(values)} slopes stand where {shape} are needed")
        if not -STEEPEST <= min(values) <= max(values) <= STEEPEST:
            raise TuningError("a slope is steeper than any that could help")
        return np.array(values, dtype=np.int64).reshape(shape)

    return choose, lambda: not waiting


def upper_bound(task: Task, slopes: Slopes) -> Raw:
    """Bound the rows of a task above, [rows]."""
    pair, before, grid = task.pair, task.before, task.pair.grid
    on_a, on_e, offset = task.rows.on_a, task.rows.on_e, task.rows.offset
    left = slopes.shape[1]
    for index in range(len(before.layers) - 1, -1, -1):
        layer, ranges, at = pair.layers[index], before.layers[index], task.corners[index]
        offset = offset + _largest(on_e, ranges.r, grid)
        if at is not None:
            first = left - len(at.open)
            on_a, on_e, lifted = _through(at, on_a, on_e, slopes[:, first:left], grid)
            offset, left = offset + lifted, first
        if layer.lookup is not None:
            offset = offset + _largest(on_e, ranges.before, grid)
        bias = ((-on_a, layer.c[:, None]), (-on_e, (layer.v_bias - layer.c)[:, None]))
        offset = stored(offset - scaled_matmul(bias, grid)[:, 0], grid)
        moved, entering = layer.v - layer.w, before.signal(index)
        # Coefficients are rounded down; the lost part, in [0, 1) unit, meets max(v, 0).
        lost = sum(up(total(positive(box.hi)), grid)[0, 0] for box in (entering.a, entering.e))
        on_a, on_e = (
            stored(scaled_matmul(pairs, grid), grid)
            for pairs in (((on_a, layer.w), (on_e, moved)), ((on_e, layer.v),))
        )
        offset = offset + lost
    entry = before.input
    return offset + _largest(on_a, entry.a, grid) + _largest(on_e, entry.e, grid)


def _largest(rows: Raw, box: Interval, grid: int) -> Raw:
    """Bound rows @ v above for v in the box."""
    ends = ((negative(-rows), box.hi[0][:, None]), (positive(-rows), box.lo[0][:, None]))
    return -scaled_matmul(ends, grid)[:, 0]


def _through(at: Corners, on_a: Raw, on_e: Raw, slopes: Slopes, grid: int) -> tuple[Raw, Raw, Raw]:
    """Replace on_a @ a + on_e @ (e - r) by p @ y + q @ d + offset."""
    p, q = (stored(down(times(on, at.slope), grid), grid) for on in (on_a, on_e))
    reach = times(abs(on_e[:, at.open]), at.share[at.open])
    size = abs(on_a[:, at.open]) + down(reach, grid)
    p = _with_columns(p, at.open, down(times(size, slopes[:, :, 0]), SLOPE_BITS))
    q = _with_columns(q, at.open, down(times(on_e[:, at.open], slopes[:, :, 1]), SLOPE_BITS))
    p, q = stored(p, grid), stored(q, grid)
    on_first = on_e - on_a
    # phi(y) and phi(z) were rounded down by less than a unit each.
    offset = at.missing * up(total(abs(on_first) + abs(on_e)), grid)[:, 0]
    factors = (on_first, -on_e, p, q)
    least = _at_corner(at, 0, factors, np.arange(len(at.slope)), grid)
    if len(at.bent):
        bent = tuple(factor[:, at.bent] for factor in factors)
        lower = least[:, at.bent]
        for corner in range(1, len(at.y)):
            lower = np.minimum(lower, _at_corner(at, corner, bent, at.bent, grid))
        least = _with_columns(least, at.bent, lower)
    return p, q, offset - least.astype(object).sum(axis=1)


def _at_corner(
    at: Corners, corner: int, factors: tuple[Raw, ...], columns: NDArray[np.int64], grid: int
) -> Raw:
    """Return what is to be made small, (beta - alpha) a - beta kept + p y + q d, rounded down."""
    values = (at.a, at.kept, at.y, at.d)
    terms = [
        (factor, value[corner, columns]) for factor, value in zip(factors, values, strict=True)
    ]
    return scaled_times(terms, grid)


def _with_columns(array: Raw, columns: NDArray[np.int64], values: Raw) -> Raw:
    array = array.astype(np.result_type(array, values))
    array[:, columns] = values
    return array


def corners(layer: Layer, ranges: LayerRanges, grid: int) -> Corners | None:
    """Return the vertices of every neuron's polygon, and where breakpoints cut it."""
    if layer.curve is None:
        return None
    if not isinstance(layer.curve, Pieces):
        raise TuningError("an activation is not piecewise linear")
    breaks = [row + ranges.y.lo[0] * 0 for row in layer.curve.breakpoints]
    sides_y = [ranges.y.lo[0], ranges.y.hi[0], *breaks]
    sides_z = [ranges.z.lo[0], ranges.z.hi[0], *breaks]
    sides_d = [ranges.d.lo[0], ranges.d.hi[0]]
    points = [(y, z) for y in sides_y for z in sides_z]
    points += [(y, y + d) for y in sides_y for d in sides_d]
    points += [(z - d, z) for z in sides_z for d in sides_d]
    y, z = (np.stack(side) for side in zip(*points, strict=True))
    inside = _holds(ranges.y, y) & _holds(ranges.z, z) & _holds(ranges.d, z - y)
    y, z = _packed(y, z, inside)
    a, kept = layer.curve.range(Interval(y, y)), layer.curve.range(Interval(z, z))
    missing = int((a.hi - a.lo).any() or (kept.hi - kept.lo).any())
    slopes = layer.curve.slopes_over(ranges.y.hull(ranges.z))
    closed = (slopes.lo == slopes.hi)[0]
    whole = (slopes.lo[0] == 0) | (slopes.lo[0] == 1 << grid)
    return Corners(
        stored(y, grid),
        stored(z - y, grid),
        stored(a.lo, grid),
        stored(kept.lo, grid),
        missing,
        stored(slopes.lo[0], grid),
        _share(ranges, grid),
        np.flatnonzero(~closed),
        np.flatnonzero(~closed | ~whole | bool(missing)),
    )


def _share(ranges: LayerRanges, grid: int) -> Raw:
    narrow, wide = (positive((box.hi - box.lo)[0]) for box in (ranges.d, ranges.y))
    unit = 1 << grid
    ratio = times(np.minimum(narrow, wide), np.array([unit])) // np.maximum(wide, 1)
    return stored(np.where(wide > 0, ratio, unit), grid)


def _holds(box: Interval, points: Raw) -> NDArray[np.bool_]:
    return np.asarray((points >= box.lo) & (points <= box.hi), dtype=bool)


def _packed(y: Raw, z: Raw, inside: NDArray[np.bool_]) -> tuple[Raw, Raw]:
    """Move the points inside to the front, and put the first of them in the place of others.

    No range of a true value is empty, so a polygon has a vertex at least.
    """
    if not inside.any(axis=0).all():
        raise TuningError("a neuron has an empty range")
    order = np.argsort(~inside, axis=0, kind="stable")
    inside = np.take_along_axis(inside, order, axis=0)
    rows = int(inside.sum(axis=0).max())
    packed = []
    for side in (y, z):
        sorted_side = np.take_along_axis(side, order, axis=0)[:rows]
        packed.append(np.where(inside[:rows], sorted_side, sorted_side[0]))
    return packed[0], packed[1]
