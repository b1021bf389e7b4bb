"""From the kernel's facts to multipliers: pose the cone, ask a solver, round its answer.

Nothing here is trusted. Multipliers of any status are clipped at zero and rounded to dyadics;
what is missing for positive semidefiniteness is added as tau, and the kernel then decides.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.solvers import Candidate, ConicProblem, Solver
from qdeploy.proof import cone, sides
from qdeploy.proof.certificate import SignedDual
from qdeploy.proof.cone import Cone, Dual
from qdeploy.proof.dyadic import Raw, widest

_CORE = frozenset({"y_phi", "y_psi", "z_phi", "z_psi", "y_below", "y_above", "z_below", "z_above"})
_OF_RANGES = ("_from", "_to")
"""Forms that are offered alone: all their products at once would be too many."""
SMALLEST_COLUMN = 1e-12
_ITERATIONS = 35
MOST_EXTRA_BITS = 60
"""Facts with larger coefficients are beyond what doubles can solve."""
_SECONDS_PER_OPERATION = 1.5e-10


def predicted_seconds(size: int, forms: int) -> float:
    """Predict one solve from the cone's size, on a machine of 2024 (measured in benchmarks/).

    Forming the normal equations costs N^2 k, factoring them N^3, N = size (size + 1) / 2.
    """
    triangle, facts = size * (size + 1) // 2, forms * forms // 12 + 3 * forms
    return _ITERATIONS * _SECONDS_PER_OPERATION * triangle**2 * (facts + triangle)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that are offered to the solver, with their matrices as columns."""

    cone: Cone
    pairs: tuple[tuple[int, int], ...]
    columns: NDArray[np.float64]
    """One column per pair, then one per complementarity; unit norm."""
    norms: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a solver sees where it is not the facts themselves but sums of them."""

    facts: Facts
    columns: NDArray[np.float64]
    """Of unit norm."""
    expand: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Multipliers of the columns -> multipliers of the facts."""


def directly(facts: Facts) -> Offer:
    """Offer the facts one by one."""
    return Offer(facts, facts.columns, lambda multipliers: multipliers)


def offer(facts: Cone) -> Facts | None:
    """Choose the products that matter and lay out their matrices; None if doubles cannot.

    These are: every form alone, all products of phi and psi within and across both networks, and
    all products of the forms of one neuron (docs/CERTIFICATES.md).
    """
    if beyond_doubles(facts):
        return None
    scale = 2.0**-facts.grid
    forms = facts.forms.astype(np.float64) * scale
    pairs = _chosen_pairs(facts.tags)
    left, right = (forms[[p[side] for p in pairs]] for side in (0, 1))
    columns = symmetric_products(left, right)
    if facts.complements:
        phi = np.array([c.phi for c in facts.complements]).astype(np.float64) * scale
        psi = np.array([c.psi for c in facts.complements]).astype(np.float64) * scale
        more = symmetric_products(phi, psi)
        more[0] += [float(c.slack) * scale * scale for c in facts.complements]
        columns = np.concatenate([columns, more], axis=1)
    norms = np.maximum(np.linalg.norm(columns, axis=0), SMALLEST_COLUMN)
    return Facts(facts, tuple(pairs), columns / norms, norms)


def beyond_doubles(facts: Cone) -> bool:
    """Whether some coefficient is too large for a solver."""
    widths = [facts.forms, *(side for c in facts.complements for side in (c.phi, c.psi))]
    return max(widest(array) for array in widths) > facts.grid + MOST_EXTRA_BITS


def multiplied_forms(facts: Cone) -> int:
    """Count the forms of which products are offered."""
    return sum(not kind.endswith(_OF_RANGES) for kind, _, _ in facts.tags)


def _chosen_pairs(tags: tuple[tuple[str, int, int], ...]) -> list[tuple[int, int]]:
    chosen = {(0, i) for i in range(1, len(tags))}
    core = [i for i, tag in enumerate(tags) if tag[0] in _CORE]
    chosen.update(itertools.combinations(core, 2))
    by_neuron: dict[tuple[int, int], list[int]] = {}
    for i, (kind, layer, neuron) in enumerate(tags[1:], start=1):
        if kind.endswith(_OF_RANGES):
            continue
        by_neuron.setdefault((layer, neuron), []).append(i)
    for members in by_neuron.values():
        chosen.update(itertools.combinations(members, 2))
    return sorted(chosen)


