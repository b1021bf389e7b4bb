"""How similar two networks are: Theorem 1 of Li, Drummond and Duncan (L4DC 2021), checked exactly.

For all x1 in X1 and x2 in X2 that stand in the stated relation,

    |f1(x1) - f2(x2)|^2 <= g_x1 |x1|^2 + g_x2 |x2|^2 + g_x |x1 - x2|^2 + g.

A claim states the three factors as multiples of 2**-GAMMA_BITS; g is derived here, by the cone of
`qdeploy.proof.cone` with the difference of both sides as its objective. The outputs' differences
are bounded one by one as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cached_property

import numpy as np

from qdeploy import ops
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, Network, exact
from qdeploy.proof import cone, kernel, paper
from qdeploy.proof.alignment import GRID, SideBySide, Step, chains
from qdeploy.proof.certificate import SignedDual
from qdeploy.proof.cone import Cone, Dual, DualError
from qdeploy.proof.dyadic import Interval, Raw, ceil_to_grid, down, integers, two_to
from qdeploy.proof.enclosure import Ranges, Signal
from qdeploy.proof.pair import MismatchError, Pair
from qdeploy.proof.placing import Places
from qdeploy.proof.ranges import boxes_on_grid, enclose, reference_error
from qdeploy.proof.rounded import decimal_above, decimal_below
from qdeploy.proof.sides import LARGEST_CONE

GAMMA_BITS = cone.MULTIPLIER_BITS
"""Factors of the theorem are multiples of 2**-GAMMA_BITS."""


class Relation(StrEnum):
    """Which pairs of inputs a statement is about."""

    INDEPENDENT = "independent"
    EQUAL = "equal"
    QUANTISED = "quantised"


class Constraints(StrEnum):
    """Which facts the cone holds."""

    OURS = "sdp"
    PAPER = "sdp-paper"


@dataclass(frozen=True, slots=True)
class Question:
    """For which pairs of inputs two networks are compared."""

    first: Box
    second: Box
    relation: Relation
    delta: Fraction = Fraction(0)
    """Quantised inputs: |x2 - x1| <= delta in every component."""


Factors = tuple[int, int, int]
"""Of |x1|^2, |x2|^2 and |x1 - x2|^2, in units of 2**-GAMMA_BITS."""


@dataclass(frozen=True, slots=True)
class TheoremProof:
    """The factors as they are used, and multipliers that prove a constant for them."""

    factors: Factors
    dual: Dual


@dataclass(frozen=True, slots=True)
class Theorem:
    """Theorem 1 with its numbers."""

    gammas: tuple[Decimal, Decimal, Decimal]
    """g_x1, g_x2 and g_x, rounded up."""
    constant: Decimal
    proof: TheoremProof | None
    """None: the factors are 0 and the constant follows from the outputs' bounds."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A pair of inputs and how far apart the outputs are: what a search found."""

    x1: tuple[Fraction, ...]
    x2: tuple[Fraction, ...]
    linf: Decimal
    """Rounded down."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """A claim about two networks, with everything needed to check it."""

    names: tuple[str, str]
    digests: tuple[str, str]
    """SHA-256 of the two model files."""
    cuts: tuple[tuple[str, ...], tuple[str, ...]]
    """Of each model the nodes behind the outputs: no part of what is claimed."""
    question: Question
    places: Places
    constraints: Constraints
    sides: tuple[SignedDual, ...]
    theorem: Theorem
    per_output: tuple[Decimal, ...]
    attack: Apart


@dataclass(frozen=True, slots=True)
class ProvenSimilarity:
    """What this module has proven about two networks."""

    question: Question
    theorem: Theorem
    per_output: tuple[Decimal, ...]

    @property
    def linf(self) -> Decimal:
        """The largest difference of any output."""
        return max(self.per_output)


class Comparison:
    """Two networks side by side over one question, and what follows; computed when first needed."""

    def __init__(self, sides: SideBySide, question: Question) -> None:
        self.pair: Pair = sides.pair
        self._mirrored = sides.mirrored
        self._entering = _entering(question)
        self._cones: dict[Constraints, Cone] = {}

    @cached_property
    def _enclosed(self) -> Ranges:
        deep = kernel.beyond_linear(self.pair)
        return enclose(self.pair, self._entering, use_linear=not deep)

    @property
    def ranges(self) -> Ranges:
        """Enclosures over the box, by linear bounds where those are affordable."""
        return self._enclosed.row(0)

    @cached_property
    def intervals(self) -> Ranges:
        """Enclosures by intervals alone: what the paper's cone may know of its scales."""
        return enclose(self.pair, self._entering, use_linear=False).row(0)

    @cached_property
    def reference(self) -> Raw:
        """Error per output of having both networks' parameters on the grid."""
        first = reference_error(self.pair, self._enclosed)[0]
        second = reference_error(self._mirrored, _second_side(self._enclosed))[0]
        return np.asarray(first + second)

    @cached_property
    def linear(self) -> tuple[Fraction, ...]:
        """Bounds on every output's difference without any cone."""
        reach = self.ranges.layers[-1].out.e.magnitude + self.reference
        return tuple(Fraction(int(r), 1 << GRID) for r in reach)

    def cone_size(self, constraints: Constraints) -> int:
        """Return what `cone` would have for components, without building it."""
        if constraints is Constraints.PAPER:
            return paper.count_variables(self.pair, self.intervals)
        return cone.count_variables(self.pair, self.ranges, slacks=False)

    def cone(self, constraints: Constraints) -> Cone:
        """Return the semidefinite facts."""
        if constraints not in self._cones:
            if constraints is Constraints.PAPER:
                self._cones[constraints] = paper.build(self.pair, self.intervals)
            else:
                facts = cone.build(self.pair, self.ranges, slacks=False)
                self._cones[constraints] = _with_second_input(facts, self.ranges.input.b)
        return self._cones[constraints]


