"""One of the two functions alone, enclosed over boxes: the network f, or the program g.

Where only one function matters, its own lines are tighter and cheaper than the joint ones of
`linear`. Both are chains of `v = M u + c + error`, `u' = step(v)`: the step of f is the ReLU, that
of g the whole staircase of rounding, saturation and ReLU, enclosed between two lines by its
corners. All arrays are raw on one grid, [boxes, n]; coefficients are [boxes or 1, rows, n].
"""

from dataclasses import dataclass

import numpy as np

from qdeploy.fixedpoint import QFormat, Rounding, round_shift
from qdeploy.proof.curves import OnGrid
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    constant,
    down,
    matmul,
    negative,
    positive,
    product_range,
    stored,
    times,
    total,
    up,
    widest,
    zeros,
)
from qdeploy.proof.lookup import Lookup
from qdeploy.proof.pair import Layer, Pair

_LARGEST_STAIR_BITS = 60
"""Of a code's value: two steps more, and int64 still holds it until `stored` looks at it."""


@dataclass(frozen=True, slots=True)
class Stairs:
    """t -> clip(round(t)) as codes of `format` between `lowest` and `highest`."""

    format: QFormat
    rounding: Rounding
    lowest: int
    highest: int

    def codes(self, t: Raw, grid: int) -> Raw:
        """Return the code of each t."""
        rounded = round_shift(t, grid - self.format.fb, self.rounding)
        return np.asarray(np.clip(rounded, self.lowest, self.highest))

    def threshold(self, codes: Raw, grid: int) -> Raw:
        """Return the infimum of what is rounded to each code or above; grid > fb."""
        step = 1 << (grid - self.format.fb)
        match self.rounding:
            case Rounding.NEAREST:
                return np.asarray(codes * step - step // 2)
            case Rounding.FLOOR:
                return np.asarray(codes * step)
            case Rounding.TRUNC:
                return np.asarray(np.where(codes > 0, codes, codes - 1) * step)


@dataclass(frozen=True, slots=True)
class Link:
    """One layer of f or of g."""

    matrix: Raw
    bias: Raw
    rounded: bool = False
    """Whether entries of matrix and bias were moved, by at most half a unit of the grid each."""
    missing: int = 0
    """Units, 0 or 1, that the stored bias may lie below the true one."""
    stairs: Stairs | None = None
    """The rounding of the program; it is all of the step, if there is one."""
    curve: OnGrid | None = None
    """The activation of the network, or of a lookup of the program."""
    lookup: Lookup | None = None
    """The lookup whose errors come on top of the curve."""


@dataclass(frozen=True, slots=True)
class Lines:
    """low_slope v + low <= u' <= high_slope v + high, per neuron."""

    low_slope: Raw
    low: Raw
    high_slope: Raw
    high: Raw


@dataclass(frozen=True, slots=True)
class Passed:
    """One link over boxes: what enters, v, the error inside v, and the lines of its step."""

    entering: Interval
    v: Interval
    error: Interval
    lines: Lines


def network_links(pair: Pair) -> tuple[Link, ...]:
    """Return f as a chain."""
    return tuple(
        Link(layer.w, layer.c, rounded=layer.inexact, curve=layer.curve) for layer in pair.layers
    )


def program_links(pair: Pair) -> tuple[Link, ...]:
    """Return g, from its input codes on, as a chain; a lookup is a link of its own."""
    return tuple(link for layer in pair.layers for link in _program_links(layer, pair.grid))


def _program_links(layer: Layer, grid: int) -> tuple[Link, ...]:
    missing = int(layer.bias_inexact)
    if layer.lookup is None:
        clamp = layer.clamp or (layer.output.raw_min, layer.output.raw_max)
        stairs = Stairs(layer.output, layer.rounding, *clamp)
        return (Link(layer.v, layer.v_bias, missing=missing, stairs=stairs),)
    fmt = layer.lookup.before
    stairs = Stairs(fmt, layer.lookup.rounding, fmt.raw_min, fmt.raw_max)
    identity = zeros((layer.width, layer.width), grid)
    np.fill_diagonal(identity, 1 << grid)
    nothing = zeros(layer.width, grid)
    return (
        Link(layer.v, layer.v_bias, missing=missing, stairs=stairs),
        Link(identity, nothing, curve=layer.curve, lookup=layer.lookup),
    )


def enclose(links: tuple[Link, ...], boxes: Interval, grid: int, lines: int) -> tuple[Passed, ...]:
    """Enclose every quantity of the chain over each box [boxes, n].

    The first `lines` links are tightened by lines, the others left to intervals: many times
    cheaper, and nearly as good over boxes so small that few neurons still move.
    """
    found: list[Passed] = []
    entering = boxes
    for index, link in enumerate(links):
        error = _error(link, entering, grid)
        v = product_range(link.matrix, entering, grid).shifted(link.bias) + error
        if 0 < index < lines:
            rows = np.concatenate([link.matrix, -link.matrix])[None]
            reach = upper_bound(links, tuple(found), rows, boxes, grid)
            count = len(link.bias)
            tight = Interval(link.bias - reach[:, count:], link.bias + reach[:, :count])
            v = v.meet(tight + error)
        v = v.settled(grid)
        steps, leaving = _step(link, v, grid)
        found.append(Passed(entering, v, error, steps))
        entering = leaving
    return tuple(found)


def _error(link: Link, entering: Interval, grid: int) -> Interval:
    """Enclose what the stored matrix and bias miss of the true ones."""
    none = zeros((len(entering.lo), len(link.bias)), grid)
    if not link.rounded:
        return Interval(none, none + link.missing)
    moved = up(total(entering.magnitude), grid + 1) + 1
    return Interval(none - moved, none + moved).settled(grid)


def upper_bound(
    links: tuple[Link, ...], passed: tuple[Passed, ...], rows: Raw, boxes: Interval, grid: int
) -> Raw:
    """Bound rows @ u above, u being what the last of `passed` emits: [boxes, rows]."""
    offset = zeros((1, rows.shape[1]), grid)
    for link, at in zip(reversed(links[: len(passed)]), reversed(passed), strict=True):
        plus, minus, lines = positive(rows), negative(rows), at.lines
        on_v = times(plus, lines.high_slope[:, None]) + times(minus, lines.low_slope[:, None])
        constants = matmul(plus, lines.high[:, :, None]) + matmul(minus, lines.low[:, :, None])
        offset = offset + up(constants[:, :, 0], grid)
        # Coefficients are rounded down; the lost part, in [0, 1) unit, meets max(v, 0).
        on_v = stored(down(on_v, grid), grid)
        offset = offset + up(total(positive(at.v.hi)), grid)
        offset = offset + up(matmul(on_v, link.bias), grid) + _largest(on_v, at.error, grid)
        rows = stored(down(matmul(on_v, link.matrix), grid), grid)
        offset = stored(offset + up(total(positive(at.entering.hi)), grid), grid)
    return stored(offset + _largest(rows, boxes, grid), grid)


def _largest(rows: Raw, box: Interval, grid: int) -> Raw:
    high = matmul(positive(rows), box.hi[:, :, None])
    low = matmul(negative(rows), box.lo[:, :, None])
    return up((high + low)[:, :, 0], grid)


def _step(link: Link, v: Interval, grid: int) -> tuple[Lines, Interval]:
    if link.stairs is not None:
        return _stair_lines(link.stairs, v, grid)
    if link.curve is None:
        none = zeros(v.lo.shape, grid)
        unit = none + (1 << grid)
        return Lines(unit, none, unit, none), v
    below, above, leaving = link.curve.below(v), link.curve.above(v), link.curve.range(v)
    moved = stored(np.asarray(link.curve.moved(v.magnitude)), grid)
    off = Interval(-moved, moved)
    if link.lookup is not None:
        off = (off + link.lookup.errors(v)).settled(grid)
    low, high = stored(below.offset + off.lo, grid), stored(above.offset + off.hi, grid)
    return Lines(below.slope, low, above.slope, high), (leaving + off).settled(grid)


def _stair_lines(stairs: Stairs, v: Interval, grid: int) -> tuple[Lines, Interval]:
    """Enclose a staircase by its corners: the upper ones lie where a code begins.

    Between two of its corners a rounding climbs along a line (two lines for `trunc`, which bends at
    zero), so the outermost corners and those at the bend decide which intercept suffices.
    """
    first, last = stairs.codes(v.lo, grid), stairs.codes(v.hi, grid)
    step = 1 << (grid - stairs.format.fb)
    # A clamp can lift codes far above the sums, so the sums' width says nothing.
    bits = max(widest(first), widest(last)) + step.bit_length()
    if bits > _LARGEST_STAIR_BITS or object in (first.dtype, last.dtype):
        first, last = first.astype(object), last.astype(object)
    low, high = (stored(np.asarray(end * step), grid) for end in (first, last))
    begins = [
        (code, stored(stairs.threshold(code, grid), grid))
        for code in (np.minimum(np.maximum(c, first + 1), last) for c in (first + 1, 0, 1, last))
    ]
    flat = first == last
    high_slope = _slope(high - low, begins[-1][1] - v.lo, flat, grid)
    low_slope = _slope(high - low, v.hi - begins[0][1], flat, grid)
    asleep = (stairs.lowest == first) & (begins[0][1] - v.lo > v.hi - begins[0][1])
    low_slope = np.where(asleep, 0, low_slope)
    above = [_over(low, v.lo, high_slope, grid)]
    below = [_over(high, v.hi, low_slope, grid)]
    for code, begin in begins:
        value, before = (stored(np.asarray(c * step), grid) for c in (code, code - 1))
        above.append(np.where(flat, above[0], _over(value, begin, high_slope, grid)))
        below.append(np.where(flat, below[0], _over(before, begin, low_slope, grid)))
    highs = up(np.asarray(np.maximum.reduce(above)), grid)
    lows = down(np.asarray(np.minimum.reduce(below)), grid)
    lines = Lines(low_slope, stored(lows, grid), high_slope, stored(highs, grid))
    return lines, Interval(low, high)


def _slope(rise: Raw, run: Raw, flat: Raw, grid: int) -> Raw:
    """Return a slope between 0 and 1 near rise / run; any such slope is sound."""
    unit = constant(1 << grid, rise.shape, grid)
    steep = flat | (run <= 0) | (rise >= run)
    slope = times(rise, unit) // np.where(steep, 1, run)
    return np.where(flat, 0, np.where(steep, unit, slope))


def _over(value: Raw, at: Raw, slope: Raw, grid: int) -> Raw:
    """Return value - slope * at, on the grid 2**-2grid."""
    unit = constant(1 << grid, (1, 1), grid)
    return times(value, unit) - times(slope, at)
