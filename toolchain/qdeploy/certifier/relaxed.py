"""The largest deviation where every rounding may be anything within its interval.

No method that models roundings as free can prove less than this, so the gap between a bound and
this number is what such methods lose, and the gap between it and the attack is what the model of
rounding loses. It is a number for people: found by ascent in double precision, never a bound, and
no input of the device attains it. What tells codes apart may prove less: exact leaves, and pieces
of the box that are narrower than a code.

Free are the rounding of the input, of every layer's sums, and, before an activation that is looked
up, of the sums to the code that is looked up; the error of the lookup itself lies between the
extremes over the block of codes that `proof.lookup` keeps apart.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qdeploy import ops
from qdeploy.fixedpoint import QFormat, Rounding, encode, rounding_error
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.ir.printing import float_down
from qdeploy.proof.kernel import deviations_at
from qdeploy.proof.lookup import Lookup
from qdeploy.proof.pair import Layer, Pair, align, sharp_grid

Reals = NDArray[np.float64]

_CLIMBERS = 96
"""Points on their way up for every output and sign, at most."""
_TURNS = 300
_PRODUCTS_PER_SECOND = 800_000_000
"""Rows times parameters times turns."""
_SECONDS_PER_LAYER = 1e-4
"""Of a turn, however few rows it has."""
_NUMBERS = 1 << 21
"""Of one array: 16 MiB, of which a dozen stand in memory at once."""
_PER_ARGUMENT = 60
"""Parameters whose products take as long as moving one argument."""
_FEWEST = 2
_FEWEST_TURNS = 20
_DRAWS = 16
"""Points of which one begins to climb."""
_FLIPS = (1.0, 0.3, 0.1, 0.03)
"""Shares of the coordinates that one proposal moves."""
_SHORTFALL = 1e-9
"""What double precision may add to a deviation, in parts of it and of the outputs."""
_EVEN = 0.5
_NARROWEST = 1e-300
_SETTLE = 0.8
"""Share of the proposals that move every rounding at once."""
_NUDGE = 1e-6
"""Half the way over which a slope is measured, for arguments about 1."""
_SCOUTS = 64
"""Points, half of them corners, that say which codes can stand before a lookup."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Deviations that free roundings reach, per output; rounded down, and no bounds."""

    per_output: tuple[float, ...]

    @property
    def linf(self) -> float:
        """The largest of them."""
        return max(self.per_output)


@dataclass(frozen=True, slots=True)
class Effort:
    """What the search may take: predicted seconds of one core, and turns of every climber."""

    seconds: float = 1.25
    turns: int = _TURNS


class _Rounder(NamedTuple):
    """One rounding: its error's ends, the values it can give, and how it is done in truth."""

    low: float
    high: float
    bottom: Reals
    top: Reals
    format: QFormat
    mode: Rounding
    flat: tuple[float, float] = (-np.inf, np.inf)
    """Values up to the first and from the second on come out as `bottom` and `top` for certain."""

    def ends(self, value: Reals) -> tuple[Reals | float, Reals | float]:
        """Return the ends of the error of each value; truncation moves towards zero only."""
        if self.mode is not Rounding.TRUNC:
            return self.low, self.high
        return np.where(value > 0, self.low, 0.0), np.where(value < 0, self.high, 0.0)

    def true_share(self, value: Reals) -> Reals:
        """Return the share with which each value is rounded as the device does it."""
        low, high = self.ends(value)
        error = _encoded(value, self.format, self.mode) - value
        width = np.maximum(np.asarray(high - low), _NARROWEST)
        return np.asarray(np.clip((error - low) / width, 0.0, 1.0))


class _Rounded(NamedTuple):
    """A rounded signal, and its derivatives by what was rounded and by the share."""

    value: Reals
    by_value: Reals
    by_share: Reals

    def rows(self, some: NDArray[np.bool_]) -> "_Rounded":
        """Return some points."""
        return _Rounded(*(array[some] for array in self))


