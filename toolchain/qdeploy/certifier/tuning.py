"""The search for slopes: descent on the bounds of all rows of a task at once, in doubles.

The bound is convex in p and q, and its subgradient needs one sweep back through the layers and
one forward: the points where the neurons' maxima are attained go forward, and where they miss
what the layer before would give them, the slopes have to move. Nothing here is trusted:
`proof.tuned` bounds the rows again with the slopes that were found.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qdeploy.proof.dyadic import Interval, Raw
from qdeploy.proof.linear import Plane, relax
from qdeploy.proof.tuned import SLOPE_BITS, STEEPEST, Choose, Slopes, Task

Reals = NDArray[np.float64]

_PACE = 0.1
"""First step of a slope, of about 1."""
_LAST_PACE = 0.01
_MEMORY = (0.9, 0.999)
_TINY = 1e-300


class _Stage(NamedTuple):
    """A layer as doubles, in units of 1; see `Corners`."""

    w: Reals
    moved: Reals
    v: Reals
    c: Reals
    bias: Reals
    r: tuple[Reals, Reals]
    before: tuple[Reals, Reals] | None
    curve: "_Curve | None"


class _Curve(NamedTuple):
    y: Reals
    d: Reals
    a: Reals
    delta: Reals
    slope: Reals
    share: Reals
    open: NDArray[np.int64]
    start: tuple[Plane, ...]
    """Planes below and above a, below and above e."""


class _Passed(NamedTuple):
    """What the way forward needs of one layer's way back."""

    on_a: Reals
    on_e: Reals
    size: Reals
    best: NDArray[np.int64]
    r: Reals


@dataclass(frozen=True, slots=True)
class _Problem:
    stages: tuple[_Stage, ...]
    entry_a: tuple[Reals, Reals]
    entry_e: tuple[Reals, Reals]
    on_a: Reals
    on_e: Reals


def searching(turns: int, most: int, record: list[list[int]]) -> Choose:
    """Return what finds slopes for every task in so many turns, and writes them down.

    Tasks of more than `most` slopes are left alone.
    """

    def choose(task: Task) -> Slopes | None:
        if not task.choices or 2 * task.choices * len(task.rows.offset) > most:
            record.append([])
            return None
        slopes = _descend(_problem(task), turns)
        record.append(slopes.ravel().tolist())
        return slopes

    return choose


def _problem(task: Task) -> _Problem:
    scale = 2.0**-task.pair.grid
    stages = []
    for layer, ranges, at in zip(task.pair.layers, task.before.layers, task.corners, strict=False):
        curve = None
        if at is not None:
            planes = relax(task.pair.grid, layer, ranges)
            sides = (planes.a_low, planes.a_high, planes.e_low, planes.e_high)
            start = tuple(_plane(side, scale) for side in sides)
            y, d, a, kept = (_real(array, scale) for array in (at.y, at.d, at.a, at.kept))
            slope, share = (_real(array, scale) for array in (at.slope, at.share))
            curve = _Curve(y, d, a, kept - a, slope, share, at.open, start)
        stages.append(
            _Stage(
                _real(layer.w, scale),
                _real(layer.v - layer.w, scale),
                _real(layer.v, scale),
                _real(layer.c, scale),
                _real(layer.v_bias - layer.c, scale),
                _ends(ranges.r, scale),
                None if layer.lookup is None else _ends(ranges.before, scale),
                curve,
            )
        )
    entry = task.before.input
    on = (_real(side, scale) for side in (task.rows.on_a, task.rows.on_e))
    return _Problem(tuple(stages), _ends(entry.a, scale), _ends(entry.e, scale), *on)


def _plane(plane: Plane, scale: float) -> Plane:
    return Plane(*(_real(array, scale)[0] for array in (plane.y, plane.d, plane.offset)))


def _real(array: Raw, scale: float) -> Reals:
    return array.astype(np.float64) * scale


def _ends(box: Interval, scale: float) -> tuple[Reals, Reals]:
    return _real(box.lo[0], scale), _real(box.hi[0], scale)


def _descend(problem: _Problem, turns: int) -> Slopes:
    """Return the best slopes of each row, from those of the standard lines on."""
    slopes = _first(problem)
    best, lowest = slopes.copy(), np.full(len(slopes), np.inf)
    mean, square = np.zeros_like(slopes), np.zeros_like(slopes)
    for turn in range(turns + 1):
        height, gradient = _slope_of(problem, slopes)
        better = height < lowest
        best[better], lowest[better] = slopes[better], height[better]
        # Rows differ by orders of magnitude, and so do neurons: Adam looks at signs, mostly.
        mean = _MEMORY[0] * mean + (1 - _MEMORY[0]) * gradient
        square = _MEMORY[1] * square + (1 - _MEMORY[1]) * gradient**2
        corrected = mean / (1 - _MEMORY[0] ** (turn + 1))
        spread = np.sqrt(square / (1 - _MEMORY[1] ** (turn + 1)))
        pace = _PACE * (_LAST_PACE / _PACE) ** (turn / max(turns, 1))
        slopes = slopes - pace * corrected / np.maximum(spread, _TINY)
    rounded = np.rint(np.clip(best * 2.0**SLOPE_BITS, -STEEPEST, STEEPEST))
    return np.asarray(rounded, dtype=np.int64)


def _signed(row: Reals, low: Reals, high: Reals) -> Reals:
    return np.asarray(np.where(row >= 0, high, low))


