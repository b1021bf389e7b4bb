"""The largest deviation where every rounding may be anything within its interval.

No method that models roundings as free can prove less than this, so the gap between a bound and
this number is what such methods lose, and the gap between it and the attack is what the model of
rounding loses. It is a number for people: found by ascent in double precision, never a bound, and
no input of the device attains it. Methods that run codes one by one (exact leaves) may prove less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Rounding, encode, rounding_error
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.proof.curves import Pieces
from qdeploy.proof.pair import Layer, Pair, align

Reals = NDArray[np.float64]

_CLIMBERS = 24
"""Points on their way up for every output and sign."""
_TURNS = 120
_WORK = 3_000_000_000
"""Rows times parameters times turns, about: several seconds."""
_FEWEST = 2
_FEWEST_TURNS = 20
_FLIPS = (1.0, 0.3, 0.1, 0.03)
"""Shares of the coordinates that one proposal moves."""
_SHORTFALL = 1e-9
"""What double precision may add to a deviation, in parts of it and of the outputs."""
_EVEN = 0.5
_SETTLE = 0.8
"""Share of the proposals that move every rounding at once."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Deviations that free roundings reach, per output; rounded down, and no bounds."""

    per_output: tuple[float, ...]

    @property
    def linf(self) -> float:
        """The largest of them."""
        return max(self.per_output)


class _Rounder(NamedTuple):
    """One rounding: its error's ends, the values it can give, and whether it is truncation."""

    low: float
    high: float
    bottom: Reals
    top: Reals
    truncates: bool

    def ends(self, value: Reals) -> tuple[Reals | float, Reals | float]:
        """Return the ends of the error of each value; truncation moves towards zero only."""
        if not self.truncates:
            return self.low, self.high
        return np.where(value > 0, self.low, 0.0), np.where(value < 0, self.high, 0.0)


class _Stage(NamedTuple):
    """One layer in double precision."""

    w: Reals
    c: Reals
    v: Reals
    v_bias: Reals
    relu: bool
    rounder: _Rounder


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
        return 2 * len(self.lo) + sum(len(stage.c) for stage in self.stages)


class _Rounded(NamedTuple):
    """A rounded signal, and its derivatives by what was rounded and by the share."""

    value: Reals
    by_value: Reals
    by_share: Reals


class _Passed(NamedTuple):
    """What the way back needs from one layer: where f is awake, and the rounding's derivatives."""

    awake: Reals
    rounded: _Rounded


