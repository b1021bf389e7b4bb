"""Linear back-substitution on (a, e) jointly, vectorised over all rows of a layer.

Every activation is enclosed by lines: a between two lines of y, and e = b - a between two
planes of (y, d) (CROWN/DeepPoly style; Zhang et al. 2018, Singh et al. 2019). Lines and planes
come from `curves`, which proves each of them; how good they are is another matter.
"""

from dataclasses import dataclass

import numpy as np

from qdeploy.proof.curves import fan
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    down,
    matmul,
    negative,
    positive,
    settled,
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
    nothing = zeros(layer.w.shape, pair.grid)
    on_a = np.concatenate([layer.w, layer.v, layer.v - layer.w])
    on_e = np.concatenate([nothing, layer.v, layer.v])
    offset = np.concatenate([layer.c, layer.v_bias, layer.v_bias - layer.c])
    both_a, both_e = (np.concatenate([rows, -rows])[None] for rows in (on_a, on_e))
    bound = upper_bound(pair, before, both_a, both_e)
    count = len(offset)
    high, low = bound[:, :count] + offset, offset - bound[:, count:]
    ends = [slice(k * layer.width, (k + 1) * layer.width) for k in range(3)]
    return Affine(*(Interval(low[:, rows], high[:, rows]) for rows in ends))


def upper_bound(pair: Pair, before: Ranges, on_a: Raw, on_e: Raw) -> Raw:
    """Bound on_a @ a + on_e @ e above; a, e being what the last layer of `before` emits.

    Coefficients are [boxes or 1, rows, n]; the bounds are [boxes, rows].
    """
    grid = pair.grid
    offset = zeros((1, on_a.shape[1]), grid)
    for index in range(len(before.layers) - 1, -1, -1):
        layer, ranges = pair.layers[index], before.layers[index]
        on_y, on_d, passed = _through_activation(relax(grid, layer, ranges), on_a, on_e, grid)
        on_y, slack_y = _onto_grid(on_y, grid, ranges.y)
        on_d, slack_d = _onto_grid(on_d, grid, ranges.d)
        constants = matmul(on_y, layer.c) + matmul(on_d, layer.v_bias - layer.c)
        if layer.lookup is not None:
            passed = passed + _maximum(on_d, ranges.before, grid)
        entering = before.signal(index)
        products = matmul(on_y, layer.w) + matmul(on_d, layer.v - layer.w)
        on_a, slack_a = _onto_grid(products, grid, entering.a)
        on_e, slack_e = _onto_grid(matmul(on_d, layer.v), grid, entering.e)
        slack = slack_y + slack_d + slack_a + slack_e
        offset = settled(offset + passed + up(constants, grid) + slack)
        on_a, on_e = settled(on_a), settled(on_e)
    return offset + _maximum(on_a, before.input.a, grid) + _maximum(on_e, before.input.e, grid)


def _onto_grid(product: Raw, grid: int, box: Interval) -> tuple[Raw, Raw]:
    """Round coefficients down to the grid; the lost part, in [0, 1) unit, meets max(v, 0)."""
    return down(product, grid), up(total(positive(box.hi)), grid)


def _maximum(coefficients: Raw, box: Interval, grid: int) -> Raw:
    high = matmul(positive(coefficients), box.hi[:, :, None])
    low = matmul(negative(coefficients), box.lo[:, :, None])
    return up((high + low)[:, :, 0], grid)


def _through_activation(
    planes: Relaxation, on_a: Raw, on_e: Raw, grid: int
) -> tuple[Raw, Raw, Raw]:
    """Replace a and e by the plane that lies above in the direction of each coefficient.

    The coefficients on y and d that come out are on the grid 2**-2grid, the offsets on 2**-grid.
    """
    signed = (
        (positive(on_a), planes.a_high),
        (negative(on_a), planes.a_low),
        (positive(on_e), planes.e_high),
        (negative(on_e), planes.e_low),
    )
    shape = np.broadcast_shapes(on_a.shape, planes.a_high.y[:, None, :].shape)
    on_y = on_d = zeros(shape, grid)
    offset = zeros((1, 1, 1), grid)
    for part, plane in signed:
        # Many planes have no slope along y or d at all.
        if plane.y.any():
            on_y = on_y + times(part, plane.y[:, None, :])
        if plane.d.any():
            on_d = on_d + times(part, plane.d[:, None, :])
        if plane.offset.any():
            offset = offset + matmul(part, plane.offset[:, :, None])
    return on_y, on_d, up(offset[:, :, 0], grid)


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
        Plane(low.slope, none, low.offset),
        Plane(high.slope, none, high.offset),
        Plane(-below.y, -below.d, settled(ranges.r.lo - below.offset)),
        Plane(above.y, above.d, settled(above.offset + ranges.r.hi)),
    )


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
