"""Inputs on which device and network decide differently, looked for in many boxes at once.

Two ways lead there. Where the network's own decision changes inside a box, an input close to the
change is decided wrongly, as the device cannot tell the two sides apart within one input code.
Elsewhere the device's codes are moved, along its slopes and then at random, towards another winner.
Floating point does the looking; `qdeploy.proof.decision.differs` decides without rounding what was
found. Effort is counted in inputs, so that equal requests find equal inputs on one machine.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Rounding, encode
from qdeploy.ir import Box, FixedNetwork, FixedNode, Network
from qdeploy.ops import evaluate, execute_all
from qdeploy.proof.certificate import DecisionKind

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]
Points = list[tuple[Fraction, ...] | None]

_ROUNDS = 12
"""Turns of the hunt for one box, at least; after so many, turns double."""
_HALVINGS = 30
"""Leaves 2**-30 of a box between two inputs: far above what double precision confuses."""
_ROWS = 1 << 13
"""Inputs evaluated together."""
_FEWEST_TRIES = 32
_AT_ONCE = 1 << 9
"""Tries before the best of them is gone on from: few at first, up to so many."""
_ANEW = 4
"""Every such round tries codes that have nothing to do with the best."""
_EXACT = 2.0**52
"""Sums below are exact in double precision."""


@dataclass(frozen=True, slots=True)
class _Hunt:
    """Network and program, boxes [boxes, n], and +1 or -1 for argmax or argmin."""

    network: Network
    fixed: FixedNetwork
    lo: Reals
    hi: Reals
    sign: int

    def real(self, x: Reals) -> Reals:
        """Return what the network computes, turned so that the largest wins."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.nan_to_num(self.sign * evaluate(self.network, x))

    def sums(self, x: Reals) -> Reals:
        """Return the device's last sums before they are rounded, likewise, in output steps."""
        return self.sign * self._device(x)[0]

    def device(self, x: Reals) -> Reals:
        """Return the device's answers, likewise."""
        return self.sign * self._device(x)[1]

    def _device(self, x: Reals) -> tuple[Reals, Reals]:
        fixed = self.fixed
        codes = encode(x, fixed.input.format, fixed.input.rounding).astype(np.float64)
        if not all(_is_small(node) for node in fixed.nodes):
            answers = execute_all(fixed, codes.astype(np.int64))[fixed.outputs[0]]
            return answers.astype(np.float64), answers.astype(np.float64)
        sums = codes
        for node in fixed.nodes:
            weight, bias = (node.arrays[k].raw.astype(np.float64) for k in ("weight", "bias"))
            sums = (codes @ weight.T + bias) * 2.0 ** -node.integers["shift"]
            rounded = _rounded(sums, fixed.tensor(node.output).rounding)
            codes = np.clip(rounded, node.integers["clamp_lo"], node.integers["clamp_hi"])
        return sums, codes


def _is_small(node: FixedNode) -> bool:
    """Whether double precision computes a node exactly."""
    return node.accumulator is not None and node.accumulator.bound < _EXACT


def _rounded(values: Reals, mode: Rounding) -> Reals:
    match mode:
        case Rounding.NEAREST:
            return np.floor(values + 0.5)
        case Rounding.FLOOR:
            return np.floor(values)
        case Rounding.TRUNC:
            return np.trunc(values)


