"""What the paper's constraints look like to a solver (see `qdeploy.proof.paper`).

One multiplier a fact: phi and psi of every neuron, their product and its complementarity, the
slope between any two neurons of either side, and products of the ends of the inputs' ranges. A
slope is a sum of products, so its multiplier is spread over them before the exact check sees it.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier import semidefinite
from qdeploy.certifier.semidefinite import Facts, Offer, symmetric_products
from qdeploy.certifier.solvers import Solver
from qdeploy.proof import kernel
from qdeploy.proof.certificate import ConePart
from qdeploy.proof.cone import Cone

_SMALLEST_COLUMN = 1e-12
Spread = list[tuple[int, ...]]
"""Per column: the facts, products first and then complementarities, that it is the sum of."""


def prove(facts: Cone, solver: Solver) -> ConePart | None:
    """Ask for a bound on the 2-norm of the deviation; None where the answer proves nothing."""
    matrix, _ = kernel.norm_objective(facts)
    dual = semidefinite.prove_offer(offer(facts), solver, matrix)
    return None if dual is None else ConePart(slacks=False, sides=(), norm=dual)


def offer(facts: Cone) -> Offer:
    """Choose the paper's products and lay out their sums."""
    pairs, spread = _choices(facts)
    matrices = _columns(facts, pairs)
    columns = np.stack([matrices[:, list(parts)].sum(axis=1) for parts in spread], axis=1)
    norms = np.maximum(np.linalg.norm(columns, axis=0), _SMALLEST_COLUMN)
    count = len(pairs) + len(facts.complements)

    def expand(multipliers: NDArray[np.float64]) -> NDArray[np.float64]:
        single = np.zeros(count)
        for parts, value in zip(spread, np.maximum(multipliers, 0.0) / norms, strict=True):
            single[list(parts)] += value
        return single

    bare = Facts(facts, tuple(pairs), np.zeros((0, 0)), np.ones(count))
    return Offer(bare, columns / norms, expand)


def _choices(facts: Cone) -> tuple[list[tuple[int, int]], Spread]:
    kinds = [tag[0] for tag in facts.tags]
    phi = [i for i, kind in enumerate(kinds) if kind.endswith("_phi")]
    psi = [i for i, kind in enumerate(kinds) if kind.endswith("_psi")]
    pairs: dict[tuple[int, int], int] = {}
    spread: Spread = []

    def product(i: int, j: int) -> int:
        return pairs.setdefault((min(i, j), max(i, j)), len(pairs))

    spread += [(product(0, i),) for i in (*phi, *psi)]
    spread += [(product(i, j),) for i, j in zip(phi, psi, strict=True)]
    ends = {tag[0::2]: i for i, tag in enumerate(facts.tags) if tag[1] < 0}
    for neuron in sorted({neuron for kind, neuron in ends if kind == "x_lo"}):
        x, x2, e = (
            [ends[f"{name}_{side}", neuron] for side in ("lo", "hi")] for name in ("x", "x2", "e")
        )
        spread += [(product(*both),) for both in (x, x2, e)]
        # (2 hi - x1 - x2)(x1 + x2 - 2 lo), the paper's constraint on both inputs together.
        spread.append(tuple(product(i, j) for i in (x[0], x2[0]) for j in (x[1], x2[1])))
    neurons = range(len(phi))
    crossed = [
        (product(phi[k], psi[m]), product(phi[m], psi[k]), k, m)
        for k, m in itertools.combinations(neurons, 2)
    ]
    first = len(pairs)
    spread += [(first + k,) for k in neurons]
    spread += [(one, other, first + k, first + m) for one, other, k, m in crossed]
    return list(pairs), spread


def _columns(facts: Cone, pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Return the matrices of all products and complementarities."""
    scale = 2.0**-facts.grid
    forms = facts.forms.astype(np.float64) * scale
    products = symmetric_products(*(forms[[p[side] for p in pairs]] for side in (0, 1)))
    phi = np.array([c.phi for c in facts.complements]).astype(np.float64) * scale
    psi = np.array([c.psi for c in facts.complements]).astype(np.float64) * scale
    if not facts.complements:
        return products
    more = symmetric_products(phi, psi)
    more[0] += [float(c.slack) * scale * scale for c in facts.complements]
    return np.concatenate([products, more], axis=1)
