"""The search for the factors of Theorem 1, and for bounds on two networks' difference.

The factors are linear in the semidefinite program: they are multipliers with a price, of matrices
that may be added to the objective. What comes back is rounded, the objective is fixed with it, and
`qdeploy.proof.similarity` derives the constant that then holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier import apart, paper, semidefinite
from qdeploy.certifier.semidefinite import Offer
from qdeploy.certifier.solvers import ConicProblem, Solver, known_solvers
from qdeploy.ir import Network
from qdeploy.proof import cone, kernel, placing, similarity
from qdeploy.proof.alignment import Step
from qdeploy.proof.certificate import SignedDual
from qdeploy.proof.pair import MismatchError
from qdeploy.proof.paper import covers
from qdeploy.proof.placing import Places
from qdeploy.proof.rounded import decimal_above
from qdeploy.proof.similarity import (
    Comparison,
    Constraints,
    Question,
    Similarity,
    Theorem,
    TheoremProof,
    output_bounds,
    theorem,
)

_LARGEST_CONE = 200
_PLAIN = (0, 0, 0)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Weights:
    """What the search minimises: a price for each factor, and for the constant."""

    x1: float = 0.0
    x2: float = 0.0
    x: float = 0.0
    constant: float = 1.0
    """Positive. A factor with weight 0 is left out: it is 0."""

    @property
    def factors(self) -> tuple[float, float, float]:
        """The weights of the three factors."""
        return self.x1, self.x2, self.x


@dataclass(frozen=True, slots=True)
class SimilarityRequest:
    """How to search."""

    weights: Weights
    time_limit: float = 30.0
    """Predicted seconds for all cones together."""
    constraints: Constraints = Constraints.OURS
    tries: int = 40_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A claim, and in words what was not tried."""

    claim: Similarity
    note: str = ""


def run(
    networks: tuple[Network, Network],
    question: Question,
    request: SimilarityRequest,
    progress: Progress,
) -> Found:
    """Find and prove how similar two networks are.

    Raises:
        RefusedError: they cannot be compared.
    """
    progress("putting the networks side by side")
    known, places = similarity.compare(networks, question, match)
    progress("searching for the largest difference")
    attack = apart.search(networks, question, request.tries, request.seed)
    plan, note = _plan(known, request)
    sides, proof = _cones(known, request, plan, progress)
    bounds = output_bounds(known, request.constraints, sides)
    claim = Similarity(
        names=(networks[0].source.name, networks[1].source.name),
        digests=(networks[0].source.sha256, networks[1].source.sha256),
        cuts=(networks[0].cut, networks[1].cut),
        question=question,
        places=places,
        constraints=request.constraints,
        sides=sides,
        theorem=_better(known, request, proof, bounds),
        per_output=tuple(decimal_above(b) for b in bounds),
        attack=attack,
    )
    return Found(claim, note)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which cones are worth their time."""

    theorem: bool
    outputs: int


def _plan(known: Comparison, request: SimilarityRequest) -> tuple[_Plan, str]:
    """Predict what every cone takes, and choose those that fit the time limit."""
    nothing, outputs = _Plan(theorem=False, outputs=0), len(known.linear)
    if why := _impossible(known, request):
        return nothing, why
    size = known.cone_size(request.constraints)
    price = semidefinite.predicted_seconds(size, 2 * size)
    if size <= _LARGEST_CONE and price <= request.time_limit:
        # Every component has two sides, so this much was known before the cone is built.
        price = semidefinite.predicted_seconds(
            size, semidefinite.multiplied_forms(known.cone(request.constraints))
        )
    if size > _LARGEST_CONE or price > request.time_limit:
        return nothing, (
            f"a cone of {size} variables would take about {price:.0f} s: not tried; give a longer "
            "--time-limit, or a smaller region"
        )
    if request.constraints is Constraints.PAPER:
        return _Plan(theorem=True, outputs=0), ""
    # With one output and no factors its two sides say all that the theorem could.
    wanted = any(request.weights.factors) or outputs > 1
    affordable = min(outputs, int((request.time_limit - wanted * price) / (2 * price)))
    short = f"cones for {affordable} of {outputs} outputs fit the time limit"
    return _Plan(wanted or affordable == 0, affordable), short if affordable < outputs else ""


def _impossible(known: Comparison, request: SimilarityRequest) -> str:
    if kernel.beyond_linear(known.pair):
        return "too deep and wide for linear bounds: intervals only, no cone"
    if request.constraints is Constraints.PAPER and not covers(known.pair):
        return "the paper's constraints are about ReLUs: no cone"
    return ""


def _cones(
    known: Comparison, request: SimilarityRequest, plan: _Plan, progress: Progress
) -> tuple[tuple[SignedDual, ...], TheoremProof | None]:
    offered = _offer(known, request.constraints) if plan.theorem or plan.outputs else None
    if offered is None:
        return (), None
    solver, proof = known_solvers()["clarabel"], None
    if plan.theorem:
        progress(f"semidefinite bound of the theorem, {offered.facts.cone.size} variables")
        proof = prove_theorem(offered, solver, request.weights)
    sides: list[SignedDual] = []
    for output in range(plan.outputs):
        progress(f"semidefinite bound of output {output + 1} of {plan.outputs}")
        both = [semidefinite.prove_side(offered.facts, solver, output, s) for s in (1, -1)]
        sides += [side for side in both if side is not None and None not in both]
    return tuple(sides), proof


def _offer(known: Comparison, constraints: Constraints) -> Offer | None:
    if constraints is Constraints.PAPER:
        return paper.offer(known.cone(constraints))
    facts = semidefinite.offer(known.cone(constraints))
    return None if facts is None else semidefinite.directly(facts)


def prove_theorem(offered: Offer, solver: Solver, weights: Weights) -> TheoremProof | None:
    """Ask for the cheapest factors and constant; None where the answer proves nothing."""
    facts = offered.facts
    used = [k for k, weight in enumerate(weights.factors) if weight > 0]
    columns, prices, norms = _factors(offered, weights, used)
    plain = similarity.theorem_objective(facts.cone, _PLAIN)
    target = semidefinite.flattened(plain, facts.cone.grid)
    unit = 2.0 ** int(np.frexp(np.abs(target).max(initial=0.0))[1])
    candidate = solver.solve(ConicProblem(facts.cone.size, target / unit, columns, prices))
    if candidate is None:
        return None
    split = offered.columns.shape[1]
    factors = np.maximum(candidate.multipliers[split:], 0.0) * unit / norms
    rounded = [0, 0, 0]
    for k, value in zip(used, factors.tolist(), strict=True):
        rounded[k] = int(Fraction(value) * (1 << similarity.GAMMA_BITS)) + 1
    stated = (rounded[0], rounded[1], rounded[2])
    found = replace(
        candidate,
        t=candidate.t * unit,
        multipliers=offered.expand(candidate.multipliers[:split]) * unit,
    )
    objective = similarity.theorem_objective(facts.cone, stated)
    dual = semidefinite.repair(facts, objective, found)
    return None if dual is None else TheoremProof(stated, dual)


def _factors(
    offered: Offer, weights: Weights, used: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return all columns, their prices relative to the constant's, and the factors' norms."""
    grid = offered.facts.cone.grid
    rows = similarity.theorem_rows(offered.facts.cone)
    squares = [semidefinite.flattened(cone.square_objective(rows[k]), grid) for k in used]
    norms = np.array([max(float(np.linalg.norm(s)), 1e-12) for s in squares])
    count = offered.columns.shape[1]
    prices = np.zeros(count + len(used))
    for place, k in enumerate(used):
        prices[count + place] = weights.factors[k] / weights.constant / norms[place]
    more = [-square[:, None] / norm for square, norm in zip(squares, norms, strict=True)]
    return np.concatenate([offered.columns, *more], axis=1), prices, norms


