"""Products in rounds: solve with few, look at the moments, add those that are violated.

All products of a cone's forms are thousands, and few of them bind. The solver's moments X say
which: where <f_i f_j^T, X> < 0, X is not the moments of anything that can happen, and the product
excludes it. So a cone begins with the forms alone, the complementarities and the ranges, and each
round adds the most violated products and drops those that carry nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.semidefinite import (
    MOST_EXTRA_BITS,
    SMALLEST_COLUMN,
    Facts,
    beyond_doubles,
    repair,
)
from qdeploy.certifier.solvers import TYPICAL_ITERATIONS, Candidate, Moments, Products, minimise
from qdeploy.proof.cone import Cone, Dual
from qdeploy.proof.dyadic import Raw, widest

Reals = NDArray[np.float64]
Pairs = tuple[tuple[int, int], ...]

_OPENING = (
    ("x_lo", "x_hi"),
    ("x_phi", "x_psi"),
    ("u_phi", "u_phi_hi"),
    ("e_lo", "e_hi"),
    ("q_lo", "q_hi"),
    ("r_lo", "r_hi"),
    ("y_phi_lo", "y_phi_hi"),
    ("delta_lo", "delta_hi"),
    ("y_phi", "y_phi_hi"),
    ("y_phi", "y_psi"),
    ("z_phi", "z_psi"),
    ("hull_lo", "hull_hi"),
    ("hull_below", "hull_above"),
    ("y_below", "y_above"),
    ("z_below", "z_above"),
)
"""Forms of one neuron whose product is there from the start."""
_VIOLATED = -1e-4
"""Of products of forms of unit norm, at moments of order 1."""
_MORE_PER_COMPONENT = 8
"""Products that a round adds, for every component of chi."""
_CARRIES = 0.03
"""Multiplier over moment below which a product is let go: one of both vanishes at the optimum."""
_PARALLEL = 1e-9
_SECONDS_PER_GATHER, _SECONDS_PER_PIVOT = 1.8e-8, 6e-12
_SECONDS_PER_MOMENT = 1.1e-9
_SECONDS_PER_EXACT_PRODUCT = 1.5e-7
"""Of Python's integers, in all that repairs a dual and checks it."""
_SECONDS_PER_ROUND = 6e-3
"""However small the cone is."""


def predicted_seconds(size: int, forms: int, products: int) -> float:
    """Predict one round, on one core of a machine of 2024 (measured in benchmarks/)."""
    step = _SECONDS_PER_GATHER * products**2 + _SECONDS_PER_PIVOT * products**3
    step += _SECONDS_PER_MOMENT * size * (forms + size) ** 2
    exact = _SECONDS_PER_EXACT_PRODUCT * forms * size**2
    return _SECONDS_PER_ROUND + TYPICAL_ITERATIONS * step + exact


@dataclass(frozen=True, slots=True)
class Menu:
    """All that a solver may be offered, in doubles."""

    cone: Cone
    vectors: Reals
    """The forms, then phi and then psi of every complementarity; of unit norm."""
    norms: Reals
    slack: Reals
    """Of every complementarity, divided by its norms."""
    equations: dict[tuple[int, int], int]
    """Products that are the complementarity k but for its sign: together they are an equation."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round proved, and the products to go on with; none: nothing is violated."""

    dual: Dual | None
    following: Pairs


def menu(facts: Cone) -> Menu | None:
    """Lay out the forms; None if doubles cannot hold them."""
    if beyond_doubles(facts):
        return None
    scale = 2.0**-facts.grid
    sides = [c.phi for c in facts.complements] + [c.psi for c in facts.complements]
    vectors = np.array([*facts.forms, *sides]).astype(np.float64) * scale
    norms = np.maximum(np.linalg.norm(vectors, axis=1), SMALLEST_COLUMN)
    vectors = vectors / norms[:, None]
    forms, count = len(facts.forms), len(facts.complements)
    phi, psi = norms[forms : forms + count], norms[forms + count :]
    slack = np.array([float(c.slack) for c in facts.complements]) * scale**2 / (phi * psi)
    return Menu(facts, vectors, norms, slack, _equations(vectors, forms, slack))


def _equations(vectors: Reals, forms: int, slack: Reals) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for k in np.flatnonzero(slack <= _PARALLEL).tolist():
        phi = vectors[:forms] @ vectors[forms + k]
        psi = vectors[:forms] @ vectors[forms + len(slack) + k]
        i, j = int(phi.argmax()), int(psi.argmin())
        if phi[i] >= 1 - _PARALLEL and psi[j] <= -1 + _PARALLEL:
            found[min(i, j), max(i, j)] = k
    return found