class _Table(NamedTuple):
    """A lookup: the rounding to codes before it, and its error over every block of codes."""

    before: _Rounder
    """Its `bottom` and `top` are the least and the greatest code of sums that were seen."""
    low: Reals
    """[blocks, neurons or 1]."""
    high: Reals
    first: float
    """The lowest code's value."""
    width: float
    """Of a block."""
    lookup: Lookup

    def look(self, z: Reals) -> tuple[_Rounder, Reals, Reals]:
        """Return how sums may be rounded, and the ends of the error of what is looked up then.

        What proofs know of the code is the range of the sums, both ends rounded; so where that is
        narrower than a step, the code is known better than by the error of its rounding.
        """
        code = _encoded(z, self.before.format, self.before.mode)
        bottom, top = np.minimum(self.before.bottom, code), np.maximum(self.before.top, code)
        block = ((code - self.first) // self.width).astype(np.int64)
        column = np.arange(self.low.shape[1]) if self.low.shape[1] > 1 else 0
        low, high = self.low[block, column], self.high[block, column]
        single = bottom == top
        if self.lookup.block and single.any():
            # Of one code proofs know its own error.
            codes = np.rint(code / float(self.before.format.step)).astype(np.int64)
            own = self.lookup.errors_at(codes)
            unit = 2.0**-self.lookup.grid
            low = np.where(single, own.lo.astype(np.float64) * unit, low)
            high = np.where(single, own.hi.astype(np.float64) * unit, high)
        return self.before._replace(bottom=bottom, top=top), low, high


Curve = Callable[[Reals], Reals]


class _Stage(NamedTuple):
    """One layer in double precision."""

    w: Reals
    c: Reals
    v: Reals
    v_bias: Reals
    curve: Curve | None
    rounder: _Rounder
    """Of what the layer emits; behind a lookup, only the ends of its format matter."""
    emitted: tuple[Reals, Reals] | None
    """The least and the greatest value that was seen to be emitted; None: they say nothing."""
    table: _Table | None

    @property
    def shares(self) -> int:
        """How many roundings there are."""
        return len(self.c) * (1 if self.table is None else 2)

    def rounding(self, z: Reals) -> _Rounder:
        """Return how sums may be rounded: like `_Table.look`, for proofs know codes here, too.

        Free roundings lead to sums that no input gives. Where no rounding makes a code of such a
        sum, it keeps what it has.
        """
        if self.emitted is None:
            return self.rounder
        own, code = self.rounder, self.code(z)
        bottom, top = np.minimum(self.emitted[0], code), np.maximum(self.emitted[1], code)
        low, high = own.ends(z)
        least, greatest = (np.clip(z + end, own.bottom, own.top) for end in (low, high))
        free = (least > top) | (greatest < bottom)
        return own._replace(
            bottom=np.where(free, own.bottom, bottom), top=np.where(free, own.top, top)
        )

    def code(self, z: Reals) -> Reals:
        """Return what sums become on the device."""
        own = self.rounder
        return np.clip(_encoded(z, own.format, own.mode), own.bottom, own.top)


class _Passed(NamedTuple):
    """What the way back needs from one layer: the network's sums, and the roundings."""

    y: Reals
    code: _Rounded | None
    """What a table looked up."""
    rounded: _Rounded

    def rows(self, some: NDArray[np.bool_]) -> "_Passed":
        """Return some points."""
        code = None if self.code is None else self.code.rows(some)
        return _Passed(self.y[some], code, self.rounded.rows(some))


@dataclass(frozen=True, slots=True)
class _Model:
    """Both functions with their roundings as arguments, all scaled to shares in [0, 1]."""

    lo: Reals
    hi: Reals
    entry: _Rounder
    stages: tuple[_Stage, ...]

    @property
    def arguments(self) -> int:
        """Inputs, input roundings and the roundings of every layer."""
        return 2 * len(self.lo) + sum(stage.shares for stage in self.stages)


def attack_relaxed(
    network: Network,
    fixed: FixedNetwork,
    box: Box,
    *,
    seed: int,
    start: Sequence[Fraction] | None = None,
    effort: Effort = Effort(),
) -> Relaxed | None:
    """Climb from many random points for every output and sign; equal arguments, equal result.

    `start` is an input of the box from which one climb begins, with all roundings as the device
    does them; what is reached there is never missed. Of many outputs only those are looked at
    that deviate most there. None where the network is too large for the effort.

    Raises:
        MismatchError: network and program do not belong together.
    """
    sizes = _Sizes.of(network, fixed)
    room = sizes.plan(effort)
    if room is None:
        return None
    model = _model(network, align(network, fixed, sharp_grid(fixed)), box, seed)
    reached = _reached(network, fixed, start)
    watched = np.argsort(-np.abs(reached), kind="stable")[: room.outputs]
    goal = np.zeros((2 * len(watched), sizes.outputs))
    goal[np.arange(0, len(goal), 2), watched] = 1.0
    goal[np.arange(1, len(goal), 2), watched] = -1.0
    goals = np.repeat(goal, room.each, axis=0)
    first = None if start is None else _honest(model, np.array([[float(v) for v in start]]))
    heights, magnitude = _climb(model, goals, room.turns, seed, first)
    found = np.abs(reached)
    best = heights.reshape(len(watched), -1).max(axis=1)
    found[watched] = np.maximum(
        found[watched], best * (1 - _SHORTFALL) - _SHORTFALL**1.5 * magnitude
    )
    return Relaxed(tuple(found.tolist()))


def _reached(network: Network, fixed: FixedNetwork, start: Sequence[Fraction] | None) -> Reals:
    """Return how far device and network surely are apart at the start, rounded towards zero."""
    if start is None:
        return np.zeros(network.outputs[0].size)
    (apart,) = deviations_at(network, fixed, [start])
    return np.array([float_down(v) for v in apart])


@dataclass(frozen=True, slots=True)
class _Room:
    """How many outputs are looked at, by how many climbers each and for how many turns."""

    outputs: int
    each: int
    turns: int


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What a turn costs."""

    parameters: int
    layers: int
    arguments: int
    outputs: int

    @staticmethod
    def of(network: Network, fixed: FixedNetwork) -> "_Sizes":
        """Count."""
        neurons = sum(tensor.size for tensor in network.tensors)
        codes = sum(tensor.tensor.size for tensor in fixed.tensors)
        return _Sizes(
            network.parameter_count, len(network.nodes), neurons + codes, network.outputs[0].size
        )

    def plan(self, effort: Effort) -> _Room | None:
        """Return what can be afforded; None: nothing."""
        seconds, turns = effort.seconds, effort.turns
        least = (_FEWEST_TURNS + 2 * _DRAWS) * self.layers * _SECONDS_PER_LAYER
        row = self.parameters + _PER_ARGUMENT * self.arguments
        rows = int((seconds - least) * _PRODUCTS_PER_SECOND / row)
        affordable = rows // (2 * _FEWEST_TURNS)
        outputs = min(self.outputs, affordable // _FEWEST, self._rows_in_memory // (2 * _FEWEST))
        if outputs < 1:
            return None
        each = min(
            max(rows // (2 * outputs * turns), _FEWEST),
            self._rows_in_memory // (2 * outputs),
            _CLIMBERS,
        )
        affordable_turns = rows // (2 * outputs * each)
        patient = int(seconds / (self.layers * _SECONDS_PER_LAYER)) - 2 * _DRAWS
        return _Room(outputs, each, max(_FEWEST_TURNS, min(turns, affordable_turns, patient)))

    @property
    def _rows_in_memory(self) -> int:
        return max(2 * _FEWEST, _NUMBERS // max(self.arguments, self.outputs))


# --- the two functions ---------------------------------------------------------------------------


def _model(network: Network, pair: Pair, box: Box, seed: int) -> _Model:
    """Put the layers together; random points say between which codes their lookups stand."""
    lo, hi = (np.array([float(v) for v in side]) for side in (box.lo, box.hi))
    entry = _entry(pair, lo, hi)
    rng = np.random.default_rng((seed, 1))
    share = rng.random((_SCOUTS, 2, len(lo)))
    share[::2] = np.round(share[::2])
    real = lo + share[:, 0] * (hi - lo)
    device = _round(entry, real, share[:, 1]).value
    stages: list[_Stage] = []
    for layer, curve in zip(pair.layers, _curves(network, pair), strict=True):
        stage = _stage(layer, curve, pair.grid)
        stage = _having_seen(stage, device @ stage.v.T + stage.v_bias, layer)
        stages.append(stage)
        real, device, _ = _pass(stage, real, device, rng.random((_SCOUTS, stage.shares)))
    return _Model(lo, hi, entry, tuple(stages))


def _entry(pair: Pair, lo: Reals, hi: Reals) -> _Rounder:
    bottom, top = (_encoded(side, pair.input, pair.input_rounding) for side in (lo, hi))
    return _rounder(pair.input, pair.input_rounding, None, bottom, top)


def _encoded(values: Reals, fmt: QFormat, mode: Rounding) -> Reals:
    """Return the values that stand for the codes of some numbers."""
    return encode(values, fmt, mode).astype(np.float64) * float(fmt.step)


def _rounder(
    fmt: QFormat, mode: Rounding, layer: Layer | None, bottom: Reals, top: Reals
) -> _Rounder:
    """Return the rounding of what a layer makes (None: of the input) to values in a range."""
    spacing = None if layer is None else layer.spacing
    low, high = rounding_error(fmt.min, fmt.max, fmt, mode, spacing)
    return _Rounder(float(low), float(high), bottom, top, fmt, mode)


def _curves(network: Network, pair: Pair) -> Iterator[Curve | None]:
    """Yield every layer's activation in double precision; a chain has them in order."""
    known = ops.known_ops()
    nodes = (node for node in network.nodes if isinstance(known[node.op], ops.Activation))
    for layer in pair.layers:
        if layer.curve is None:
            yield None
        else:
            node = next(nodes)
            yield partial(known[node.op].evaluate, node)


def _stage(layer: Layer, curve: Curve | None, grid: int) -> _Stage:
    w, c, v, v_bias = (
        raw.astype(np.float64) * 2.0**-grid for raw in (layer.w, layer.c, layer.v, layer.v_bias)
    )
    fmt = layer.output
    codes = (fmt.raw_min, fmt.raw_max) if layer.clamp is None else layer.clamp
    bottom, top = (np.array(code * float(fmt.step)) for code in codes)
    floor, ceiling = (None if end is None else end.place * 2.0**-grid for end in layer.ends)
    flat = (-np.inf if floor is None else floor, np.inf if ceiling is None else ceiling)
    rounder = _rounder(fmt, layer.rounding, layer, bottom, top)._replace(flat=flat)
    table = None if layer.lookup is None else _table(layer.lookup, layer, grid)
    return _Stage(w, c, v, v_bias, curve, rounder, None, table)


def _table(lookup: Lookup, layer: Layer, grid: int) -> _Table:
    fmt = lookup.before
    ends = (np.array(float(v)) for v in (fmt.min, fmt.max))
    low, high = (end[0].astype(np.float64) * 2.0**-grid for end in (lookup.low, lookup.high))
    width = float(fmt.step) * (1 << lookup.block)
    rounder = _rounder(fmt, lookup.rounding, layer, *ends)
    return _Table(rounder, low, high, float(fmt.min), width, lookup)


def _having_seen(stage: _Stage, z: Reals, layer: Layer) -> _Stage:
    """Tell a layer which sums were seen, where proofs know the codes that these become."""
    if stage.table is not None:
        return stage._replace(table=_within(stage.table, z))
    if layer.clamp is None:
        return stage
    codes = stage.code(z)
    return stage._replace(emitted=(codes.min(axis=0), codes.max(axis=0)))


def _within(table: _Table, z: Reals) -> _Table:
    """Tell the table which sums were seen."""
    ends = (z.min(axis=0), z.max(axis=0))
    before = table.before
    bottom, top = (_encoded(end, before.format, before.mode) for end in ends)
    return table._replace(before=table.before._replace(bottom=bottom, top=top))


def _round(rounder: _Rounder, value: Reals, share: Reals) -> _Rounded:
    """Add the share's error to each value and clip what comes out."""
    low, high = rounder.ends(value)
    moved = value + low + share * (high - low)
    bottom, top = rounder.bottom, rounder.top
    floor, ceiling = rounder.flat
    moved = np.where(value <= floor, bottom, np.where(value >= ceiling, top, moved))
    free = ((moved > bottom) & (moved < top)).astype(np.float64)
    return _Rounded(np.clip(moved, bottom, top), free, free * (high - low))


def _look_up(table: _Table, stage: _Stage, z: Reals, share: Reals) -> tuple[_Rounded, _Rounded]:
    """Return the code, and what is emitted with its derivatives by curve and by share."""
    n = len(stage.c)
    before, low, high = table.look(z)
    code = _round(before, z, share[:, :n])
    kept = code.value if stage.curve is None else stage.curve(code.value)
    emitted = kept + low + share[:, n:] * (high - low)
    bottom, top = stage.rounder.bottom, stage.rounder.top
    free = ((emitted > bottom) & (emitted < top)).astype(np.float64)
    return code, _Rounded(np.clip(emitted, bottom, top), free, free * (high - low))


def _pass(stage: _Stage, real: Reals, device: Reals, share: Reals) -> tuple[Reals, Reals, _Passed]:
    """Return what the layer makes of both signals, and what the way back needs."""
    y, z = real @ stage.w.T + stage.c, device @ stage.v.T + stage.v_bias
    if stage.table is None:
        code, rounded = None, _round(stage.rounding(z), z, share)
    else:
        code, rounded = _look_up(stage.table, stage, z, share)
    real = y if stage.curve is None else stage.curve(y)
    return real, rounded.value, _Passed(y, code, rounded)


def _forward(model: _Model, point: Reals) -> tuple[Reals, Reals, list[_Passed]]:
    """Return device - network [rows, outputs], the network's outputs, and what the way back needs.

    `point` [rows, arguments] holds the shares of x, of its rounding, of every layer's roundings.
    """
    n_in = len(model.lo)
    x = model.lo + point[:, :n_in] * (model.hi - model.lo)
    entered = _round(model.entry, x, point[:, n_in : 2 * n_in])
    real, device, at = x, entered.value, 2 * n_in
    passed = [_Passed(x, None, entered)]
    for stage in model.stages:
        share = point[:, at : at + stage.shares]
        at += stage.shares
        real, device, here = _pass(stage, real, device, share)
        passed.append(here)
    return device - real, real, passed


def _backward(model: _Model, goal: Reals, passed: Sequence[_Passed]) -> Reals:
    """Return the derivatives of goal . (device - network) by every argument."""
    on_real, on_device = -goal, goal
    parts = []
    for stage, at in zip(reversed(model.stages), reversed(passed[1:]), strict=True):
        parts.append(on_device * at.rounded.by_share)
        on_real = (on_real * _slope(stage.curve, at.y)) @ stage.w
        on_device = on_device * at.rounded.by_value
        if at.code is not None:
            on_device = on_device * _slope(stage.curve, at.code.value)
            parts.append(on_device * at.code.by_share)
            on_device = on_device * at.code.by_value
        on_device = on_device @ stage.v
    entered = passed[0].rounded
    parts.append(on_device * entered.by_share)
    parts.append((on_real + on_device * entered.by_value) * (model.hi - model.lo))
    return np.concatenate(parts[::-1], axis=1)


def _slope(curve: Curve | None, t: Reals) -> Reals | float:
    """Return the mean slope of the curve close around t."""
    if curve is None:
        return 1.0
    way = _NUDGE * (1 + np.abs(t))
    return np.asarray((curve(t + way) - curve(t - way)) / (2 * way))


# --- the search ----------------------------------------------------------------------------------


def _honest(model: _Model, x: Reals) -> Reals:
    """Return the point [1, arguments] at which everything is rounded as the device does it."""
    width = np.maximum(model.hi - model.lo, _NARROWEST)
    shares = [np.clip((x - model.lo) / width, 0.0, 1.0), model.entry.true_share(x)]
    device = _round(model.entry, x, shares[-1]).value
    for stage in model.stages:
        z = device @ stage.v.T + stage.v_bias
        before = stage.rounder if stage.table is None else stage.table.before
        share = [before.true_share(z)]
        if stage.table is not None:
            share.append(np.full(z.shape, _EVEN))
        shares.append(np.concatenate(share, axis=1))
        _, device, _ = _pass(stage, np.zeros((1, stage.w.shape[1])), device, shares[-1])
    return np.concatenate(shares, axis=1)


def _climb(
    model: _Model, goal: Reals, turns: int, seed: int, first: Reals | None
) -> tuple[Reals, float]:
    """Return how high each row got, and the largest output seen; a row a goal begins at `first`."""
    rng = np.random.default_rng(seed)
    point = _start(model, goal, rng)
    if first is not None:
        begins = np.concatenate([[True], (goal[1:] != goal[:-1]).any(axis=1)])
        point[begins] = first
    height = np.full(len(goal), -np.inf)
    slope, magnitude = np.zeros_like(point), 0.0
    proposal = point
    for turn in range(turns):
        gap, real, passed = _forward(model, proposal)
        reached = (gap * goal).sum(axis=1)
        magnitude = max(magnitude, float(abs(real).max()))
        better = reached > height
        height = np.where(better, reached, height)
        point[better] = proposal[better]
        slope[better] = _backward(model, goal[better], [at.rows(better) for at in passed])
        proposal = _proposal(len(model.lo), point, slope, 1 - turn / turns, rng)
    return height, magnitude


def _start(model: _Model, goal: Reals, rng: np.random.Generator) -> Reals:
    """Draw points for every row, turn their roundings to where slopes point, keep the highest.

    Half of the drawn points are corners.
    """
    n_in = len(model.lo)
    best, height = np.zeros((len(goal), model.arguments)), np.full(len(goal), -np.inf)
    for _ in range(_DRAWS):
        point = rng.random(best.shape)
        corners = rng.random(point.shape) < _EVEN
        point = np.where(rng.random((len(goal), 1)) < _EVEN, corners, point)
        _, _, passed = _forward(model, point)
        slope = _backward(model, goal, passed)
        point[:, n_in:] = np.where(slope != 0, slope > 0, point)[:, n_in:]
        gap, _, _ = _forward(model, point)
        reached = (gap * goal).sum(axis=1)
        better = reached > height
        best[better], height[better] = point[better], reached[better]
    return best


def _proposal(
    n_in: int, point: Reals, slope: Reals, reach: float, rng: np.random.Generator
) -> Reals:
    """Move some inputs up the slope, to the end or a part of the way, and all the roundings.

    Roundings go to the end that the slope names: the deviation is piecewise linear in them.
    """
    rows, arguments = point.shape
    some = rng.random((rows, arguments)) < rng.choice(_FLIPS, size=(rows, 1))
    some[np.arange(rows), rng.integers(n_in, size=rows)] = True
    stride = np.where(rng.random((rows, 1)) < _EVEN, 1.0, reach * rng.random((rows, 1)) ** 3)
    ends = (slope > 0).astype(np.float64)
    moved = np.clip(point + np.sign(slope) * stride, 0.0, 1.0)
    moved = np.where(some, moved, point)
    lost = rng.random((rows, arguments)) < _EVEN / arguments
    moved = np.where(lost, rng.random((rows, arguments)), moved)
    settle = rng.random((rows, 1)) < _SETTLE
    moved[:, n_in:] = np.where((slope != 0) & settle, ends, moved)[:, n_in:]
    return moved
