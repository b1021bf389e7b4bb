"""From the kernel's facts to multipliers: pose the cone, ask a solver, round its answer.

Nothing here is trusted. Multipliers of any status are clipped at zero and rounded to dyadics;
what is missing for positive semidefiniteness is added as tau, and the kernel then decides.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qdeploy.certify.method import Reached, Standing
from qdeploy.certify.solvers import Candidate, ConicProblem, Solver, known_solvers
from qdeploy.certify.tasks import Scene, Task
from qdeploy.ir import Box
from qdeploy.proof import cone, kernel
from qdeploy.proof.certificate import ConePart, Part, SignedDual
from qdeploy.proof.cone import Cone, Dual
from qdeploy.proof.dyadic import Raw, two_to, widest
from qdeploy.proof.kernel import Analysis

_CORE = frozenset({"y_phi", "y_psi", "z_phi", "z_psi", "y_below", "y_above", "z_below", "z_above"})
_SMALLEST_COLUMN = 1e-12
_ITERATIONS = 35
_MOST_EXTRA_BITS = 60
"""Facts with larger coefficients are beyond what doubles can solve."""
_SECONDS_PER_OPERATION = 1.5e-10
_LARGEST_CONE = 200
"""Components of chi beyond which not even the facts are laid out."""
_FORMS_PER_COMPONENT = 5
"""Typically; a price has to be known before the forms are built."""
_WORTH_A_TRY = 2.0
"""A smaller cone comes first if the larger one costs more than so many times its price."""
_LAYOUTS = 2
_SOLVER = "clarabel"


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
    scale = 2.0**-facts.grid
    widths = [facts.forms, *(side for c in facts.complements for side in (c.phi, c.psi))]
    if max(widest(array) for array in widths) > facts.grid + _MOST_EXTRA_BITS:
        return None
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
    norms = np.maximum(np.linalg.norm(columns, axis=0), _SMALLEST_COLUMN)
    return Facts(facts, tuple(pairs), columns / norms, norms)


def _chosen_pairs(tags: tuple[tuple[str, int, int], ...]) -> list[tuple[int, int]]:
    chosen = {(0, i) for i in range(1, len(tags))}
    core = [i for i, tag in enumerate(tags) if tag[0] in _CORE]
    chosen.update(itertools.combinations(core, 2))
    by_neuron: dict[tuple[int, int], list[int]] = {}
    for i, (_, layer, neuron) in enumerate(tags[1:], start=1):
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
    matrix, _, _ = kernel.side_objective(facts.cone, output, sign)
    dual = prove_objective(facts, solver, matrix)
    return None if dual is None else SignedDual(output, sign, dual)


def prove_objective(facts: Facts, solver: Solver, objective: Raw) -> Dual | None:
    """Ask for a bound on a quadratic objective (on the grid 2**-2grid)."""
    return prove_offer(directly(facts), solver, objective)


def prove_offer(offered: Offer, solver: Solver, objective: Raw) -> Dual | None:
    """Ask for a bound on a quadratic objective; None where the answer proves nothing."""
    facts = offered.facts
    if widest(objective) > 2 * facts.cone.grid + _MOST_EXTRA_BITS:
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


# --- the cones of a region, output after output ----------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to set up the cone."""

    slacks: bool
    price: float
    """Predicted seconds of one solve."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The cones that are worth a try, cheap ones first, and what their bounds need in addition."""

    variants: tuple[Variant, ...]
    outputs: tuple[int, ...]
    """Those with the largest bounds so far first."""
    reference: tuple[Fraction, ...]
    """Error per output of having the network's parameters on the proof's grid."""


def plan(known: Analysis) -> Plan | None:
    """Count the variables of the cones; None where not even the smallest could be laid out."""
    found = []
    for slacks in (False, True):
        size = known.cone_size(slacks=slacks)
        if 1 < size <= _LARGEST_CONE:
            price = predicted_seconds(size, _FORMS_PER_COMPONENT * size)
            found.append(Variant(slacks, price))
    if len(found) > 1 and found[1].price <= _WORTH_A_TRY * found[0].price:
        found = found[1:]
    if not found:
        return None
    reach = known.tight.layers[-1].out.e.magnitude[0].tolist()
    outputs = tuple(sorted(range(len(reach)), key=lambda output: (-reach[output], output)))
    scale = two_to(-known.pair.grid)
    return Plan(tuple(found), outputs, tuple(int(r) * scale for r in known.reference))


@dataclass(frozen=True, slots=True)
class ProvenSide:
    """A dual that the kernel accepted, and the bound it found."""

    dual: SignedDual
    bound: Fraction


