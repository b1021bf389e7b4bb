"""Linear back-substitution on (a, e) jointly, vectorised over all rows of a layer.

Every activation is enclosed by lines: a between two lines of y, and e = b - a between two
planes of (y, d) (CROWN/DeepPoly style; Zhang et al. 2018, Singh et al. 2019). Lines and planes
come from `curves`, which proves each of them; how good they are is another matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.proof.curves import fan
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
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
from qdeploy.proof.pair import Layer, Pair

_TILE = 1 << 17
"""Coefficients that are substituted back at once: a MiB of each of a few arrays."""


@dataclass(frozen=True, slots=True)
class Plane:
    """value <= (or >=) y_slope * y + d_slope * d + offset, per neuron, raw on the grid."""

    y: Raw
    d: Raw
    offset: Raw


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Planes below and above a and e of one layer."""

    a_low: Plane
    a_high: Plane
    e_low: Plane
    e_high: Plane


@dataclass(frozen=True, slots=True)
class Passage:
    """What rows meet on their way back through one layer, the same for all of them."""

    layer: Layer
    planes: Relaxation
    before: Interval | None
    """The error of rounding sums to the codes of a lookup."""
    moved: Raw
    """V - W."""
    lost: Raw
    """What coefficients that are rounded down onto the grid may hide, [boxes, 1]."""


@dataclass(frozen=True, slots=True)
class Before:
    """All layers that are enclosed already, and the way back through them."""

    pair: Pair
    ranges: Ranges
    passages: tuple[Passage, ...]


def before(pair: Pair, ranges: Ranges) -> Before:
    """Return the way back through all layers that are enclosed."""
    passages = [
        passage(pair, layer, ranges.signal(index), found)
        for index, (layer, found) in enumerate(zip(pair.layers, ranges.layers, strict=False))
    ]
    return Before(pair, ranges, tuple(passages))