def hunt(
    network: Network, fixed: FixedNetwork, boxes: Sequence[Box], kind: DecisionKind, tries: int
) -> Points:
    """Return for every box an input that seems to be decided differently, if one was found.

    About `tries` inputs a box are looked at, beyond a few.
    """
    lo, hi = (np.array([[float(v) for v in getattr(b, s)] for b in boxes]) for s in ("lo", "hi"))
    sign = 1 if kind is DecisionKind.ARGMAX else -1
    found: Points = [None] * len(boxes)
    every = _Hunt(network, fixed, lo, hi, sign)
    size = max(1, _ROWS // max(_FEWEST_TRIES, lo.shape[1] + 1))
    for search in (_at_change, _at_other_codes):
        left = np.array([i for i, x in enumerate(found) if x is None], dtype=np.int64)
        for start in range(0, len(left), size):
            part = left[start : start + size]
            hunted = _Hunt(network, fixed, every.lo[part], every.hi[part], sign)
            for row, x in search(hunted, tries).items():
                found[int(part[row])] = tuple(Fraction(v) for v in x.tolist())
    return found


def _hits(hunted: _Hunt, x: Reals) -> NDArray[np.bool_]:
    """Return which rows are decided differently, the network having one winner."""
    values = hunted.real(x)
    winner = values.argmax(axis=1)
    lead = _lead(values, winner)
    return np.asarray((hunted.device(x).argmax(axis=1) != winner) & (lead < 0))


def _lead(values: Reals, home: Codes) -> Reals:
    """Return how far the best other output is ahead of the one at home."""
    rows = np.arange(len(values))
    others = values.copy()
    others[rows, home] = -np.inf
    return np.asarray(others.max(axis=1) - values[rows, home])


def _at_change(hunted: _Hunt, tries: int) -> dict[int, Reals]:
    """Walk to where the network's decision changes, and look at both sides."""
    del tries
    start = hunted.lo / 2 + hunted.hi / 2
    home = hunted.real(start).argmax(axis=1)
    best = _along_slopes(hunted, hunted.real, start, home)
    away = np.flatnonzero(hunted.real(best).argmax(axis=1) != home)
    left, right = start[away], best[away]
    for _ in range(_HALVINGS):
        middle = left / 2 + right / 2
        stays = (hunted.real(middle).argmax(axis=1) == home[away])[:, None]
        left, right = np.where(stays, middle, left), np.where(stays, right, middle)
    hits: dict[int, Reals] = {}
    for side in (start, best):
        hits |= {int(row): side[row] for row in np.flatnonzero(_hits(hunted, side))}
    for side in (left, right) if len(away) else ():
        hits |= {int(away[row]): side[row] for row in np.flatnonzero(_hits(hunted, side))}
    return hits


def _along_slopes(
    hunted: _Hunt, measure: Callable[[Reals], Reals], start: Reals, home: Codes
) -> Reals:
    """Send every box's point to the corner that the slopes towards the best rival name, twice."""
    boxes, n = start.shape
    best = start
    for _ in range(2):
        near = best[:, None] * 0.5 + start[:, None] * 0.5
        ends = np.where(np.eye(n, dtype=bool), hunted.hi[:, None], near)
        far = np.where(np.eye(n, dtype=bool), hunted.lo[:, None], near)
        rise = measure(ends.reshape(boxes * n, n)) - measure(far.reshape(boxes * n, n))
        rise = rise.reshape(boxes, n, -1)
        own = np.take_along_axis(rise, home[:, None, None], axis=2)
        up = np.swapaxes(rise - own, 1, 2) > 0
        corners = np.where(up, hunted.hi[:, None], hunted.lo[:, None])
        best = _highest(measure, np.concatenate([best[:, None], corners], axis=1), home)
    return best


def _highest(measure: Callable[[Reals], Reals], x: Reals, home: Codes) -> Reals:
    """Return of the points [boxes, tries, n] those where another output leads by most."""
    boxes, tries, n = x.shape
    heights = _lead(measure(x.reshape(-1, n)), np.repeat(home, tries)).reshape(boxes, tries)
    return np.asarray(x[np.arange(boxes), heights.argmax(axis=1)])


def _at_other_codes(hunted: _Hunt, tries: int) -> dict[int, Reals]:
    """Move input codes towards another winner of the device."""
    start = hunted.lo / 2 + hunted.hi / 2
    home = hunted.real(start).argmax(axis=1)
    best = _along_slopes(hunted, hunted.sums, start, home)
    hits: dict[int, Reals] = {}
    for row in range(len(start)):
        one = _Hunt(hunted.network, hunted.fixed, hunted.lo[row], hunted.hi[row], hunted.sign)
        x = _one_box(one, best[row], home[row : row + 1], np.random.default_rng(0), tries)
        if x is not None:
            hits[row] = x
    return hits


def _one_box(
    one: _Hunt, start: Reals, home: Codes, rng: np.random.Generator, tries: int
) -> Reals | None:
    """Try random codes of one box; then change the best of them, few at a time."""
    best, height = start, float(_lead(one.sums(start[None]), home)[0])
    # More tries only go on where fewer would end, so that they never find less.
    for turn, rows in enumerate(_turns(tries)):
        x = _other_codes(one, (rows, len(start)), rng)
        if turn % _ANEW:
            rate = rng.choice([1.0, 3.0, 0.3 * len(start)], size=(rows, 1)) / len(start)
            x = np.where(rng.random(x.shape) < rate, x, best)
        hit = np.flatnonzero(_hits(one, x))
        if len(hit):
            return np.asarray(x[hit[0]])
        heights = _lead(one.sums(x), np.repeat(home, rows))
        if heights.max() > height:
            best, height = x[heights.argmax()], float(heights.max())
    return None


def _turns(tries: int) -> Iterator[int]:
    """Yield how many inputs each turn tries, until all are spent."""
    turn = 0
    while tries > 0 or turn < _ROUNDS:
        rows = min(_FEWEST_TRIES << (turn // _ROUNDS), _AT_ONCE)
        yield rows
        turn, tries = turn + 1, tries - rows


def _other_codes(one: _Hunt, shape: tuple[int, int], rng: np.random.Generator) -> Reals:
    """Return inputs whose codes are drawn evenly from those of the box."""
    fmt, mode = one.fixed.input.format, one.fixed.input.rounding
    low, high = (encode(side, fmt, mode) for side in (one.lo, one.hi))
    return np.clip(rng.integers(low, high + 1, size=shape) * float(fmt.step), one.lo, one.hi)