def bound_side(scene: Scene, box: Box, slacks: bool, output: int, sign: int) -> ProvenSide | None:  # noqa: FBT001
    """Bound sign * deviation of one output; None where the answer proves nothing."""
    facts = _layout(scene, box, slacks)
    if facts is None:
        return None
    side = prove_side(facts, known_solvers()[_SOLVER], output, sign)
    return None if side is None else ProvenSide(side, kernel.side_bound(facts.cone, side))


def bound_norm(scene: Scene, box: Box, slacks: bool) -> Part | None:  # noqa: FBT001
    """Bound the 2-norm of the outputs; None where the answer proves nothing."""
    facts = _layout(scene, box, slacks)
    if facts is None:
        return None
    matrix, _ = kernel.norm_objective(facts.cone)
    dual = prove_objective(facts, known_solvers()[_SOLVER], matrix)
    if dual is None:
        return None
    return kernel.prove_part(scene.analysis(box), "sdp", ConePart(slacks, (), dual))


@lru_cache(_LAYOUTS)
def _layout(scene: Scene, box: Box, slacks: bool) -> Facts | None:  # noqa: FBT001
    return offer(scene.analysis(box).cone(slacks=slacks))


@dataclass(frozen=True, slots=True)
class _Step:
    """Outputs to bound under one variant, or, if there are none, their 2-norm."""

    variant: Variant
    outputs: tuple[int, ...]
    complete: bool
    """Whether every output has had its turn when this is done."""


def _steps(chosen: Plan) -> Iterator[_Step]:
    """One output at first, then as many again as have been bounded: so cores have work."""
    for variant in chosen.variants:
        done, outputs = 0, chosen.outputs
        while done < len(outputs):
            now = outputs[done : 2 * done or 1]
            done += len(now)
            yield _Step(variant, now, done == len(outputs))
        if len(outputs) > 1:
            yield _Step(variant, (), complete=True)


class Cones:
    """The cones of one region: of each variant every output in turn, then the 2-norm."""

    def __init__(self, box: Box, chosen: Plan) -> None:
        self._box = box
        self._plan = chosen
        self._left = list(_steps(chosen))
        self._data = ConePart(slacks=False, sides=(), norm=None)
        self._bounds: dict[int, Fraction] = {}
        self._l2: Decimal | None = None
        self._standing: Part | None = None

    def price(self) -> float | None:
        """Predict the next outputs, both sides of each; or the norm."""
        return sum(task.price for task in self.tasks()) if self._left else None

    def tasks(self) -> tuple[Task, ...]:
        """Return one task a side."""
        if not self._left:
            return ()
        step = self._left[0]
        slacks, price = step.variant.slacks, step.variant.price
        if not step.outputs:
            return (Task(bound_norm, (self._box, slacks), price),)
        return tuple(
            Task(bound_side, (self._box, slacks, output, sign), price)
            for output in step.outputs
            for sign in (1, -1)
        )

    def take(self, answers: Sequence[ProvenSide | Part | None]) -> None:
        """Add what was proven; a second variant replaces the first when it is complete."""
        step = self._left.pop(0)
        if step.variant.slacks != self._data.slacks:
            self._data, self._bounds, self._l2 = ConePart(step.variant.slacks, (), None), {}, None
        for answer in answers:
            if isinstance(answer, Part) and isinstance(answer.data, ConePart):
                self._l2, self._data = answer.l2, replace(self._data, norm=answer.data.norm)
        sides = [answer for answer in answers if isinstance(answer, ProvenSide)]
        for up, down in itertools.pairwise(sides):
            if up.dual.output == down.dual.output:
                self._add(up, down)
        if (self._bounds or self._l2) and (step.complete or step.variant == self._plan.variants[0]):
            self._standing = self._part()

    def standing(self) -> Standing | None:
        """Return the outputs bounded so far."""
        return None if self._standing is None else Reached(self._standing)

    def _add(self, up: ProvenSide, down: ProvenSide) -> None:
        output = up.dual.output
        self._bounds[output] = max(up.bound, down.bound)
        sides = (*self._data.sides, up.dual, down.dual)
        ordered = sorted(sides, key=lambda side: (side.output, -side.sign))
        self._data = replace(self._data, sides=tuple(ordered))

    def _part(self) -> Part:
        per_output = [
            kernel.output_bound(self._bounds[o], extra) if o in self._bounds else None
            for o, extra in enumerate(self._plan.reference)
        ]
        return Part("sdp", tuple(per_output), self._l2, self._data)
