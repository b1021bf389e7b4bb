"""Enclosures of everything that happens inside f and g over boxes: intervals, then linear bounds.

For every layer: y of the network, z of the program, d = z - y, and behind the activation the
network's a, the program's b and the deviation e = b - a (docs/CERTIFICATES.md). Intervals go
forward; `use_linear` tightens y, z and d by substituting linear relaxations back through all
earlier layers, on (a, e) jointly. Many boxes are analysed at once: every array is [boxes, n].

Where the bias of the program lies finer than the grid, z stands for the sum with the bias rounded
down; what is missing, less than one unit, is part of the rounding error r.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import QFormat, Rounding, round_shift, rounding_error
from qdeploy.ir import Box
from qdeploy.proof import linear
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    ceil_to_grid,
    constant,
    floor_to_grid,
    matmul,
    negative,
    positive,
    product_range,
    stored,
    times,
    total,
    up,
    zeros,
)
from qdeploy.proof.enclosure import LayerRanges, Ranges, Signal
from qdeploy.proof.linear import Before, Passage, rows_d, rows_y, rows_z
from qdeploy.proof.lookup import Lookup
from qdeploy.proof.pair import End, Layer, Pair


def boxes_on_grid(boxes: Sequence[Box], grid: int) -> Interval:
    """Return boxes [boxes, n] whose corners were moved outward onto the grid."""
    lo = [[floor_to_grid(v, grid) for v in box.lo] for box in boxes]
    hi = [[ceil_to_grid(v, grid) for v in box.hi] for box in boxes]
    return Interval(*(stored(np.array(side, dtype=object), grid) for side in (lo, hi)))


InnerEnds = Mapping[int, Sequence[tuple[int, int, int]]]
"""By layer (value, sign, raw): sign * value <= raw; values are all y, then sums, then sums - y."""


def analyse(
    pair: Pair,
    boxes: Interval,
    *,
    use_linear: bool,
    sparing: bool = False,
    inner: InnerEnds = MappingProxyType({}),
) -> Ranges:
    """Enclose every quantity of the pair over each box.

    `sparing`: lines are substituted only for neurons whose ranges matter further on. The enclosures
    of the last layer are hardly wider for that, those of other neurons are intervals.
    `inner`: ends that are known to hold in every box.
    """
    signal = input_signal(pair, boxes)
    return enclose(pair, signal, use_linear=use_linear, sparing=sparing, inner=inner)


def enclose(
    pair: Pair,
    entering: Signal,
    *,
    use_linear: bool,
    sparing: bool = False,
    inner: InnerEnds = MappingProxyType({}),
) -> Ranges:
    """Enclose every quantity of the pair for whatever enters it, [boxes, n]; see `analyse`."""
    by_lines = tighten_where_open if sparing else tighten_all
    return enclose_by(pair, entering, by_lines if use_linear else None, inner)


def enclose_by(
    pair: Pair,
    entering: Signal,
    tighten: "Tighten | None",
    inner: InnerEnds = MappingProxyType({}),
) -> Ranges:
    """Enclose by intervals, which `tighten` and ends that are known narrow layer by layer."""
    found: list[LayerRanges] = []
    passages: list[Passage] = []
    for index, layer in enumerate(pair.layers):
        signal = entering if index == 0 else found[-1].out
        y, z, d = _affine(pair, layer, signal)
        if tighten is not None and index > 0:
            entered = entering if index == 1 else found[-2].out
            passages.append(linear.passage(pair, pair.layers[index - 1], entered, found[-1]))
            before = Before(pair, Ranges(entering, tuple(found)), tuple(passages))
            y, z, d = tighten(before, layer, (y, z, d))
        y, z, d = _cut((y, z, d), inner.get(index, ()))
        y, z = y.settled(pair.grid), z.settled(pair.grid)
        d = d.meet(z - y).settled(pair.grid)
        found.append(_activate(pair, layer, y, z, d))
    return Ranges(entering, tuple(found))


Sums = tuple[Interval, Interval, Interval]
"""y, the program's sums, and their difference d, of one layer."""
Tighten = Callable[[Before, Layer, Sums], Sums]
"""Narrows what is known of a layer, whose predecessors are enclosed."""


