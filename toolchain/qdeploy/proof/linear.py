"""Linear back-substitution on (a, e) jointly, vectorised over all rows of a layer.

Every activation is enclosed by lines: a between two lines of y, and e = b - a between two
planes of (y, d) (CROWN/DeepPoly style; Zhang et al. 2018, Singh et al. 2019). Lines and planes
come from `curves`, which proves each of them; how good they are is another matter.
"""

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
from qdeploy.proof.enclosure import LayerRanges, Ranges
from qdeploy.proof.pair import Layer, Pair


@dataclass(frozen=True, slots=True)
class Affine:
    """Enclosures of y, z and d of one layer."""

    y: Interval
    z: Interval
    d: Interval


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


def back_substitute(pair: Pair, before: Ranges, layer: Layer) -> Affine:
    """Enclose y, z and d of `layer`, whose predecessors are enclosed by `before`."""
    every = np.arange(layer.width)
    return Affine(
        enclose_y(pair, before, layer, every),
        enclose_z(pair, before, layer, every),
        enclose_d(pair, before, layer, every),
    )


def enclose_y(pair: Pair, before: Ranges, layer: Layer, rows: NDArray[np.int64]) -> Interval:
    """Enclose y of some neurons of `layer`, [boxes, rows]."""
    nothing = zeros((len(rows), layer.w.shape[1]), pair.grid)
    return _enclose(pair, before, (layer.w[rows], nothing), layer.c[rows])


def enclose_z(pair: Pair, before: Ranges, layer: Layer, rows: NDArray[np.int64]) -> Interval:
    """Enclose the program's sums of some neurons of `layer`, [boxes, rows]."""
    return _enclose(pair, before, (layer.v[rows], layer.v[rows]), layer.v_bias[rows])


def enclose_d(pair: Pair, before: Ranges, layer: Layer, rows: NDArray[np.int64]) -> Interval:
    """Enclose sums - y of some neurons of `layer`, [boxes, rows]."""
    v, w = layer.v[rows], layer.w[rows]
    return _enclose(pair, before, (v - w, v), layer.v_bias[rows] - layer.c[rows])


def _enclose(pair: Pair, before: Ranges, on: tuple[Raw, Raw], offset: Raw) -> Interval:
    """Enclose on_a @ a + on_e @ e + offset for rows [rows, n]."""
    on_a, on_e = (np.concatenate([rows, -rows])[None] for rows in on)
    bound = upper_bound(pair, before, on_a, on_e)
    count = len(offset)
    return Interval(offset - bound[:, count:], bound[:, :count] + offset)


def upper_bound(pair: Pair, before: Ranges, on_a: Raw, on_e: Raw) -> Raw:
    """Bound on_a @ a + on_e @ e above; a, e being what the last layer of `before` emits.

    Coefficients are [boxes or 1, rows, n]; the bounds are [boxes, rows].
    """
    grid = pair.grid
    offset = zeros((1, on_a.shape[1]), grid)
    for index in range(len(before.layers) - 1, -1, -1):
        layer, ranges = pair.layers[index], before.layers[index]
        on_y, on_d, passed = _through_activation(relax(grid, layer, ranges), on_a, on_e, grid)
        moved, entering = layer.v - layer.w, before.signal(index)
        lost = _rounded_away(ranges.y, ranges.d, entering.a, entering.e, grid=grid)
        bias = scaled_matmul(((-on_y, layer.c), (-on_d, layer.v_bias - layer.c)), grid)
        if layer.lookup is not None:
            passed = passed + _maximum(on_d, ranges.before, grid)
        offset = stored(offset + passed - bias + lost, grid)
        on_a = stored(scaled_matmul(((on_y, layer.w), (on_d, moved)), grid), grid)
        on_e = stored(scaled_matmul(((on_d, layer.v),), grid), grid)
    return offset + _maximum(on_a, before.input.a, grid) + _maximum(on_e, before.input.e, grid)


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
    if layer.curve is None:
        unit = none + (1 << grid)
        same = Plane(unit, none, none)
        return Relaxation(
            same, same, Plane(none, unit, ranges.r.lo), Plane(none, unit, ranges.r.hi)
        )
    low, high = layer.curve.below(ranges.y), layer.curve.above(ranges.y)
    kept_low, kept_high = layer.curve.below(ranges.z), layer.curve.above(ranges.z)
    slopes = layer.curve.slopes_over(ranges.y.hull(ranges.z))
    least, most = fan(ranges.d, slopes, grid)
    # phi(z) - phi(y) as a slope times d, or each of the two bounded for itself, with z = y + d.
    above = _lower_at_centre(
        Plane(none, most.slope, most.offset),
        Plane(kept_high.slope - low.slope, kept_high.slope, kept_high.offset - low.offset),
        ranges,
        grid,
    )
    below = _lower_at_centre(
        Plane(none, -least.slope, -least.offset),
        Plane(high.slope - kept_low.slope, -kept_low.slope, high.offset - kept_low.offset),
        ranges,
        grid,
    )
    return Relaxation(
        _stored(Plane(low.slope, none, low.offset), grid),
        _stored(Plane(high.slope, none, high.offset), grid),
        _stored(Plane(-below.y, -below.d, ranges.r.lo - below.offset), grid),
        _stored(Plane(above.y, above.d, above.offset + ranges.r.hi), grid),
    )


def _stored(plane: Plane, grid: int) -> Plane:
    return Plane(*(stored(array, grid) for array in (plane.y, plane.d, plane.offset)))


def _lower_at_centre(first: Plane, second: Plane, ranges: LayerRanges, grid: int) -> Plane:
    """Choose per neuron the plane that is lower at the middle of the (y, d) range."""
    y, d = ranges.y.lo + ranges.y.hi, ranges.d.lo + ranges.d.hi
    sloping = times(first.y - second.y, y) + times(first.d - second.d, d)
    apart = first.offset - second.offset
    keep = sloping + times(apart, zeros(apart.shape, grid) + (2 << grid)) <= 0
    return Plane(
        np.where(keep, first.y, second.y),
        np.where(keep, first.d, second.d),
        np.where(keep, first.offset, second.offset),
    )