def _second_side(ranges: Ranges) -> Ranges:
    """Return what encloses the mirrored pair, as far as `reference_error` looks at it."""

    def signal(s: Signal) -> Signal:
        return Signal(s.b, s.a, s.e)

    layers = (replace(f, y=f.z, z=f.y, out=signal(f.out)) for f in ranges.layers)
    return Ranges(signal(ranges.input), tuple(layers))


def _entering(question: Question) -> Signal:
    """Enclose x1, x2 and x2 - x1, [1, n].

    Raises:
        MismatchError: no two inputs stand in the relation.
    """
    a, b = (boxes_on_grid([box], GRID) for box in (question.first, question.second))
    e = b - a
    if question.relation is Relation.EQUAL:
        e = Interval(integers(e.lo.shape), integers(e.lo.shape))
    if question.relation is Relation.QUANTISED:
        step = ceil_to_grid(question.delta, GRID)
        e = e.meet(Interval(integers(e.lo.shape) - step, integers(e.lo.shape) + step))
    if (e.lo > e.hi).any():
        raise MismatchError("no input of the second region is so close to one of the first")
    return Signal(a, b, e)


def _with_second_input(facts: Cone, box: Interval) -> Cone:
    """Add that x2 = x + e lies in its region, where the ranges of x and e do not say so."""
    second = facts.entering[0] + facts.entering[1]
    rows, tags = list(facts.forms), list(facts.tags)
    for i, row in enumerate(second.rows):
        if not facts.entering[1].rows[i, 1:].any():
            continue
        for kind, form in (("x2_lo", _plus(row, -box.lo[i])), ("x2_hi", _plus(-row, box.hi[i]))):
            rows.append(cone.normalised(form, facts.grid)[0])
            tags.append((kind, -1, i))
    return Cone(
        np.stack(rows),
        tuple(tags),
        facts.complements,
        facts.objective,
        facts.grid,
        facts.entering,
    )


def _plus(row: Raw, value: int) -> Raw:
    moved = row.copy()
    moved[0] = moved[0] + value
    return moved


def compare(
    networks: tuple[Network, Network],
    question: Question,
    choose: Callable[[list[Step], list[Step]], Places],
) -> tuple[Comparison, Places]:
    """Put two networks side by side; `choose` places the second one's neurons.

    Raises:
        RefusedError: they cannot be compared.
    """
    try:
        _require_regions(networks, question)
        first, second = chains(networks, (question.first, question.second))
        places = choose(first, second)
        return Comparison(SideBySide.of(first, second, places), question), places
    except MismatchError as problem:
        raise RefusedError(f"comparison: {problem}") from problem