def opening(offered: Menu) -> Pairs:
    """Return the products to begin with."""
    tags = offered.cone.tags
    chosen = {(0, i) for i in range(1, len(tags))}
    by_place: dict[tuple[int, int], dict[str, list[int]]] = {}
    for i, (kind, layer, neuron) in enumerate(tags[1:], start=1):
        by_place.setdefault((layer, neuron), {}).setdefault(kind, []).append(i)
    for kinds in by_place.values():
        for first, second in _OPENING:
            both = zip(kinds.get(first, ()), kinds.get(second, ()), strict=False)
            chosen.update((min(i, j), max(i, j)) for i, j in both)
    return tuple(sorted(chosen - offered.equations.keys()))


def play(offered: Menu, objective: Raw, pairs: Pairs) -> Round:
    """Bound a quadratic objective (on the grid 2**-2grid) with these products."""
    facts = offered.cone
    if widest(objective) > 2 * facts.grid + MOST_EXTRA_BITS:
        return Round(None, ())
    target = objective.astype(np.float64) * 2.0 ** (-2 * facts.grid)
    # A power of two brings large objectives to order 1, for the solver's tolerances.
    unit = 2.0 ** max(0, int(np.frexp(np.abs(target).max(initial=0.0))[1]) - 2)
    found = minimise(_posed(offered, target / unit, pairs))
    dual = _rounded(offered, objective, pairs, (found, unit))
    return Round(dual, _following(offered, found, pairs))


def _posed(offered: Menu, target: Reals, pairs: Pairs) -> Products:
    forms, count = len(offered.cone.forms), len(offered.slack)
    left, right = np.array(pairs, dtype=np.int64).T
    phi = forms + np.arange(count)
    equal = np.zeros(count, dtype=bool)
    equal[list(offered.equations.values())] = True
    return Products(
        target,
        offered.vectors,
        np.concatenate([left, phi]),
        np.concatenate([right, phi + count]),
        np.concatenate([np.zeros(len(pairs)), np.where(equal, 0.0, offered.slack)]),
        np.concatenate([np.zeros(len(pairs), dtype=bool), equal]),
    )


def _rounded(
    offered: Menu, objective: Raw, pairs: Pairs, answer: tuple[Moments, float]
) -> Dual | None:
    """Turn multipliers, also negative ones of equations, into a dual that the kernel accepts."""
    found, unit = answer
    split, norms = len(pairs), offered.norms
    singles = found.multipliers[split:]
    turned = {pair: -singles[k] for pair, k in offered.equations.items() if singles[k] < 0}
    every = (*pairs, *turned)
    left, right = np.array(every, dtype=np.int64).T
    forms, count = len(offered.cone.forms), len(singles)
    phi, psi = norms[forms : forms + count], norms[forms + count :]
    multipliers = np.concatenate([found.multipliers[:split], list(turned.values()), singles])
    scales = np.concatenate([norms[left] * norms[right], phi * psi])
    candidate = Candidate("", found.t * unit, multipliers * unit, found.iterations)
    bare = Facts(offered.cone, every, np.zeros((0, 0)), scales)
    return repair(bare, objective, candidate)


def _following(offered: Menu, found: Moments, pairs: Pairs) -> Pairs:
    """Return the products that carry something, and the most violated ones; none if there are none.

    Forms alone always stay: they cost little, and without them moments run away.
    """
    vectors = offered.vectors[: len(offered.cone.forms)]
    moments = vectors @ found.x @ vectors.T
    i, j = np.triu_indices(len(vectors), 1)
    depth = moments[i, j]
    depth[depth > _VIOLATED] = 0.0
    order = np.argsort(depth, kind="stable")[: int(np.count_nonzero(depth))]
    known = {*pairs, *offered.equations}
    most = _MORE_PER_COMPONENT * offered.cone.size
    candidates = zip(i[order].tolist(), j[order].tolist(), strict=True)
    more = [pair for pair in candidates if pair not in known][:most]
    if not more:
        return ()
    left, right = np.array(pairs, dtype=np.int64).T
    carries = found.multipliers[: len(pairs)] > _CARRIES * moments[left, right]
    kept = [pair for pair, keep in zip(pairs, carries, strict=True) if keep or pair[0] == 0]
    return tuple(sorted([*kept, *more]))