def triangle(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return rows, columns and weights of the upper triangle, column by column."""
    columns, rows = np.tril_indices(size)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0))


def symmetric_products(
    left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return sym(left_k right_k^T) for every k as columns in solver coordinates."""
    rows, columns, weights = triangle(left.shape[1])
    products = left[:, rows] * right[:, columns] + left[:, columns] * right[:, rows]
    return np.asarray((0.5 * products * weights).T)


def prove_side(facts: Facts, solver: Solver, output: int, sign: int) -> SignedDual | None:
    """Ask for a bound on sign * deviation of an output; None where the answer proves nothing."""
    matrix, _, _ = sides.side_objective(facts.cone, output, sign)
    dual = prove_objective(facts, solver, matrix)
    return None if dual is None else SignedDual(output, sign, dual)


def prove_objective(facts: Facts, solver: Solver, objective: Raw) -> Dual | None:
    """Ask for a bound on a quadratic objective (on the grid 2**-2grid)."""
    return prove_offer(directly(facts), solver, objective)


def prove_offer(offered: Offer, solver: Solver, objective: Raw) -> Dual | None:
    """Ask for a bound on a quadratic objective; None where the answer proves nothing."""
    facts = offered.facts
    if widest(objective) > 2 * facts.cone.grid + MOST_EXTRA_BITS:
        return None
    target = flattened(objective, facts.cone.grid)
    # A power of two brings large objectives to order 1, for the solver's tolerances.
    unit = 2.0 ** max(0, int(np.frexp(np.abs(target).max(initial=0.0))[1]) - 2)
    candidate = solver.solve(ConicProblem(facts.cone.size, target / unit, offered.columns))
    if candidate is None:
        return None
    multipliers = offered.expand(candidate.multipliers) * unit
    found = replace(candidate, t=candidate.t * unit, multipliers=multipliers)
    return repair(facts, objective, found)


def flattened(matrix: Raw, grid: int) -> NDArray[np.float64]:
    """Return a symmetric matrix on the grid 2**-2grid in solver coordinates."""
    rows, columns, weights = triangle(len(matrix))
    return np.asarray(matrix[rows, columns].astype(np.float64) * 2.0 ** (-2 * grid) * weights)


def repair(facts: Facts, objective: Raw, candidate: Candidate) -> Dual | None:
    """Round a candidate to integers and repair it; None where nothing is accepted.

    Its multipliers belong to facts of unit norm: first those of the pairs, then the complements.
    """
    try:
        return _repair(facts, objective, candidate)
    except (np.linalg.LinAlgError, OverflowError):
        return None


def _repair(facts: Facts, objective: Raw, candidate: Candidate) -> Dual | None:
    """Round a candidate to integers and raise tau until the kernel accepts it."""
    unit = 1 << cone.MULTIPLIER_BITS
    values = np.maximum(candidate.multipliers, 0.0) / facts.norms
    raw = [round(Fraction(v) * unit) for v in values.tolist()]
    count = len(facts.pairs)
    bare = Dual(
        t=round(Fraction(candidate.t) * unit),
        tau=0,
        products=tuple((i, j, m) for (i, j), m in zip(facts.pairs, raw[:count], strict=True) if m),
        complements=tuple((k, m) for k, m in enumerate(raw[count:]) if m),
        factor=(),
    )
    twice = cone.slack_matrix(facts.cone, objective, bare)
    bits = 2 * facts.cone.grid + cone.MULTIPLIER_BITS
    slack = np.array(twice / (1 << (bits + 1)), dtype=np.float64)
    lowest = float(np.linalg.eigvalsh(slack)[0])
    scale = max(1.0, float(abs(slack).max()))
    for margin in (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5):
        dual = _with_factor(bare, slack, max(0.0, -lowest) + 2 * margin * scale, margin * scale)
        if dual is not None and _accepted(facts.cone, objective, dual):
            return dual
    return None


def _with_factor(bare: Dual, slack: NDArray[np.float64], tau: float, spare: float) -> Dual | None:
    raised = int(tau * (1 << cone.MULTIPLIER_BITS)) + 1
    shift = raised / (1 << cone.MULTIPLIER_BITS) - spare
    try:
        factor = np.linalg.cholesky(slack + shift * np.eye(len(slack)))
    except np.linalg.LinAlgError:
        return None
    rows = tuple(
        tuple(round(Fraction(v) * (1 << cone.FACTOR_BITS)) for v in row[: i + 1].tolist())
        for i, row in enumerate(factor)
    )
    return Dual(bare.t, raised, bare.products, bare.complements, rows)


def _accepted(facts: Cone, objective: Raw, dual: Dual) -> bool:
    try:
        cone.dual_bound(facts, objective, dual)
    except cone.DualError:
        return False
    return True