def passage(pair: Pair, layer: Layer, entering: Signal, found: LayerRanges) -> Passage:
    """Return what rows meet in a layer."""
    return Passage(
        layer,
        relax(pair.grid, layer, found),
        None if layer.lookup is None else found.before,
        layer.v - layer.w,
        _rounded_away(found.y, found.d, entering.a, entering.e, grid=pair.grid),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """on_a @ a + on_e @ e + offset, a and e being what the last enclosed layer emits, [rows, n]."""

    on_a: Raw
    on_e: Raw
    offset: Raw

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(
            np.concatenate([self.on_a, other.on_a]),
            np.concatenate([self.on_e, other.on_e]),
            np.concatenate([self.offset, other.offset]),
        )


def rows_y(pair: Pair, layer: Layer, some: NDArray[np.int64]) -> Rows:
    """Return y of some neurons of `layer`."""
    return Rows(layer.w[some], zeros((len(some), layer.w.shape[1]), pair.grid), layer.c[some])


def rows_z(layer: Layer, some: NDArray[np.int64]) -> Rows:
    """Return the program's sums of some neurons of `layer`."""
    return Rows(layer.v[some], layer.v[some], layer.v_bias[some])


def rows_d(layer: Layer, some: NDArray[np.int64]) -> Rows:
    """Return sums - y of some neurons of `layer`."""
    v, w = layer.v[some], layer.w[some]
    return Rows(v - w, v, layer.v_bias[some] - layer.c[some])


def enclose(known: Before, rows: Rows) -> Interval:
    """Enclose rows [rows] over every box, [boxes, rows]."""
    boxes = len(known.ranges.input.a.lo)
    widest_layer = max(rows.on_a.shape[1], *(p.layer.w.shape[1] for p in known.passages))
    size = max(1, _TILE // (2 * boxes * widest_layer))
    tiles = [
        _enclose(known, Rows(rows.on_a[some], rows.on_e[some], rows.offset[some]))
        for some in (slice(at, at + size) for at in range(0, len(rows.offset), size))
    ]
    if len(tiles) == 1:
        return tiles[0]
    lo, hi = (np.concatenate([getattr(t, side) for t in tiles], axis=1) for side in ("lo", "hi"))
    return Interval(lo, hi)


def _enclose(known: Before, rows: Rows) -> Interval:
    on_a, on_e = (np.concatenate([side, -side])[None] for side in (rows.on_a, rows.on_e))
    bound = upper_bound(known, on_a, on_e)
    count = len(rows.offset)
    return Interval(rows.offset - bound[:, count:], bound[:, :count] + rows.offset)


def upper_bound(known: Before, on_a: Raw, on_e: Raw) -> Raw:
    """Bound on_a @ a + on_e @ e above; a, e being what the last layer of `known` emits.

    Coefficients are [boxes or 1, rows, n]; the bounds are [boxes, rows].
    """
    grid = known.pair.grid
    offset = zeros((1, on_a.shape[1]), grid)
    for passed in reversed(known.passages):
        layer = passed.layer
        on_y, on_d, lifted = _through_activation(passed.planes, on_a, on_e, grid)
        bias = scaled_matmul(((-on_y, layer.c), (-on_d, layer.v_bias - layer.c)), grid)
        if passed.before is not None:
            lifted = lifted + _maximum(on_d, passed.before, grid)
        offset = stored(offset + lifted - bias + passed.lost, grid)
        on_a = stored(scaled_matmul(((on_y, layer.w), (on_d, passed.moved)), grid), grid)
        on_e = stored(scaled_matmul(((on_d, layer.v),), grid), grid)
    entry = known.ranges.input
    return offset + _maximum(on_a, entry.a, grid) + _maximum(on_e, entry.e, grid)


def _rounded_away(*boxes: Interval, grid: int) -> Raw:
    """Bound what is lost where coefficients are rounded down to the grid.

    The lost part of each, in [0, 1) unit, meets max(v, 0).
    """
    lost = zeros((1, 1), grid)
    for box in boxes:
        lost = lost + up(total(positive(box.hi)), grid)
    return lost


def _maximum(coefficients: Raw, box: Interval, grid: int) -> Raw:
    ends = (
        (negative(-coefficients), box.hi[:, :, None]),
        (positive(-coefficients), box.lo[:, :, None]),
    )
    return -scaled_matmul(ends, grid)[:, :, 0]


def _through_activation(
    planes: Relaxation, on_a: Raw, on_e: Raw, grid: int
) -> tuple[Raw, Raw, Raw]:
    """Replace a and e by the plane that lies above in the direction of each coefficient.

    The coefficients on y and d that come out are rounded down onto the grid, the offsets up.
    """
    signed = (
        (positive(on_a), planes.a_high),
        (negative(on_a), planes.a_low),
        (positive(on_e), planes.e_high),
        (negative(on_e), planes.e_low),
    )
    on_y = scaled_times([(part, plane.y[:, None, :]) for part, plane in signed], grid)
    on_d = scaled_times([(part, plane.d[:, None, :]) for part, plane in signed], grid)
    offset = scaled_matmul([(-part, plane.offset[:, :, None]) for part, plane in signed], grid)
    return stored(on_y, grid), stored(on_d, grid), -offset[:, :, 0]


def relax(grid: int, layer: Layer, ranges: LayerRanges) -> Relaxation:
    """Enclose a and e of one layer by planes over (y, d)."""
    none = zeros(ranges.y.lo.shape, grid)
    unit = none + (1 << grid)
    r, b = ranges.r, ranges.out.b
    if layer.curve is None:
        low = high = Plane(unit, none, none)
        above, below = [Plane(none, unit, r.hi)], [Plane(none, -unit, -r.lo)]
    else:
        lines = layer.curve.below(ranges.y), layer.curve.above(ranges.y)
        low, high = (Plane(line.slope, none, line.offset) for line in lines)
        kept_low, kept_high = layer.curve.below(ranges.z), layer.curve.above(ranges.z)
        slopes = layer.curve.slopes_over(ranges.y.hull(ranges.z))
        least, most = fan(ranges.d, slopes, grid)
        # phi(z) - phi(y) as a slope times d, or each of the two bounded for itself, with z = y + d.
        above = [
            Plane(none, most.slope, most.offset + r.hi),
            Plane(kept_high.slope - low.y, kept_high.slope, kept_high.offset - low.offset + r.hi),
        ]
        below = [
            Plane(none, -least.slope, -least.offset - r.lo),
            Plane(high.y - kept_low.slope, -kept_low.slope, high.offset - kept_low.offset - r.lo),
        ]
    # b - a, where b hardly moves: what reaches the program then does not matter any more.
    above.append(Plane(-low.y, none, b.hi - low.offset))
    below.append(Plane(high.y, none, high.offset - b.lo))
    e_high, low_turned = (_lowest_at_centre(planes, ranges, grid) for planes in (above, below))
    return Relaxation(
        _stored(low, grid),
        _stored(high, grid),
        _stored(Plane(-low_turned.y, -low_turned.d, -low_turned.offset), grid),
        _stored(e_high, grid),
    )


def _stored(plane: Plane, grid: int) -> Plane:
    return Plane(*(stored(array, grid) for array in (plane.y, plane.d, plane.offset)))


def _lowest_at_centre(planes: Sequence[Plane], ranges: LayerRanges, grid: int) -> Plane:
    """Choose per neuron the plane that is lowest at the middle of the (y, d) range."""
    y, d = ranges.y.lo + ranges.y.hi, ranges.d.lo + ranges.d.hi
    best = planes[0]
    for other in planes[1:]:
        sloping = times(best.y - other.y, y) + times(best.d - other.d, d)
        apart = best.offset - other.offset
        keep = sloping + times(apart, zeros(apart.shape, grid) + (2 << grid)) <= 0
        best = Plane(
            np.where(keep, best.y, other.y),
            np.where(keep, best.d, other.d),
            np.where(keep, best.offset, other.offset),
        )
    return best