def attack_relaxed(
    network: Network, fixed: FixedNetwork, box: Box, *, seed: int, turns: int = _TURNS
) -> Relaxed | None:
    """Climb from many random points for every output and sign; equal arguments, equal result.

    None where the network is so large that this would take minutes, or has other activations
    than ReLU.

    Raises:
        MismatchError: network and program do not belong together.
    """
    pair = align(network, fixed)
    if not all(layer.curve is None or _is_relu(layer) for layer in pair.layers):
        return None
    model = _model(pair, box)
    outputs = len(model.stages[-1].c)
    size = sum(stage.w.size for stage in model.stages)
    affordable = _WORK // (2 * outputs * size)
    if affordable < _FEWEST * _FEWEST_TURNS:
        return None
    each = int(np.clip(affordable // turns, _FEWEST, _CLIMBERS))
    turns = min(turns, affordable // each)
    goal = np.zeros((2 * outputs, outputs))
    goal[::2], goal[1::2] = np.eye(outputs), -np.eye(outputs)
    heights, magnitude = _climb(model, np.repeat(goal, each, axis=0), turns, seed)
    best = heights.reshape(outputs, -1).max(axis=1)
    found = best * (1 - _SHORTFALL) - _SHORTFALL**1.5 * magnitude
    return Relaxed(tuple(np.maximum(found, 0.0).tolist()))


def _is_relu(layer: Layer) -> bool:
    match layer.curve:
        case Pieces(grid=grid, breakpoints=at, slopes=slopes, first=first):
            unit = [[0], [1 << grid]]
            return not (layer.lookup or at.any() or first.any()) and slopes.tolist() == unit
        case _:
            return False


def _model(pair: Pair, box: Box) -> _Model:
    lo, hi = (np.array([float(v) for v in side]) for side in (box.lo, box.hi))
    ends = (encode(side, pair.input, pair.input_rounding) for side in (lo, hi))
    bottom, top = (codes.astype(np.float64) * float(pair.input.step) for codes in ends)
    errors = rounding_error(pair.input.min, pair.input.max, pair.input, pair.input_rounding, None)
    truncates = pair.input_rounding is Rounding.TRUNC
    entry = _Rounder(float(errors[0]), float(errors[1]), bottom, top, truncates)
    return _Model(lo, hi, entry, tuple(_stage(layer, pair.grid) for layer in pair.layers))


def _stage(layer: Layer, grid: int) -> _Stage:
    w, c, v, v_bias = (
        raw.astype(np.float64) * 2.0**-grid for raw in (layer.w, layer.c, layer.v, layer.v_bias)
    )
    fmt = layer.output
    low, high = rounding_error(fmt.min, fmt.max, fmt, layer.rounding, layer.spacing)
    relu = layer.curve is not None
    bottom = np.array(0.0 if relu else float(fmt.min))
    truncates = layer.rounding is Rounding.TRUNC
    rounder = _Rounder(float(low), float(high), bottom, np.array(float(fmt.max)), truncates)
    return _Stage(w, c, v, v_bias, relu, rounder)


def _round(rounder: _Rounder, value: Reals, share: Reals) -> _Rounded:
    """Add the share's error to each value and clip what comes out."""
    low, high = rounder.ends(value)
    moved = value + low + share * (high - low)
    free = ((moved > rounder.bottom) & (moved < rounder.top)).astype(np.float64)
    return _Rounded(np.clip(moved, rounder.bottom, rounder.top), free, free * (high - low))


def _forward(model: _Model, point: Reals) -> tuple[Reals, Reals, list[_Passed]]:
    """Return device - network [rows, outputs], the network's outputs, and what the way back needs.

    `point` [rows, arguments] holds the shares of x, of its rounding, of every layer's roundings.
    """
    n_in = len(model.lo)
    x = model.lo + point[:, :n_in] * (model.hi - model.lo)
    entered = _round(model.entry, x, point[:, n_in : 2 * n_in])
    real, device, at = x, entered.value, 2 * n_in
    passed = [_Passed(np.ones_like(x), entered)]
    for stage in model.stages:
        share = point[:, at : at + len(stage.c)]
        at += len(stage.c)
        y, z = real @ stage.w.T + stage.c, device @ stage.v.T + stage.v_bias
        rounded = _round(stage.rounder, z, share)
        awake = np.ones_like(y)
        if stage.relu:
            awake, running = (y > 0).astype(np.float64), (z > 0).astype(np.float64)
            rounded = _Rounded(*(part * running for part in rounded))
        real, device = y * awake, rounded.value
        passed.append(_Passed(awake, rounded))
    return device - real, real, passed


def _backward(model: _Model, goal: Reals, passed: Sequence[_Passed]) -> Reals:
    """Return the derivatives of goal . (device - network) by every argument."""
    on_real, on_device = -goal, goal
    parts = []
    for stage, at in zip(reversed(model.stages), reversed(passed[1:]), strict=True):
        parts.append(on_device * at.rounded.by_share)
        on_real = (on_real * at.awake) @ stage.w
        on_device = (on_device * at.rounded.by_value) @ stage.v
    entered = passed[0].rounded
    parts.append(on_device * entered.by_share)
    parts.append((on_real + on_device * entered.by_value) * (model.hi - model.lo))
    return np.concatenate(parts[::-1], axis=1)


def _climb(model: _Model, goal: Reals, turns: int, seed: int) -> tuple[Reals, float]:
    """Return how high each row got, and the largest output seen."""
    rng = np.random.default_rng(seed)
    point = rng.random((len(goal), model.arguments))
    corners = rng.random(point.shape) < _EVEN
    point = np.where(rng.random((len(goal), 1)) < _EVEN, corners, point)
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
        slope[better] = _backward(model, goal, passed)[better]
        proposal = _proposal(len(model.lo), point, slope, 1 - turn / turns, rng)
    return height, magnitude


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