def _first(problem: _Problem) -> Reals:
    """Return the slopes of the standard lines, layer by layer the later ones first substituted."""
    on_a, on_e = problem.on_a, problem.on_e
    found: list[Reals] = []
    for stage in problem.stages[::-1]:
        p, q = on_a, on_e
        if stage.curve is not None:
            curve, at = stage.curve, stage.curve.open
            a_low, a_high, e_low, e_high = curve.start
            p = on_a * _signed(on_a, a_low.y, a_high.y) + on_e * _signed(on_e, e_low.y, e_high.y)
            q = on_e * _signed(on_e, e_low.d, e_high.d)
            size = np.maximum(abs(on_a) + curve.share * abs(on_e), _TINY)
            steep = _signed(on_e, e_low.d, e_high.d)
            found.insert(0, np.stack([(p / size)[:, at], steep[:, at]], axis=2))
        on_a, on_e = p @ stage.w + q @ stage.moved, q @ stage.v
    return np.concatenate(found, axis=1)


def _slope_of(problem: _Problem, slopes: Reals) -> tuple[Reals, Reals]:
    """Return every row's bound, and its subgradient by the slopes."""
    height = np.zeros(len(slopes))
    on_a, on_e = problem.on_a, problem.on_e
    passed: list[_Passed] = []
    left = slopes.shape[1]
    for stage in problem.stages[::-1]:
        r = _signed(on_e, *stage.r)
        height += (on_e * r).sum(axis=1)
        p, q, size, best = on_a, on_e, on_a, np.zeros((0, 0), dtype=np.int64)
        if stage.curve is not None:
            first = left - len(stage.curve.open)
            size = abs(on_a) + stage.curve.share * abs(on_e)
            p, q, highest, best = _highest(stage.curve, (on_a, on_e), size, slopes[:, first:left])
            height, left = height + highest, first
        passed.append(_Passed(on_a, on_e, size, best, r))
        height += p @ stage.c + q @ stage.bias
        if stage.before is not None:
            height += (q * _signed(q, *stage.before)).sum(axis=1)
        on_a, on_e = p @ stage.w + q @ stage.moved, q @ stage.v
    a, e = _signed(on_a, *problem.entry_a), _signed(on_e, *problem.entry_e)
    height += (on_a * a).sum(axis=1) + (on_e * e).sum(axis=1)
    return height, _forward(problem, slopes, passed[::-1], (a, e))


def _highest(
    curve: _Curve, row: tuple[Reals, Reals], size: Reals, slopes: Reals
) -> tuple[Reals, Reals, Reals, NDArray[np.int64]]:
    """Return p, q, the sum of all neurons' maxima, and at which corner each is."""
    on_a, on_e = row
    p, q = on_a * curve.slope, on_e * curve.slope
    p[:, curve.open] = slopes[:, :, 0] * size[:, curve.open]
    q[:, curve.open] = slopes[:, :, 1] * on_e[:, curve.open]
    total = (on_a * curve.a[0] + on_e * curve.delta[0] - p * curve.y[0] - q * curve.d[0]).sum(
        axis=1
    )
    on = tuple(np.ascontiguousarray(side[:, curve.open]) for side in (on_a, on_e, p, q))
    first = highest = _at_corner(curve, 0, on)
    best = np.zeros(first.shape, dtype=np.int64)
    for corner in range(1, len(curve.y)):
        here = _at_corner(curve, corner, on)
        best[here > highest] = corner
        highest = np.maximum(highest, here)
    everywhere = np.zeros(on_a.shape, dtype=np.int64)
    everywhere[:, curve.open] = best
    return p, q, total + (highest - first).sum(axis=1), everywhere


def _at_corner(curve: _Curve, corner: int, on: tuple[Reals, ...]) -> Reals:
    """Return alpha a + beta delta - p y - q d of the open neurons."""
    values = (curve.a, curve.delta, -curve.y, -curve.d)
    return sum((a * b[corner, curve.open] for a, b in zip(on, values, strict=True)), np.zeros(()))


def _forward(
    problem: _Problem, slopes: Reals, passed: list[_Passed], entering: tuple[Reals, Reals]
) -> Reals:
    """Return the subgradient: what reaches each neuron, less where its maximum is attained."""
    gradient = np.zeros_like(slopes)
    a, e = entering
    first = 0
    for stage, at in zip(problem.stages, passed, strict=True):
        y = a @ stage.w.T + stage.c
        d = a @ stage.moved.T + e @ stage.v.T + stage.bias
        if stage.curve is None:
            a, e = y, d + at.r
            continue
        curve, opened = stage.curve, stage.curve.open
        rows = np.arange(len(curve.slope))
        y, d = y - curve.y[at.best, rows], d - curve.d[at.best, rows]
        by_p, by_q = y[:, opened], d[:, opened]
        last = first + len(opened)
        s, u = slopes[:, first:last, 0], slopes[:, first:last, 1]
        gradient[:, first:last, 0] = by_p * at.size[:, opened]
        gradient[:, first:last, 1] = by_q * at.on_e[:, opened]
        a, e = curve.a[at.best, rows], curve.delta[at.best, rows] + at.r
        through_a, through_e = y * curve.slope, d * curve.slope
        through_a[:, opened] = by_p * s * np.sign(at.on_a[:, opened])
        through_e[:, opened] = by_q * u
        through_e[:, opened] += by_p * s * (np.sign(at.on_e) * curve.share)[:, opened]
        a, e, first = a + through_a, e + through_e, last
    return gradient
