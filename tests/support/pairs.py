"""Random pairs of networks to compare, with unlike depths and widths, and questions about them."""

import itertools
from fractions import Fraction

import numpy as np
from qdeploy.ir import Box, Network
from qdeploy.proof.similarity import Question, Relation

from support.networks import build_network


def random_pair(seed: int) -> tuple[tuple[Network, Network], Question]:
    """Return two networks and a question; every third pair is nearly equal, some are reduced."""
    rng = np.random.default_rng((seed, 11))
    n_in, n_out = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    alike = seed % 3 == 0
    first = _steps(rng, n_in, n_out, _CURVES if alike else ["relu"])
    second = _changed(rng, first) if alike else _steps(rng, n_in, n_out, ["relu"])
    networks = (build_network(n_in, first, "first"), build_network(n_in, second, "second"))
    return networks, _question(rng, n_in)


_CURVES = ["relu", "relu", "tanh", "sigmoid", "softsign"]


def _steps(rng, n_in, n_out, curves):
    """Dense layers and activations in every order that a chain may have."""
    widths = [n_in, *map(int, rng.integers(1, 6, size=rng.integers(0, 4))), n_out]
    steps = [str(rng.choice(curves))] if rng.random() < 0.1 else []
    for before, after in itertools.pairwise(widths):
        weight = rng.normal(size=(after, before)).astype(np.float32)
        if rng.random() < 0.15:
            weight = (weight * np.float32(1e-20)).astype(np.float32)  # finer than the grid
        steps.append((weight, rng.normal(size=after).astype(np.float32)))
        if rng.random() < 0.8:
            steps.append(str(rng.choice(curves)))
    if rng.random() < 0.7 and isinstance(steps[-1], str):
        steps.pop()
    return steps


def _changed(rng, steps):
    """Round the parameters, or drop a hidden neuron."""
    coarse = [
        s if isinstance(s, str) else tuple((np.floor(p * 16) / 16).astype(np.float32) for p in s)
        for s in steps
    ]
    dense = [i for i, s in enumerate(coarse) if not isinstance(s, str)]
    if len(dense) > 1 and rng.random() < 0.5 and len(coarse[dense[0]][1]) > 1:
        (w, c), (v, b) = coarse[dense[0]], coarse[dense[1]]
        gone = int(rng.integers(len(c)))
        coarse[dense[0]] = (np.delete(w, gone, axis=0), np.delete(c, gone))
        coarse[dense[1]] = (np.delete(v, gone, axis=1), b)
    return coarse


def _question(rng, n_in) -> Question:
    relation = list(Relation)[rng.integers(3)]
    first, second = _box(rng, n_in), _box(rng, n_in)
    delta = Fraction(0)
    if relation is Relation.EQUAL:
        second = first
    if relation is Relation.QUANTISED:
        delta = Fraction(1, 1 << int(rng.integers(1, 8)))
        second = Box.enclosing(
            tuple(v - delta for v in first.lo), tuple(v + delta for v in first.hi)
        )
        if rng.random() < 0.3:
            second = first
    return Question(first, second, relation, delta)


def _box(rng, n_in) -> Box:
    centre, radius = rng.normal(size=n_in), rng.random(n_in) * rng.choice([1.5, 0.2])
    radius[rng.random(n_in) < 0.1] = 0.0
    lo, hi = (tuple(map(Fraction, (centre + s * radius).tolist())) for s in (-1.0, 1.0))
    return Box(lo, hi)


def random_inputs(question: Question, count: int, seed: int):
    """Return x1 and x2 [count, n_in] that the question is about, many of them at the ends."""
    rng = np.random.default_rng((seed, 12))
    lo, hi = (
        np.array([[float(v) for v in side] for side in sides])
        for sides in (
            (question.first.lo, question.second.lo),
            (question.first.hi, question.second.hi),
        )
    )
    u, s = rng.random((2, count, lo.shape[1]))
    u, s = (np.where(rng.random(v.shape) < 0.3, np.round(v), v) for v in (u, s))
    x1 = np.clip(lo[0] + u * (hi[0] - lo[0]), lo[0], hi[0])
    if question.relation is Relation.EQUAL:
        return x1, x1
    if question.relation is Relation.INDEPENDENT:
        return x1, np.clip(lo[1] + s * (hi[1] - lo[1]), lo[1], hi[1])
    step = float(question.delta)
    low, high = np.maximum(lo[1], x1 - step), np.minimum(hi[1], x1 + step)
    return x1, np.clip(low + s * (high - low), low, high)