def _require_regions(networks: tuple[Network, Network], question: Question) -> None:
    first, second = question.first, question.second
    for network, box in zip(networks, (first, second), strict=True):
        if network.inputs[0].size != box.size:
            raise MismatchError(f"a region has {box.size} inputs, its network another number")
    if first.size != second.size:
        raise MismatchError("the networks differ in the number of inputs")
    equal = (first.lo, first.hi) == (second.lo, second.hi)
    if question.relation is Relation.EQUAL and not equal:
        raise MismatchError("equal inputs lie in one region, not in two")


# --- Theorem 1 -------------------------------------------------------------------------------


def theorem_rows(facts: Cone) -> tuple[Raw, Raw, Raw]:
    """Return the rows of x1, x2 and x2 - x1 on chi; all three are exact."""
    x, e = facts.entering
    return x.rows, x.rows + e.rows, e.rows


def theorem_objective(facts: Cone, factors: Factors) -> Raw:
    """Return the matrix of |f2 - f1|^2 - sum of gammas times squares, on 2**-2grid.

    Products are rounded down to multiples of a unit: see `theorem_lost`.
    """
    matrix = cone.square_objective(facts.objective.rows)
    for factor, rows in zip(factors, theorem_rows(facts), strict=True):
        matrix = matrix - down(cone.square_objective(rows) * factor, GAMMA_BITS)
    return matrix


def theorem_lost(facts: Cone) -> int:
    """Bound how far chi^T M chi lies from what was meant, M being `theorem_objective`.

    Each of the three products lost less than one unit an entry, and |chi_i| <= 1.
    """
    return len(theorem_rows(facts)) * facts.size**2


def theorem(
    known: Comparison,
    claim: tuple[Constraints, TheoremProof | None],
    bounds: Sequence[Fraction],
) -> Theorem:
    """Derive the theorem's numbers.

    Without a proof of its own the constant follows from the outputs' `bounds`. With one: |f|^2
    with f = F + rho, F the forms and |rho_i| <= r_i, is at most |F|^2 + sum (2 |F_i| + r_i) r_i.

    Raises:
        DualError: the data prove nothing.
    """
    constraints, proof = claim
    if proof is None:
        return _stated((0, 0, 0), sum((b * b for b in bounds), Fraction(0)), None)
    if min(proof.factors) < 0:
        raise DualError("a factor of the theorem is negative")
    facts = known.cone(constraints)
    matrix = theorem_objective(facts, proof.factors)
    main = cone.dual_bound(facts, matrix, proof.dual) * two_to(-cone.MULTIPLIER_BITS)
    rest = np.maximum(abs(facts.objective.lo), abs(facts.objective.hi)) + known.reference
    forms = known.ranges.layers[-1].out.e.magnitude + rest
    lost = theorem_lost(facts) + int(((2 * forms + rest) * rest).sum())
    return _stated(proof.factors, main + lost * two_to(-2 * facts.grid), proof)


def _stated(factors: Factors, constant: Fraction, proof: TheoremProof | None) -> Theorem:
    x1, x2, x = (decimal_above(Fraction(factor, 1 << GAMMA_BITS)) for factor in factors)
    return Theorem((x1, x2, x), decimal_above(max(constant, Fraction(0))), proof)


def output_bounds(
    known: Comparison, constraints: Constraints, sides: Sequence[SignedDual]
) -> tuple[Fraction, ...]:
    """Bound every output's difference: linear bounds, and the cone's where both signs are proven.

    Raises:
        DualError: the data prove nothing.
    """
    bounds = list(known.linear)
    if not sides:
        return tuple(bounds)
    facts = known.cone(constraints)
    for output, larger in kernel.larger_sides(facts, sides, len(bounds)).items():
        error = Fraction(int(known.reference[output]), 1 << GRID)
        bounds[output] = min(bounds[output], max(larger, Fraction(0)) + error)
    return tuple(bounds)


def differences(
    networks: tuple[Network, Network], x1: Sequence[Fraction], x2: Sequence[Fraction]
) -> tuple[Fraction, ...]:
    """Return how far apart every output is at one pair of inputs; where inexact, not more."""
    (lo1, hi1), (lo2, hi2) = (
        (low[0], high[0])
        for low, high in (
            ops.enclose(n, exact([list(x)])) for n, x in zip(networks, (x1, x2), strict=True)
        )
    )
    nothing = Fraction(0)
    return tuple(max(a - d, c - b, nothing) for a, b, c, d in zip(lo1, hi1, lo2, hi2, strict=True))