def _better(
    known: Comparison,
    request: SimilarityRequest,
    proof: TheoremProof | None,
    bounds: Sequence[Fraction],
) -> Theorem:
    """Return the theorem as the proof gives it, or as the outputs' bounds do if that is better."""
    proofs = (None,) if proof is None else (proof, None)
    found = [theorem(known, (request.constraints, p), bounds) for p in proofs]
    return min(found, key=lambda t: price_of(t, request.weights))


def price_of(found: Theorem, weights: Weights) -> float:
    """Return what the search minimises."""
    paid = sum(w * float(g) for w, g in zip(weights.factors, found.gammas, strict=True))
    return paid + weights.constant * float(found.constant)


# --- which neuron beside which ---------------------------------------------------------------


def place(network: Network, deployed: Network) -> Places | None:
    """Place the neurons of a network that is deployed in the place of another one.

    None: they stand where they are, in layers of equal width.

    Raises:
        MismatchError: one has fewer layers, and they cannot be made equally many.
    """
    counts = [len(placing.widths_of(n)) for n in (network, deployed)]
    first = _dense_steps(placing.repeated(network, counts[1] - counts[0]))
    second = _dense_steps(placing.repeated(deployed, counts[0] - counts[1]))
    if not first or not second:
        raise MismatchError("one side has no dense layer")
    if first[0].weight.shape[1] != second[0].weight.shape[1]:
        raise MismatchError("they differ in the number of inputs")
    if first[-1].width != second[-1].width:
        raise MismatchError("they differ in the number of outputs")
    places = match(first, second)
    natural = tuple(tuple(range(layer.width)) for layer in first[:-1])
    return None if counts[0] == counts[1] and places == natural else places


def _dense_steps(network: Network) -> list[Step]:
    return [
        Step(node.parameters["weight"], node.parameters["bias"], None, 0)
        for node in network.nodes
        if node.op == "dense"
    ]


def match(first: list[Step], second: list[Step]) -> Places:
    """Place every neuron of the second network beside the one of the first most like it."""
    places: list[tuple[int, ...]] = []
    before = tuple(range(second[0].weight.shape[1]))
    for a, b in zip(first[:-1], second[:-1], strict=True):
        before = _placed(_rows(a, tuple(range(a.weight.shape[1]))), _rows(b, before))
        places.append(before)
    return tuple(places)


def _rows(layer: Step, columns: Sequence[int]) -> NDArray[np.float64]:
    """Return weights and bias of every neuron, the weights in their places."""
    rows = np.zeros((layer.width, max(columns) + 2))
    rows[:, 0] = layer.bias.astype(np.float64)
    rows[:, [1 + c for c in columns]] = layer.weight.astype(np.float64)
    return rows


def _placed(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[int, ...]:
    """Give every row of `second` a place of its own: the closest ones first, then what is free."""
    width = max(first.shape[1], second.shape[1])
    a, b = (np.pad(m, ((0, 0), (0, width - m.shape[1]))) for m in (first, second))
    apart_ = (a**2).sum(axis=1)[None] + (b**2).sum(axis=1)[:, None] - 2.0 * b @ a.T
    place: dict[int, int] = {}
    taken: set[int] = set()
    for flat in np.argsort(np.round(apart_, 9), axis=None, kind="stable").tolist():
        neuron, row = divmod(flat, len(a))
        if neuron not in place and row not in taken:
            place[neuron] = row
            taken.add(row)
    free = iter(r for r in range(max(len(a), len(b))) if r not in taken)
    return tuple(place[j] if j in place else next(free) for j in range(len(b)))
