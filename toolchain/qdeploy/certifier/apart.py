"""The largest difference of two networks that sampling and climbing find: never a bound.

A pair of inputs is a point of the unit cube: u places x1 in its region, s places x2 among the
inputs that the relation then allows. Double precision searches; the answer is evaluated exactly.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import Network
from qdeploy.ops import evaluate
from qdeploy.proof.similarity import Apart, Question, Relation, allowed, apart

Reals = NDArray[np.float64]

_KEPT = 24
_ROUNDS = 12
_CHILDREN = 40
_CORNER = 0.15
"""Share of coordinates that a sample has at an end of their range."""
_LAST_STEPS = 4


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of inputs that are allowed, and how far apart the outputs are there."""

    networks: tuple[Network, Network]
    question: Question

    def inputs(self, cube: Reals) -> tuple[Reals, Reals]:
        """Return x1 and x2 for points of the unit cube [n, 2 n_in]."""
        u, s = np.split(cube, 2, axis=1)
        (lo1, hi1), (lo2, hi2) = (_corners(b.lo, b.hi) for b in self._boxes())
        step = float(self.question.delta)
        if self.question.relation is Relation.INDEPENDENT:
            return lo1 + u * (hi1 - lo1), lo2 + s * (hi2 - lo2)
        low, high = np.maximum(lo1, lo2 - step), np.minimum(hi1, hi2 + step)
        x1 = np.clip(low + u * (high - low), lo1, hi1)
        if self.question.relation is Relation.EQUAL:
            return x1, x1
        below, above = np.maximum(lo2, x1 - step), np.minimum(hi2, x1 + step)
        return x1, np.clip(below + s * (above - below), lo2, hi2)

    def _boxes(self) -> tuple:  # type: ignore[type-arg]
        return self.question.first, self.question.second

    def distance(self, cube: Reals) -> Reals:
        """Return the largest difference of any output for every point."""
        x1, x2 = self.inputs(cube)
        with np.errstate(over="ignore", invalid="ignore"):
            gap = evaluate(self.networks[0], x1) - evaluate(self.networks[1], x2)
        return np.asarray(np.nan_to_num(np.abs(gap)).max(axis=1))


def _corners(lo: Sequence[Fraction], hi: Sequence[Fraction]) -> tuple[Reals, Reals]:
    return np.array([float(v) for v in lo]), np.array([float(v) for v in hi])


def search(networks: tuple[Network, Network], question: Question, tries: int, seed: int) -> Apart:
    """Return the pair of inputs whose outputs lie farthest apart, of about `tries` tried."""
    pairs = _Pairs(networks, question)
    rng = np.random.default_rng(seed)
    cube = _scattered(rng, (tries // 2, 2 * question.first.size))
    best = _farthest(pairs, cube)
    children = max(1, min(_CHILDREN, tries // (2 * _ROUNDS * _KEPT)))
    for round_ in range(_ROUNDS):
        noise = rng.normal(scale=0.3 * 0.5**round_, size=(children, *best.shape))
        noise *= rng.random(noise.shape) < max(0.3, 1.0 / best.shape[1])
        near = np.clip(best + noise, 0.0, 1.0).reshape(-1, best.shape[1])
        best = _farthest(pairs, np.concatenate([best, near]))
    candidates = [_exactly(pairs, point) for point in best[:_LAST_STEPS]]
    found = [apart(networks, *pair) for pair in (*filter(None, candidates), _nearest(question))]
    return max(found, key=lambda a: a.linf)


def _scattered(rng: np.random.Generator, shape: tuple[int, int]) -> Reals:
    cube = rng.random(shape)
    return np.where(rng.random(shape) < _CORNER, np.round(cube), cube)


def _farthest(pairs: _Pairs, cube: Reals) -> Reals:
    order = np.argsort(-pairs.distance(cube), kind="stable")
    return cube[order[:_KEPT]]


Point = tuple[Fraction, ...]


def _exactly(pairs: _Pairs, point: Reals) -> tuple[Point, Point] | None:
    """Return the pair of inputs as exact numbers, mended where rounding left the relation."""
    x1, x2 = (x[0].tolist() for x in pairs.inputs(point[None]))
    first = tuple(map(Fraction, x1))
    if pairs.question.relation is Relation.QUANTISED:
        x2 = [_within(a, b, pairs.question.delta) for a, b in zip(x1, x2, strict=True)]
    second = tuple(map(Fraction, x2))
    return (first, second) if allowed(pairs.question, first, second) else None


def _within(a: float, b: float, delta: Fraction) -> float:
    for candidate in _towards(a, b):
        if abs(Fraction(candidate) - Fraction(a)) <= delta:
            return candidate
    return a


def _towards(a: float, b: float) -> Iterator[float]:
    for _ in range(_LAST_STEPS):
        yield b
        b = math.nextafter(b, a)


def _nearest(question: Question) -> tuple[Point, Point]:
    """Return a pair that is allowed if any is: the corners where both regions are closest."""
    first, second = question.first, question.second
    x1 = tuple(min(max(v, lo), hi) for v, lo, hi in zip(second.lo, first.lo, first.hi, strict=True))
    x2 = tuple(min(max(v, lo), hi) for v, lo, hi in zip(x1, second.lo, second.hi, strict=True))
    return x1, x2
