"""Activations on the proof's grid: ranges, slopes, and lines below and above, over many intervals.

Every operator states its curve as exact numbers (`qdeploy.ops`); here they become integers on the
grid. A line may have any slope: its offset is then taken so that it holds over the whole interval,
so how a slope was found never matters and no division is trusted.

* A piecewise linear curve minus a line attains its extremes at the ends and the breakpoints.
* A smooth curve is a table of rigorous enclosures at knots. Between two knots it lies within
  curvature * width^2 / 8 of its chord, and where it is concave, below every tangent.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np

from qdeploy.ops import Curve, PiecewiseLinear, Smooth
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    ceil_to_grid,
    constant,
    down,
    floor_to_grid,
    lifted,
    nearest,
    negative,
    positive,
    stored,
    summable,
    times,
    up,
    widest,
)

_COARSE_BITS = 30
_KINK_BITS = 8
_MOST_BREAKPOINTS = 4
"""So that few enough terms are added for int64."""
_TABLE_BITS = 15
"""A table has 2**(_TABLE_BITS + 1) + 1 knots."""


@dataclass(frozen=True, slots=True)
class Line:
    """slope * t + offset, elementwise, both on the grid."""

    slope: Raw
    offset: Raw


# --- piecewise linear --------------------------------------------------------------------------


@dataclass(frozen=True)
class Pieces:
    """A piecewise linear curve on the grid; `PiecewiseLinear` says what the numbers mean."""

    grid: int
    breakpoints: Raw
    """[k, n or 1]."""
    slopes: Raw
    """[k + 1, n or 1]."""
    first: Raw
    """[n or 1]."""
    inexact: bool
    """Whether some number had to be rounded onto the grid, by at most half a unit."""

    @property
    def width(self) -> int:
        """Number of different curves: 1, or one a neuron."""
        return int(max(self.breakpoints.shape[1], self.slopes.shape[1], self.first.shape[0]))

    def only(self, some: slice) -> "Pieces":
        """Return the curves of some neurons."""
        breakpoints, slopes = (
            a if a.shape[1] == 1 else a[:, some] for a in (self.breakpoints, self.slopes)
        )
        first = self.first if len(self.first) == 1 else self.first[some]
        return Pieces(self.grid, breakpoints, slopes, first, self.inexact)

    @cached_property
    def steepest(self) -> int:
        """The largest magnitude of a slope."""
        return int(abs(self.slopes).max())

    @cached_property
    def _rises(self) -> bool:
        return bool((self.slopes >= 0).all())

    def moved(self, reach: Raw) -> Raw:
        """Bound what rounding the numbers changed, at inputs of magnitude up to `reach`.

        Slopes are off by half a unit, which grows with the way from the first breakpoint; between
        the old and the new place of a breakpoint they are off by a whole jump; the first value
        and its place, by half a unit each.
        """
        if not self.inexact:
            return reach * 0
        jumps = abs(np.diff(self.slopes, axis=0)).sum(axis=0)
        far = reach + abs(self.breakpoints).max(axis=0)
        return np.asarray(up(far + jumps + self.steepest, self.grid) + 2)

    def range(self, t: Interval) -> Interval:
        """Return the range of the curve."""
        ends = [t.lo, t.hi] if self._rises else self._vertices(t)
        values = [self._scaled(end) for end in ends]
        low = values[0] if self._rises else _least(values)
        high = values[-1] if self._rises else _largest(values)
        return Interval(down(low, self.grid), up(high, self.grid))

    def slopes_over(self, t: Interval) -> Interval:
        """Return the range of the slope inside the interval."""
        low = high = self._slope_right_of(t.lo)
        for place, slope in zip(self.breakpoints, self.slopes[1:], strict=True):
            entered = (t.lo < place) & (t.hi > place)
            low = np.where(entered, np.minimum(low, slope), low)
            high = np.where(entered, np.maximum(high, slope), high)
        return Interval(low, high)

    def above(self, t: Interval) -> Line:
        """Return a line above the curve: the edge of its upper hull over the middle of t."""
        points = self._vertices(t)
        values = [self._scaled(point) for point in points]
        return _edge(points, values, self.grid)

    def below(self, t: Interval) -> Line:
        """Return a line below the curve: the edge of its lower hull under the middle of t."""
        points = self._vertices(t)
        line = _edge(points, [-self._scaled(point) for point in points], self.grid)
        return Line(-line.slope, -line.offset)

    def _vertices(self, t: Interval) -> list[Raw]:
        return [t.lo, *(np.clip(b, t.lo, t.hi) for b in self.breakpoints), t.hi]

    def _slope_right_of(self, t: Raw) -> Raw:
        slope = self.slopes[0] + t * 0
        for place, following in zip(self.breakpoints, self.slopes[1:], strict=True):
            slope = np.where(t >= place, following, slope)
        return np.asarray(slope)

    def _scaled(self, t: Raw) -> Raw:
        """Return the exact value at t, on the grid 2**-2grid."""
        start = lifted(self.first, self.grid)
        value = start + times(self.slopes[0] + t * 0, negative(t - self.breakpoints[0]))
        for near, far, slope in zip(
            self.breakpoints, [*self.breakpoints[1:], None], self.slopes[1:], strict=True
        ):
            if slope.any():
                way = positive(t - near)
                inside = way if far is None else np.minimum(way, far - near)
                value = value + times(slope + t * 0, inside)
        return summable(np.asarray(value))


def _edge(points: list[Raw], values: list[Raw], grid: int) -> Line:
    """Return a line that lies above all points, close to the hull's edge above their middle.

    `values` are on the grid 2**-2grid. The points ascend, and their first and last are the ends.
    """
    middle = (points[0] + points[-1]) >> 1
    slope = _rise(points[0], points[-1], values[0], values[-1])
    height = down(values[0], grid) + down(times(slope, middle - points[0]), grid)
    for i, left in enumerate(points):
        for j in range(i + 1, len(points)):
            right = points[j]
            if (i, j) == (0, len(points) - 1):
                continue
            other = _rise(left, right, values[i], values[j])
            reached = down(values[i], grid) + down(times(other, middle - left), grid)
            better = (left <= middle) & (middle <= right) & (left < right) & (reached > height)
            slope, height = np.where(better, other, slope), np.where(better, reached, height)
    offset = _largest(
        [value - times(slope, point) for point, value in zip(points, values, strict=True)]
    )
    return Line(slope, up(offset, grid))


def _rise(left: Raw, right: Raw, low: Raw, high: Raw) -> Raw:
    """Return the slope between two points, values being on the grid 2**-2grid; 0 if they meet."""
    run = right - left
    return np.asarray(np.where(run > 0, (high - low) // np.where(run > 0, run, 1), 0))


def _least(values: list[Raw]) -> Raw:
    return np.asarray(np.minimum.reduce(values))


def _largest(values: list[Raw]) -> Raw:
    return np.asarray(np.maximum.reduce(values))


# --- smooth ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Knots:
    """A smooth curve that never falls, enclosed at equally spaced knots around 0.

    It is convex up to the knot `turn` and concave from there on.
    """

    grid: int
    spacing: int
    """Binary logarithm of the distance between knots, in units of the grid."""
    value: tuple[Raw, Raw]
    """Lower and upper ends at the knots, [knots]."""
    slope: tuple[Raw, Raw]
    turn: int
    sag: int
    """How far the curve may lie from its chord between two knots."""
    floor: int | None
    """No value is below; None: the curve is t itself for t <= 0."""
    ceiling: int | None
    """No value is above; None: the curve is t itself for t >= 0."""

    inexact = False
    width = 1

    def only(self, some: slice) -> "Knots":
        """Return the curve: it is the same for all neurons."""
        del some
        return self

    @cached_property
    def steepest(self) -> int:
        """A bound on the slope."""
        return int(self.slope[1].max())

    @cached_property
    def turned(self) -> "Knots":
        """The curve turned by half a turn about 0, -phi(-t): what is above becomes below."""
        value, slope = ([end[::-1] for end in ends] for ends in (self.value, self.slope))
        return Knots(
            self.grid,
            self.spacing,
            (-value[1], -value[0]),
            (slope[0], slope[1]),
            len(value[0]) - 1 - self.turn,
            self.sag,
            None if self.ceiling is None else -self.ceiling,
            None if self.floor is None else -self.floor,
        )

    def moved(self, reach: Raw) -> Raw:
        """Nothing was rounded: the knots enclose the curve itself."""
        return reach * 0

    def range(self, t: Interval) -> Interval:
        """Return the range of the curve."""
        return Interval(-self.turned.highest(-t.lo), self.highest(t.hi))

    def slopes_over(self, t: Interval) -> Interval:
        """Return the range of the slope, which rises up to the turn and falls from there."""
        peak = np.clip(self._place(np.asarray(self.turn)), t.lo, t.hi)
        low = np.minimum(self._slope_at(t.lo)[0], self._slope_at(t.hi)[0])
        return Interval(low, self._slope_at(peak)[1])

    def below(self, t: Interval) -> Line:
        """Return a line below the curve."""
        line = self.turned.above(Interval(-t.hi, -t.lo))
        return Line(line.slope, -line.offset)

    def above(self, t: Interval) -> Line:
        """Return a line above the curve, close to the least one.

        Where the interval is concave it is the tangent at the middle; where it is convex, the
        chord; else the tangent from the lower end, or the chord where that touches beyond t.
        """
        turn = self._place(np.asarray(self.turn))
        middle = self._nearest((t.lo + t.hi) >> 1)
        touch = np.where(t.lo >= turn, middle, self._touch[self._cell(t.lo)])
        chord = (t.lo < turn) & (self._place(touch) >= t.hi)
        support = np.clip(np.where(chord, self._nearest(t.hi), touch), self.turn, self._last)
        support = support + ((support == self._last // 2) & self._kinked)
        ends = [lifted(self.highest(end), self.grid) for end in (t.lo, t.hi)]
        slope = np.where(chord, _rise(t.lo, t.hi, *ends), self.slope[0][support])
        return Line(slope, self._offset_above(t, slope, support))

    @cached_property
    def _kinked(self) -> bool:
        """Whether the slope jumps at 0; the tangents of the next knot are then better."""
        at = self._last // 2
        return bool(self.slope[1][at] - self.slope[0][at] > 1 << (self.grid - _KINK_BITS))

    def _offset_above(self, t: Interval, slope: Raw, support: Raw) -> Raw:
        """Return the least proven offset of a line above the curve.

        The convex part is highest above a line at its ends; the concave part lies below the
        tangent at `support`, and that is highest at an end of the part.
        """
        turn = np.clip(self._place(np.asarray(self.turn)), t.lo, t.hi)
        least = _largest(
            [lifted(self.highest(end), self.grid) - times(slope, end) for end in (t.lo, turn)]
        )
        place, top = self._place(support), lifted(self.value[1][support], self.grid)
        for end in (turn, t.hi):
            way = end - place
            steep = np.where(way > 0, self.slope[1][support], self.slope[0][support])
            tangent = top + times(steep, way) - times(slope, end)
            least = np.where(t.hi > turn, np.maximum(least, tangent), least)
        return up(least, self.grid)

    def highest(self, t: Raw) -> Raw:
        """Bound the value at t from above."""
        cell = self._cell(t)
        left, right = self.value[1][cell], self.value[1][cell + 1]
        way = np.clip(t - self._place(cell), 0, 1 << self.spacing)
        chord = left + up(times(right - left, way), self.spacing)
        sag = constant(self.sag, (1,), self.grid)
        value = chord + np.where(cell >= self.turn, sag, 0)
        value = np.where(t < self._place(np.asarray(0)), self.value[1][0], value)
        if self.ceiling is None:
            return np.where(t >= 0, t, value)
        value = np.where(t > self._place(np.asarray(self._last)), self.ceiling, value)
        return np.where(t <= 0, t, value) if self.floor is None else np.asarray(value)

    def _slope_at(self, t: Raw) -> tuple[Raw, Raw]:
        """Enclose the slopes around t: between two knots they lie between those of the knots."""
        cell = self._cell(t)
        low = np.minimum(self.slope[0][cell], self.slope[0][cell + 1])
        high = np.maximum(self.slope[1][cell], self.slope[1][cell + 1])
        left, right = t < self._place(np.asarray(0)), t > self._place(np.asarray(self._last))
        low = np.where(left | right, 0, low)
        straight = np.zeros(t.shape, dtype=bool)
        if self.ceiling is None:
            straight = t > 0
        elif self.floor is None:
            straight = t < 0
        unit = 1 << self.grid
        return np.where(straight, unit, low), np.where(straight, unit, high)

    @property
    def _last(self) -> int:
        return len(self.value[0]) - 1

    def _place(self, knot: Raw) -> Raw:
        """Return where a knot lies."""
        return np.asarray((knot.astype(self.value[0].dtype) - self._last // 2) << self.spacing)

    def _cell(self, t: Raw) -> Raw:
        """Return the index of the last knot not above t; the ends for what lies outside."""
        index = np.clip((t >> self.spacing) + self._last // 2, 0, self._last - 1)
        return np.asarray(index, dtype=np.int64)

    def _nearest(self, t: Raw) -> Raw:
        index = (t + (1 << (self.spacing - 1)) >> self.spacing) + self._last // 2
        return np.asarray(np.clip(index, 0, self._last), dtype=np.int64)

    @cached_property
    def _touch(self) -> Raw:
        """For every knot up to the turn the knot whose tangent passes just above it.

        The tangent's height over the knot grows with the place of touching: bisection. Only the
        quality of lines depends on it.
        """
        places = self._place(np.arange(self._last + 1))
        fewer = max(0, max(widest(a) for a in (*self.value, *self.slope, places)) - _COARSE_BITS)
        value, slope, place = (
            (ends >> fewer).astype(np.int64) for ends in (self.value[0], self.slope[0], places)
        )
        low = np.full(self._last + 1, self.turn)
        high = np.full(self._last + 1, self._last)
        while (low < high).any():
            knot = (low + high) >> 1
            over = value[knot] + (
                (slope[knot] * (place - place[knot])) >> max(self.grid - fewer, 0)
            )
            passes = over >= value
            low, high = (
                np.where(passes, low, np.minimum(knot + 1, high)),
                np.where(passes, knot, high),
            )
        return high


@lru_cache(maxsize=32)
def _knots(curve: Smooth, grid: int) -> Knots:
    bits = (curve.reach - 1).bit_length()
    half = 1 << _TABLE_BITS
    places = np.arange(-half, half + 1)
    value, slope = (
        [stored(end, grid) for end in ends] for ends in curve.at(places, _TABLE_BITS - bits, grid)
    )
    width = Fraction(1 << bits, half)
    return Knots(
        grid,
        grid + bits - _TABLE_BITS,
        (value[0], value[1]),
        (slope[0], slope[1]),
        half + _turn(curve, width),
        ceil_to_grid(curve.curvature * width**2 / 8, grid),
        floor_to_grid(curve.floor, grid),
        None if curve.ceiling is None else ceil_to_grid(curve.ceiling, grid),
    )


def _turn(curve: Smooth, width: Fraction) -> int:
    """Return the number of the knot from which on the curve is concave, that at 0 being 0."""
    if curve.inflection is None:
        # Convex everywhere; beyond the table it is straight, and so concave as well.
        return 1 << _TABLE_BITS
    turn = curve.inflection / width
    if turn.denominator != 1:
        raise ValueError(f"no knot stands at the inflection {curve.inflection} of a curve")
    return turn.numerator


OnGrid = Pieces | Knots


def on_grid(curve: Curve, grid: int) -> OnGrid:
    """Return the curve in integers of the grid 2**-grid.

    Raises:
        ValueError: the facts are none this module understands, or contradict each other.
    """
    match curve:
        case PiecewiseLinear():
            numbers = (curve.breakpoints, curve.slopes, curve.first)
            if len(curve.breakpoints) > _MOST_BREAKPOINTS:
                raise ValueError("a piecewise linear curve has too many pieces")
            (breakpoints, slopes, first), moved = zip(
                *(nearest(n, grid) for n in numbers), strict=True
            )
            return Pieces(grid, breakpoints, slopes, first, inexact=any(moved))
        case Smooth():
            return _knots(curve, grid)


def fan(t: Interval, slopes: Interval, grid: int) -> tuple[Line, Line]:
    """Return lines below and above every s * t with s in `slopes`, over t.

    The upper border m t + (M - m) max(t, 0) is convex, so a line is above it that is above it at
    both ends; below, the same turned upside down.
    """
    above = _chord_above(t, slopes, grid)
    below = _chord_above(t, Interval(-slopes.hi, -slopes.lo), grid)
    return Line(-below.slope, -below.offset), above


def _chord_above(t: Interval, slopes: Interval, grid: int) -> Line:
    ends = [times(np.where(end >= 0, slopes.hi, slopes.lo), end) for end in (t.lo, t.hi)]
    alone = np.where(t.lo >= 0, slopes.hi, slopes.lo)
    crossing = (t.lo < 0) & (t.hi > 0)
    slope = np.where(crossing, _rise(t.lo, t.hi, *ends), alone)
    offset = _largest([end - times(slope, at) for end, at in zip(ends, (t.lo, t.hi), strict=True)])
    return Line(slope, up(offset, grid))