def apart(
    networks: tuple[Network, Network], x1: Sequence[Fraction], x2: Sequence[Fraction]
) -> Apart:
    """State the difference at one pair of inputs: a true one, whoever found it."""
    return Apart(tuple(x1), tuple(x2), decimal_below(max(differences(networks, x1, x2))))


def allowed(question: Question, x1: Sequence[Fraction], x2: Sequence[Fraction]) -> bool:
    """Whether a pair of inputs is one that the question is about."""
    inside = question.first.holds(x1) and question.second.holds(x2)
    if question.relation is Relation.INDEPENDENT or not inside:
        return inside
    reach = question.delta if question.relation is Relation.QUANTISED else Fraction(0)
    return len(x1) == len(x2) and all(abs(b - a) <= reach for a, b in zip(x1, x2, strict=True))


# --- the check -------------------------------------------------------------------------------


def check_similarity(networks: tuple[Network, Network], claim: Similarity) -> ProvenSimilarity:
    """Prove a claim again, from nothing but the two networks and its data.

    Raises:
        RefusedError: something does not hold; the text names it.
    """
    _require_models(networks, claim)
    known, _ = compare(networks, claim.question, lambda _a, _b: claim.places)
    if claim.sides or claim.theorem.proof is not None:
        _require_affordable(known, claim.constraints)
    try:
        bounds = output_bounds(known, claim.constraints, claim.sides)
        found = theorem(known, (claim.constraints, claim.theorem.proof), bounds)
    except DualError as problem:
        raise RefusedError(f"proof: {problem}") from problem
    per_output = tuple(decimal_above(b) for b in bounds)
    if claim.per_output != per_output:
        raise RefusedError(f"bound: stated {claim.per_output}, recomputed {per_output}")
    if claim.theorem.gammas != found.gammas:
        raise RefusedError(f"factors: stated {claim.theorem.gammas}, recomputed {found.gammas}")
    if claim.theorem.constant != found.constant:
        raise RefusedError(
            f"constant: stated {claim.theorem.constant}, recomputed {found.constant}"
        )
    proven = ProvenSimilarity(claim.question, found, per_output)
    _check_attack(networks, claim, proven)
    return proven


def _require_models(networks: tuple[Network, Network], claim: Similarity) -> None:
    both = zip(networks, claim.digests, claim.cuts, ("first", "second"), strict=True)
    for network, digest, cut, which in both:
        if network.source.sha256 != digest:
            raise RefusedError(f"{which} model: the claim is about another model file")
        if network.cut != cut:
            raise RefusedError(f"{which} model: the claim is about other outputs than its own")


def _require_affordable(known: Comparison, constraints: Constraints) -> None:
    if kernel.beyond_linear(known.pair):
        raise RefusedError("proof: the networks are too deep and wide for linear bounds")
    size = known.cone_size(constraints)
    if size > LARGEST_CONE:
        raise RefusedError(f"proof: a cone of {size} components is over {LARGEST_CONE}")


def theorem_value(
    proven: ProvenSimilarity, x1: Sequence[Fraction], x2: Sequence[Fraction]
) -> Fraction:
    """Return the theorem's right side at a pair of inputs."""
    gx1, gx2, gx = map(Fraction, proven.theorem.gammas)
    value = Fraction(proven.theorem.constant)
    for a, b in zip(x1, x2, strict=True):
        value += gx1 * a * a + gx2 * b * b + gx * (a - b) ** 2
    return value


def _check_attack(
    networks: tuple[Network, Network], claim: Similarity, proven: ProvenSimilarity
) -> None:
    attack = claim.attack
    if not allowed(claim.question, attack.x1, attack.x2):
        raise RefusedError("attack: its inputs are none that the claim is about")
    found = differences(networks, attack.x1, attack.x2)
    if decimal_below(max(found)) != attack.linf:
        raise RefusedError("attack: its difference is not what its inputs show")
    within = all(d <= Fraction(b) for d, b in zip(found, proven.per_output, strict=True))
    if not within or sum(d * d for d in found) > theorem_value(proven, attack.x1, attack.x2):
        raise RefusedError("attack: it exceeds the bound; please report this")
