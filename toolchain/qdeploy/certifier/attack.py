"""The largest deviation a search finds: attained by a stated input, hence below every true bound.

The search runs in double precision; what it returns was evaluated again without rounding. It
works on *cells*: a code of the input is one integer for the device but an interval of reals for
the trained network, so the worst input of a cell mostly lies at an end of it, and which end follows
from the slope of the network. Codes are searched by hill climbing, ends are taken by slope.

Memory is limited whatever the network's size: few rows at a time where they are long, climbers for
the outputs that deviate most where there are many, and slopes along some inputs where all would be
too many.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Rounding, encode
from qdeploy.ir import Box, FixedNetwork, Network, exact
from qdeploy.ops import apart, evaluate, execute

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]

_ROUNDS = 16
_ROWS = 4096
_CLIMBERS = 32
_SLOPES_EVERY = 3
_EVEN = 0.5
_HUGE = 1e300
_EXACT_WORK = 3_000_000
"""Parameters times inputs that are evaluated without rounding: about a second."""
_PER_NEURON = 30
"""Parameters that take as long as a neuron's own numbers."""
_NUMBERS = 1 << 21
"""Of one array: 16 MiB, of which a dozen stand in memory at once."""
_FEWEST_ROWS = 16


@dataclass(frozen=True, slots=True)
class Sampled:
    """Deviations |network - device| that real inputs of a box attain; none of them is a bound."""

    per_output: tuple[Fraction, ...]
    linf: Fraction
    x: tuple[Fraction, ...]
    """An input, inside the box, that attains `linf`."""
    evaluations: int


@dataclass(frozen=True, slots=True)
class _Target:
    """The two functions to be told apart, and where."""

    network: Network
    fixed: FixedNetwork
    lo: Reals
    hi: Reals

    def deviations(self, x: Reals) -> Reals:
        """Return network - device, signed, for rows x [n, n_in] -> [n, n_out]."""
        return self.truth(x) - self.answers(x)

    def truth(self, x: Reals) -> Reals:
        """Return what the network computes; finite even where double precision overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(np.nan_to_num(evaluate(self.network, x)), -_HUGE, _HUGE)

    def answers(self, x: Reals) -> Reals:
        """Return what the device's codes stand for; exact in double precision."""
        answers = execute(self.fixed, self.codes(x)).astype(np.float64)
        return answers * float(self.fixed.output.format.step)

    def codes(self, x: Reals) -> Codes:
        """Return what the device is sent for rows x."""
        return encode(x, self.fixed.input.format, self.fixed.input.rounding)

    def cells(self, codes: Codes) -> tuple[Reals, Reals]:
        """Return the least and greatest real of the box that each code stands for.

        pre: the codes lie between those of the box's corners.
        """
        fmt = self.fixed.input.format
        low, high = _cell_ends(codes, float(fmt.step), self.fixed.input.rounding)
        low = np.where(codes <= fmt.raw_min, -np.inf, low)
        high = np.where(codes >= fmt.raw_max, np.inf, high)
        return np.clip(low, self.lo, self.hi), np.clip(high, self.lo, self.hi)


def _cell_ends(codes: Codes, step: float, mode: Rounding) -> tuple[Reals, Reals]:
    """Return the ends of the reals that are rounded to each code, saturation aside."""
    at = codes.astype(np.float64)
    if mode is Rounding.NEAREST:
        return (at - 0.5) * step, _just_off((at + 0.5) * step, -step)
    if mode is Rounding.FLOOR:
        return at * step, _just_off((at + 1.0) * step, -step)
    low = np.where(codes > 0, at * step, _just_off((at - 1.0) * step, step))
    return low, np.where(codes < 0, at * step, _just_off((at + 1.0) * step, -step))


def _just_off(ends: Reals, step: float) -> Reals:
    """Return doubles on the step's side of open ends, by 2**-40 of a step or the next double."""
    moved = ends + step * 2.0**-40
    return np.where(moved == ends, np.nextafter(ends, math.copysign(math.inf, step)), moved)


@dataclass(frozen=True, slots=True)
class _Found:
    """For every watched output the input [k, n_in] that moves it most so far, and how far."""

    watched: Codes
    x: Reals
    height: Reals

    def with_rows(self, x: Reals, deviations: Reals) -> "_Found":
        """Return the better of what was known and new rows, output by output."""
        heights = np.abs(deviations[:, self.watched])
        row = heights.argmax(axis=0)
        height = heights[row, np.arange(len(row))]
        better = height > self.height
        return _Found(
            self.watched,
            np.where(better[:, None], x[row], self.x),
            np.where(better, height, self.height),
        )