def _cut(known: Sums, ends: Sequence[tuple[int, int, int]]) -> Sums:
    """Cut off what lies beyond the ends that were proven."""
    if not ends:
        return known
    width = known[0].lo.shape[1]
    cut = [Interval(box.lo.astype(object), box.hi.astype(object)) for box in known]
    for value, sign, raw in ends:
        box, i = cut[value // width], value % width
        if sign > 0:
            box.hi[:, i] = np.minimum(box.hi[:, i], raw)
        else:
            box.lo[:, i] = np.maximum(box.lo[:, i], -raw)
    y, z, d = cut
    return y, z, d


def tighten_all(before: Before, layer: Layer, known: Sums) -> Sums:
    """Tighten every neuron by lines."""
    every = np.arange(layer.width)
    rows = rows_y(before.pair, layer, every) + rows_z(layer, every) + rows_d(layer, every)
    found = linear.enclose(before, rows)
    y, z, d = (
        box.meet(Interval(found.lo[:, some], found.hi[:, some]))
        for box, some in zip(known, np.split(np.arange(3 * layer.width), 3), strict=True)
    )
    return y, z, d


def tighten_where_open(before: Before, layer: Layer, known: Sums) -> Sums:
    """Tighten y and z of neurons that intervals leave open in some box, then d where it counts.

    A curve that is straight where both functions are passes e by its slope, whatever d's range is.
    What a box gets depends on nothing but the box, so that batches do not show in the numbers.
    """
    y, z, d = known
    pair = before.pair
    moving = is_open(layer, y, z, pair.grid)
    rows = np.flatnonzero(moving.any(axis=0))
    if len(rows):
        found = linear.enclose(before, rows_y(pair, layer, rows) + rows_z(layer, rows))
        of_y, of_z = np.split(np.arange(2 * len(rows)), 2)
        y = y.meet_where(moving, rows, Interval(found.lo[:, of_y], found.hi[:, of_y]))
        z = z.meet_where(moving, rows, Interval(found.lo[:, of_z], found.hi[:, of_z]))
        moving = is_open(layer, y, z, pair.grid)
        rows = np.flatnonzero(moving.any(axis=0))
    if len(rows):
        d = d.meet_where(moving, rows, linear.enclose(before, rows_d(layer, rows)))
    return y, z, d


def is_open(layer: Layer, y: Interval, z: Interval, grid: int) -> NDArray[np.bool_]:
    """Whether a neuron is more than one straight piece, unsaturated, over some of y and z."""
    if layer.curve is None or layer.lookup is not None:
        return np.ones(z.lo.shape, dtype=bool)
    slopes = layer.curve.slopes_over(y.hull(z))
    top = floor_to_grid(layer.output.max, grid)
    return np.asarray((slopes.lo != slopes.hi) | (z.hi > top), dtype=bool)


_OPERATIONS_PER_NUMBER = 150
"""Of an input or an output, which is rounded, clamped and compared."""
_OPERATIONS_PER_STEP = 100_000
"""What passing one layer costs however narrow it is."""


def analysis_operations(pair: Pair, boxes: int = 1) -> int:
    """Estimate the elementary operations of analysing boxes together with linear bounds."""
    widths = [pair.layers[0].w.shape[1], *(layer.width for layer in pair.layers)]
    return operations_through(widths, boxes)


def operations_through(widths: Sequence[int], boxes: int = 1) -> int:
    """Estimate what `analysis_operations` does from the widths of the input and of all layers.

    A row passes three matrices a layer, whose products cost a third of an operation each.
    """
    behind = 0
    operations = (widths[0] + widths[-1]) * _OPERATIONS_PER_NUMBER
    for k in range(1, len(widths) - 1):
        behind += widths[k] * (widths[k - 1] + 14)
        operations += 6 * widths[k + 1] * behind
    return operations * boxes + step_operations(widths)


def step_operations(widths: Sequence[int]) -> int:
    """Estimate what passing rows back costs however narrow the layers are."""
    return (len(widths) - 1) ** 2 * _OPERATIONS_PER_STEP


def input_signal(pair: Pair, x: Interval) -> Signal:
    """Return x, its quantised value and the quantisation error over each box."""
    fmt, grid = pair.input, pair.grid
    shift = grid - fmt.fb
    codes = (round_shift(side, shift, pair.input_rounding) for side in (x.lo, x.hi))
    ends = (np.clip(c.astype(object), fmt.raw_min, fmt.raw_max) << shift for c in codes)
    b = Interval(*(stored(end, grid) for end in ends))
    e = saturating_error(x, fmt, pair.input_rounding, None, grid)
    return Signal(x, b, e.meet(b - x).settled(grid))


def _affine(pair: Pair, layer: Layer, s: Signal) -> tuple[Interval, Interval, Interval]:
    if layer.alone:
        return s.a, s.b, s.e
    grid = pair.grid
    y = product_range(layer.w, s.a, grid).shifted(layer.c)
    z = product_range(layer.v, s.b, grid).shifted(layer.v_bias)
    moved = product_range(layer.v - layer.w, s.a, grid).shifted(layer.v_bias - layer.c)
    return y, z, product_range(layer.v, s.e, grid) + moved


def _activate(pair: Pair, layer: Layer, y: Interval, sums: Interval, d: Interval) -> LayerRanges:
    grid = pair.grid
    true = Interval(sums.lo, sums.hi + int(layer.bias_inexact))
    z, before = sums, Interval(d.lo * 0, d.hi * 0)
    if layer.lookup is not None:
        z = layer.lookup.values(true)
        before = _rounding_before(pair, layer.lookup, layer, true).meet(z - sums).settled(grid)
        d = (d + before).meet(z - y).settled(grid)
    kept = z if layer.curve is None else layer.curve.range(z)
    r = _rounding(pair, layer, true) if layer.lookup is None else layer.lookup.errors(true)
    b = kept + r
    if layer.lookup is None and layer.clamp is not None:
        codes = _emitted(layer, true, grid)
        r, b = r.meet(codes - kept).settled(grid), b.meet(codes)
    b = _clamped(b, layer, grid).settled(grid)
    if layer.curve is None:
        out = Signal(y, b, (d + r).meet(b - y).settled(grid))
        return LayerRanges(sums, before, y, z, d, d, r, out)
    a = layer.curve.range(y)
    # phi(z) - phi(y) is a slope between y and z times d.
    slopes = layer.curve.slopes_over(y.hull(z))
    delta = slopes.times(d, grid).meet(kept - a).settled(grid)
    e = (delta + r).meet(b - a).settled(grid)
    return LayerRanges(sums, before, y, z, d, delta, r, Signal(a, b, e))


def _emitted(layer: Layer, true: Interval, grid: int) -> Interval:
    """Return what the codes stand for to which sums and their saturation are rounded.

    Rounding keeps the order, so both ends decide. Where they become one code, what the program
    emits is one known number, however much less than half a step the rounding's own error tells.
    """
    counted = true
    if layer.curve is not None:
        slack = int(layer.curve.inexact)
        counted = layer.curve.range(true)
        counted = Interval(counted.lo - slack, counted.hi + slack)
    fmt, shift = layer.output, grid - layer.output.fb
    ends = (round_shift(end, shift, layer.rounding) for end in (counted.lo, counted.hi))
    codes = (np.clip(end.astype(object), fmt.raw_min, fmt.raw_max) << shift for end in ends)
    return Interval(*(stored(end, grid) for end in codes))


def _clamped(b: Interval, layer: Layer, grid: int) -> Interval:
    """Return what the program emits within the codes that it is clamped to."""
    if layer.clamp is None:
        return b
    shift = grid - layer.output.fb
    low, high = (constant(code << shift, (1, 1), grid) for code in layer.clamp)
    return Interval(np.asarray(np.clip(b.lo, low, high)), np.asarray(np.clip(b.hi, low, high)))


def _rounding_before(pair: Pair, lookup: Lookup, layer: Layer, true: Interval) -> Interval:
    """Enclose the error of rounding the sums to the codes of a lookup."""
    missing = int(layer.bias_inexact)
    e = saturating_error(true, lookup.before, lookup.rounding, layer.spacing, pair.grid)
    return Interval(e.lo, e.hi + missing).settled(pair.grid)


def _rounding(pair: Pair, layer: Layer, true: Interval) -> Interval:
    """Enclose b - phi(z): the rounding shift and the saturation of every neuron.

    On a flat end of phi program and network are constant, so their difference is known.
    """
    missing = int(layer.bias_inexact)
    counted = true
    if layer.curve is not None:
        counted = layer.curve.range(true)
    r = saturating_error(counted, layer.output, layer.rounding, layer.spacing, pair.grid)
    if layer.curve is not None and layer.curve.inexact:
        r = Interval(r.lo - 1, r.hi + 1)
    floor, ceiling = layer.ends
    if floor is not None:
        r = _with_end(r, floor, true.hi <= floor.place, true.lo <= floor.place)
    if ceiling is not None:
        r = _with_end(r, ceiling, true.lo >= ceiling.place, true.hi >= ceiling.place)
    # phi(z + s) - phi(z) lies in [0, s] for the missing part s of the bias.
    return Interval(r.lo, r.hi + missing).settled(pair.grid)


def _with_end(r: Interval, end: End, inside: Raw, touched: Raw) -> Interval:
    """Return the error where a flat end of the activation is all there is, or a part of it."""
    low, high = np.minimum(r.lo, end.error_lo), np.maximum(r.hi, end.error_hi)
    return Interval(
        np.where(inside, end.error_lo, np.where(touched, low, r.lo)),
        np.where(inside, end.error_hi, np.where(touched, high, r.hi)),
    )


def saturating_error(
    v: Interval, fmt: QFormat, mode: Rounding, spacing: Fraction | None, grid: int
) -> Interval:
    """Enclose sat(round(v)) - v elementwise; `spacing`: v is known to be a multiple of it."""
    down_error, up_error = rounding_error(fmt.min, fmt.max, fmt, mode, spacing)
    low, high = (
        constant(end, v.lo.shape, grid)
        for end in (floor_to_grid(down_error, grid), ceil_to_grid(up_error, grid))
    )
    if mode is Rounding.TRUNC:
        # Towards zero: down for positive values only, up for negative ones only.
        low, high = np.where(v.hi > 0, low, 0), np.where(v.lo < 0, high, 0)
    top = constant(floor_to_grid(fmt.max, grid), (1, 1), grid)
    bottom = constant(ceil_to_grid(fmt.min, grid), (1, 1), grid)
    return Interval(
        np.asarray(np.minimum(low, negative(top - v.hi))),
        np.asarray(np.maximum(high, positive(bottom - v.lo))),
    )


def reference_error(pair: Pair, ranges: Ranges) -> Raw:
    """Bound |f - f'| per output, f' being f with its parameters rounded onto the proof's grid.

    Zero when every parameter lies on the grid, as float32 parameters of usual size do on a fine
    one. [boxes, outputs].
    """
    error = zeros(ranges.input.a.lo.shape, pair.grid)
    for index, (layer, found) in enumerate(zip(pair.layers, ranges.layers, strict=True)):
        reach = ranges.signal(index).a.magnitude + error
        error = up(matmul(error, abs(layer.w).T), pair.grid)
        if layer.inexact:
            # Every entry moved by at most half a unit of the grid, the bias likewise.
            error = error + up(total(reach), pair.grid) + 1
        error = stored(error, pair.grid)
        if layer.curve is not None:
            moved = layer.curve.moved(stored(found.y.magnitude + error, pair.grid))
            error = stored(up(times(error, _steepest(layer)), pair.grid) + moved, pair.grid)
    return error


def recursion_bound(pair: Pair, ranges: Ranges) -> Raw:
    """Bound every output's deviation by one number a box, layer norm by layer norm.

    D_0 = sup |Q(x) - x|; D_k+1 = L (|V|_inf D_k + max_i (sum_j |V - W|_ij sup|a_j| + |v - c|_i +
    rho_i)) + r, L the activation's steepest slope, rho and r the errors of rounding before and
    behind it (docs/CERTIFICATES.md, "recursion"). Needs no more than the network's own ranges.
    """
    deviation = ranges.input.e.magnitude.max(axis=1)
    for index, (layer, found) in enumerate(zip(pair.layers, ranges.layers, strict=True)):
        reach = ranges.signal(index).a.magnitude
        norm = abs(layer.v).astype(object).sum(axis=1).max()
        moved = up(matmul(reach, abs(layer.v - layer.w).T), pair.grid)
        source = (moved + abs(layer.v_bias - layer.c) + found.before.magnitude).max(axis=1)
        grown = times(deviation, np.array(norm, dtype=object))
        deviation = up(grown, pair.grid) + source
        if layer.curve is not None:
            deviation = up(times(deviation, _steepest(layer)), pair.grid)
        deviation = deviation + found.r.magnitude.max(axis=1)
    return np.asarray(deviation)


def _steepest(layer: Layer) -> Raw:
    return np.array(1 if layer.curve is None else layer.curve.steepest, dtype=object)