@dataclass(frozen=True, slots=True)
class _Climbers:
    """Points [k, n_in] on their way up, each for one output.

    `micro` and `macro` hold, by sign and coordinate, where a climber's deviation grows: within
    its cell, where only the network moves, and across the box. Zero: unknown.
    """

    x: Reals
    height: Reals
    output: Codes
    micro: Reals
    macro: Reals


def attack(network: Network, fixed: FixedNetwork, box: Box, *, budget: int, seed: int) -> Sampled:
    """Search `box` for the inputs on which device and network differ most, output by output.

    About `budget` inputs are tried; equal arguments give equal results on one machine.
    """
    rng = np.random.default_rng(seed)
    lo, hi = (np.array([float(v) for v in side]) for side in (box.lo, box.hi))
    target = _Target(network, fixed, lo, hi)
    rows = _rows_at_once(network, budget)
    x = _first_guesses(target, rows, budget // 2, rng)
    deviations = target.deviations(x)
    spent, turn = len(x), 0
    found = _nothing(x, deviations).with_rows(x, deviations)
    climbers = _start(x, deviations[:, found.watched], rows, found.watched)
    while spent < budget:
        if turn % _SLOPES_EVERY == 0:
            climbers, cost = _with_slopes(target, climbers, rows, rng)
            spent += cost
        x = _proposals(target, climbers, rows, rng)
        deviations = target.deviations(x)
        found = found.with_rows(x, deviations)
        climbers = _climb(climbers, x, deviations)
        spent, turn = spent + len(x), turn + 1
    return _confirm(target, found, spent)


def _rows_at_once(network: Network, budget: int) -> int:
    """Return how many inputs a round tries: as many as memory and budget hold."""
    widest = max(tensor.size for tensor in network.tensors)
    room = max(_FEWEST_ROWS, _NUMBERS // widest)
    return int(np.clip(budget // _ROUNDS, _FEWEST_ROWS, min(_ROWS, room)))


def _nothing(x: Reals, deviations: Reals) -> _Found:
    """Watch all outputs, or those that deviate most so far where inputs for all fill memory."""
    n_out = deviations.shape[1]
    count = min(n_out, max(1, _NUMBERS // x.shape[1]))
    highest = np.argsort(-np.abs(deviations).max(axis=0), kind="stable")[:count]
    watched = np.sort(highest)
    return _Found(watched, np.tile(x[0], (count, 1)), np.zeros(count))


def _first_guesses(target: _Target, rows: int, limit: int, rng: np.random.Generator) -> Reals:
    """Return corners, random points, ends of random cells; every cell's ends where they are few."""
    size = (rows, len(target.lo))
    corners = np.where(rng.random(size) < _EVEN, target.lo, target.hi)
    anywhere = _anywhere(target.lo, target.hi, size, rng)
    low, high = target.cells(target.codes(_anywhere(target.lo, target.hi, size, rng)))
    ends = np.where(rng.random(size) < _EVEN, low, high)
    return np.concatenate(
        [corners[: rows // 4], anywhere[: rows // 4], ends, *_every_cell(target, limit)]
    )


def _every_cell(target: _Target, limit: int) -> list[Reals]:
    """Return the corners of all cells of the box, unless they are more than `limit`."""
    least, most = target.codes(target.lo).tolist(), target.codes(target.hi).tolist()
    if math.prod(2 * (b - a + 1) for a, b in zip(least, most, strict=True)) > limit:
        return []
    spans = [range(a, b + 1) for a, b in zip(least, most, strict=True)]
    low, high = target.cells(np.array(list(itertools.product(*spans)), dtype=np.int64))
    sides = itertools.product((False, True), repeat=len(least))
    return [np.where(np.array(side), low, high) for side in sides]


def _start(x: Reals, deviations: Reals, rows: int, watched: Codes) -> _Climbers:
    """Return climbers at the best points of as many disjoint samples, for every watched output.

    Of many outputs, those get a climber that deviate most.
    """
    count = deviations.shape[1]
    each = int(np.clip(_CLIMBERS // count, 1, max(1, rows // (8 * count))))
    starts, heights = [], []
    for sample in range(each):
        part = np.abs(deviations[sample::each])
        best = part.argmax(axis=0)
        starts.append(x[sample::each][best])
        heights.append(part[best, np.arange(count)])
    height = np.concatenate(heights)
    most = max(1, rows // len(_MOVES))
    chosen = np.sort(np.argsort(-height, kind="stable")[:most])
    points = np.concatenate(starts)[chosen]
    unknown = np.zeros_like(points)
    return _Climbers(points, height[chosen], np.tile(watched, each)[chosen], unknown, unknown)


def _with_slopes(
    target: _Target, climbers: _Climbers, rows: int, rng: np.random.Generator
) -> tuple[_Climbers, int]:
    """Return the climbers with fresh slopes, and how many inputs that took.

    With many inputs or outputs only the highest climbers are worth it, and of very many inputs
    only some, others in every turn.
    """
    n_in = climbers.x.shape[1]
    count = min(len(climbers.x), max(1, rows // (2 * n_in)))
    chosen = np.argsort(-climbers.height, kind="stable")[:count]
    inputs = np.arange(n_in)
    if n_in > rows:
        inputs = np.sort(rng.permutation(n_in)[:rows])
    x, output = climbers.x[chosen], climbers.output[chosen]
    sign = np.sign(_own(target.deviations(x), output))
    low, high = target.cells(target.codes(x))
    within = _differences(target.truth, (low / 2 + high / 2, high), inputs, output)
    downward = (x > target.lo / 2 + target.hi / 2)[:, inputs]
    far = np.where(x > target.lo / 2 + target.hi / 2, target.lo, target.hi)
    across = _differences(target.deviations, (x, x / 2 + far / 2), inputs, output)
    across = np.where(downward, -across, across)
    micro, macro = climbers.micro.copy(), climbers.macro.copy()
    if len(inputs) == n_in:
        micro[:], macro[:] = 0.0, 0.0
    place = np.ix_(chosen, inputs)
    micro[place], macro[place] = within * sign[:, None], across * sign[:, None]
    return replace(climbers, micro=micro, macro=macro), 2 * count * (len(inputs) + 1)


def _own(values: Reals, output: Codes) -> Reals:
    """Return from each row [k, n_out] the entry of its climber's output."""
    return np.asarray(values[np.arange(len(output)), output])


def _differences(
    function: Callable[[Reals], Reals],
    ends: tuple[Reals, Reals],
    inputs: Codes,
    output: Codes,
) -> Reals:
    """Return [k, inputs]: what moving one coordinate between both ends adds to a row's output."""
    x, moved = ends
    count, many = len(x), len(inputs)
    steps = np.repeat(x, many, axis=0)
    steps[np.arange(len(steps)), np.tile(inputs, count)] = moved[:, inputs].ravel()
    after = _own(function(steps), np.repeat(output, many)).reshape(count, many)
    return np.asarray(after - _own(function(x), output)[:, None])


def _proposals(target: _Target, climbers: _Climbers, rows: int, rng: np.random.Generator) -> Reals:
    """Return neighbours of every climber, climber after climber, equally many of each."""
    each = max(1, rows // len(climbers.x))
    x, micro, macro = (
        np.repeat(a, each, axis=0) for a in (climbers.x, climbers.micro, climbers.macro)
    )
    move = np.tile(np.arange(each) % len(_MOVES), len(climbers.x))
    for index, propose in enumerate(_MOVES):
        chosen = move == index
        x[chosen] = propose(target, _Batch(x[chosen], micro[chosen], macro[chosen]), rng)
    return x


@dataclass(frozen=True, slots=True)
class _Batch:
    """Copies of climbers that are about to be moved."""

    x: Reals
    micro: Reals
    macro: Reals


def _to_corner_of_cell(target: _Target, batch: _Batch, rng: np.random.Generator) -> Reals:
    """Some codes jump; then every coordinate goes to the end of its cell that the slope names."""
    codes = target.codes(batch.x)
    changed = _some_coordinates(batch.x.shape, rng)
    low, high = target.cells(np.where(changed, _jump(target, codes, rng), codes))
    return _by_sign(batch.micro, low, high, rng)


def _nudge_codes(target: _Target, batch: _Batch, rng: np.random.Generator) -> Reals:
    """As `_to_corner_of_cell`, but a few codes move by one: each other rounding is a new draw."""
    codes = target.codes(batch.x)
    least, most = target.codes(target.lo), target.codes(target.hi)
    step = rng.integers(0, 2, size=codes.shape) * 2 - 1
    step[~_some_coordinates(codes.shape, rng)] = 0
    low, high = target.cells(np.clip(codes + step, least, most))
    return _by_sign(batch.micro, low, high, rng)


def _within_cells(target: _Target, batch: _Batch, rng: np.random.Generator) -> Reals:
    """Some codes jump, to anywhere in the cell: the worst input may lie on a kink inside."""
    codes = target.codes(batch.x)
    changed = _some_coordinates(batch.x.shape, rng)
    low, high = target.cells(
        np.where(rng.random(codes.shape) < _EVEN, _jump(target, codes, rng), codes)
    )
    return np.where(changed, _anywhere(low, high, low.shape, rng), batch.x)


def _across(target: _Target, batch: _Batch, rng: np.random.Generator) -> Reals:
    """Some coordinates go to the side of the box that the slope names."""
    changed = _some_coordinates(batch.x.shape, rng)
    return np.where(changed, _by_sign(batch.macro, target.lo, target.hi, rng), batch.x)


_MOVES = (
    _to_corner_of_cell,
    _nudge_codes,
    _nudge_codes,
    _across,
    _to_corner_of_cell,
    _within_cells,
)


def _by_sign(slope: Reals, low: Reals, high: Reals, rng: np.random.Generator) -> Reals:
    """Return the upper or the lower end by the slope's sign; any of the two where it is zero."""
    up = np.where(slope == 0, rng.random(slope.shape) < _EVEN, slope > 0)
    return np.where(up, high, low)


def _anywhere(low: Reals, high: Reals, size: tuple[int, ...], rng: np.random.Generator) -> Reals:
    """Return random points between; the width may lie beyond the doubles."""
    share = rng.random(size)
    return np.asarray(np.clip(low * (1.0 - share) + high * share, low, high))


def _some_coordinates(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask of at least one coordinate a row: mostly few, sometimes all."""
    n, n_in = shape
    rate = rng.choice([1.0 / n_in, 3.0 / n_in, 0.3, 1.0], size=(n, 1))
    mask = rng.random(shape) < rate
    mask[np.arange(n), rng.integers(n_in, size=n)] = True
    return mask


def _jump(target: _Target, codes: Codes, rng: np.random.Generator) -> Codes:
    """Return codes some way off, by every order of magnitude alike, inside the box."""
    least, most = target.codes(target.lo), target.codes(target.hi)
    reach = np.log(np.maximum(most - least, 1) + 1.0)
    distance = np.floor(np.exp(rng.random(codes.shape) * reach)).astype(np.int64)
    distance *= rng.integers(-1, 2, size=codes.shape)
    return np.asarray(np.clip(codes + distance, least, most))


def _climb(climbers: _Climbers, x: Reals, deviations: Reals) -> _Climbers:
    """Return the climbers, each moved to its best proposal if that is higher."""
    count = len(climbers.x)
    each = len(x) // count
    heights = np.abs(_own(deviations, np.repeat(climbers.output, each))).reshape(count, each)
    best = heights.argmax(axis=1)
    height = heights[np.arange(count), best]
    better = height > climbers.height
    moved = x.reshape(count, each, -1)[np.arange(count), best]
    return replace(
        climbers,
        x=np.where(better[:, None], moved, climbers.x),
        height=np.maximum(height, climbers.height),
    )


def _confirm(target: _Target, found: _Found, evaluations: int) -> Sampled:
    """Evaluate the best inputs without rounding; the highest first where not all can be."""
    network = target.network
    neurons = sum(tensor.size for tensor in network.tensors)
    count = max(1, _EXACT_WORK // max(1, network.parameter_count + _PER_NEURON * neurons))
    order = np.argsort(-found.height, kind="stable")[:count]
    x = exact(np.unique(found.x[order], axis=0))
    codes = target.codes(x.astype(np.float64))
    step = target.fixed.output.format.step
    answers = exact(execute(target.fixed, codes)) * step
    deviations = apart(target.network, x, answers)
    highest = deviations.max(axis=1)
    worst = int(highest.argmax())
    return Sampled(
        tuple(deviations.max(axis=0).tolist()),
        highest[worst],
        tuple(x[worst].tolist()),
        evaluations,
    )
