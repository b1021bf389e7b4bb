"""No proven similarity is ever exceeded, and no changed claim is accepted.

Random pairs of networks are attacked by sampling; pairs with one equal input are compared with
their exact worst case. What is changed on purpose must be refused, with a seal that fits.
"""

import dataclasses
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import ops, proof
from qdeploy.certifier import similarity as search
from qdeploy.certifier.similarity import SimilarityRequest, Weights
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, Network, exact
from qdeploy.proof import alignment, cone, ranges
from qdeploy.proof import similarity as kernel
from qdeploy.proof.rounded import decimal_above
from qdeploy.proof.similarity import Constraints, Question, Relation, Similarity
from support.enumeration import breakpoints
from support.networks import build_network, paper_network
from support.pairs import random_inputs, random_pair

Pair = tuple[Network, Network]

PAIRS = 72
SAMPLES = 3000
UNIT = Box((Fraction(-1),), (Fraction(1),))
WEIGHTS = (Weights(), Weights(x=1.0), Weights(x1=0.5, x2=1.0), Weights(x=1 / 16, constant=1e6))


def proven_for(networks: Pair, question: Question, seed: int) -> proof.ProvenSimilarity:
    request = SimilarityRequest(
        WEIGHTS[seed % 4],
        time_limit=0.2,
        constraints=list(Constraints)[seed % 5 == 4],
        tries=400,
    )
    found = search.run(networks, question, request, lambda _: None)
    claim = proof.read_similarity(proof.write_similarity(found.claim))
    assert claim == found.claim
    return proof.check_similarity(networks, claim)


def excess(networks: Pair, proven: proof.ProvenSimilarity, x1: np.ndarray, x2: np.ndarray) -> float:
    """The largest violation of any statement at these inputs, relative to its size."""
    gap = ops.evaluate(networks[0], x1) - ops.evaluate(networks[1], x2)
    g1, g2, g = (float(v) for v in proven.theorem.gammas)
    right = g1 * (x1**2).sum(axis=1) + g2 * (x2**2).sum(axis=1) + g * ((x1 - x2) ** 2).sum(axis=1)
    right += float(proven.theorem.constant)
    over = (gap**2).sum(axis=1) - right
    bounds = np.array([float(b) for b in proven.per_output])
    return max(
        float((over / (1.0 + np.abs(right))).max()),
        float(((np.abs(gap) - bounds) / (1.0 + bounds)).max()),
    )


@pytest.mark.parametrize("chunk", range(12))
def test_samples_never_exceed_what_is_proven(chunk: int) -> None:
    for seed in range(chunk, PAIRS, 12):
        networks, question = random_pair(seed)
        proven = proven_for(networks, question, seed)
        x1, x2 = random_inputs(question, SAMPLES, seed)
        assert excess(networks, proven, x1, x2) < 1e-9, seed


def worst_apart(networks: Pair, box: Box) -> Fraction:
    """sup |f1(x) - f2(x)| over a one-input box: attained where one of them bends."""
    ends = (box.lo[0], box.hi[0])
    points = sorted({x for network in networks for x in breakpoints(network, *ends)})
    first, second = (ops.evaluate_exact(n, exact([[x] for x in points])) for n in networks)
    return max(abs(v) for v in (first - second).ravel())


CASES = [(0, 1), (1, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize("depths", CASES)
def test_equal_inputs_against_the_exact_worst_case(depths: tuple[int, int]) -> None:
    networks = (paper_network(4, depths[0]), paper_network(5, depths[1]))
    question = Question(UNIT, UNIT, Relation.EQUAL)
    request = SimilarityRequest(Weights(), time_limit=3.0, tries=400)
    found = search.run(networks, question, request, lambda _: None)
    proven = proof.check_similarity(networks, found.claim)
    worst = worst_apart(networks, UNIT)
    assert worst <= Fraction(proven.linf)
    assert worst**2 <= Fraction(proven.theorem.constant)
    assert proven.linf <= Decimal("1.05") * decimal_above(worst)


def test_a_network_is_similar_to_itself_and_to_its_permutation() -> None:
    rng = np.random.default_rng(3)
    w, c = rng.normal(size=(5, 2)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    v, b = rng.normal(size=(1, 5)).astype(np.float32), rng.normal(size=1).astype(np.float32)
    order = rng.permutation(5)
    networks = (
        build_network(2, [(w, c), "relu", (v, b)]),
        build_network(2, [(w[order], c[order]), "relu", (v[:, order], b)]),
    )
    box = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)
    request = SimilarityRequest(Weights(), tries=400)
    found = search.run(networks, Question(box, box, Relation.EQUAL), request, lambda _: None)
    assert proof.check_similarity(networks, found.claim).linf == 0


def test_our_facts_are_never_looser_than_the_papers() -> None:
    for seed in range(2):
        networks = (paper_network(seed, 1), paper_network(seed + 40, 1))
        question = Question(UNIT, UNIT, list(Relation)[seed % 2 and 2], Fraction(seed % 2, 8))
        bounds = []
        for constraints in Constraints:
            request = SimilarityRequest(Weights(x=1.0), constraints=constraints, tries=400)
            found = search.run(networks, question, request, lambda _: None)
            proven = proof.check_similarity(networks, found.claim)
            bounds.append(search.price_of(found.claim.theorem, request.weights))
            assert proven.theorem.constant == found.claim.theorem.constant
        assert bounds[0] <= bounds[1] * (1 + 1e-4)


# --- wrong on purpose ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks() -> Pair:
    return paper_network(1, 1), paper_network(2, 1)


@pytest.fixture(scope="module")
def claim(networks: Pair) -> Similarity:
    question = Question(UNIT, UNIT, Relation.QUANTISED, Fraction(1, 2))
    request = SimilarityRequest(Weights(x=0.01), tries=400)
    found = search.run(networks, question, request, lambda _: None).claim
    assert found.theorem.proof is not None
    assert found.theorem.gammas[2] > 0
    assert found.sides
    return found


def change(claim: Similarity, part: str, **fields: object) -> Similarity:
    return dataclasses.replace(claim, **{part: dataclasses.replace(getattr(claim, part), **fields)})


def change_dual(claim: Similarity, **fields: object) -> Similarity:
    proof_ = claim.theorem.proof
    dual = dataclasses.replace(proof_.dual, **fields)
    return change(claim, "theorem", proof=dataclasses.replace(proof_, dual=dual))


def change_factors(claim: Similarity, *factors: int) -> Similarity:
    proof_ = dataclasses.replace(claim.theorem.proof, factors=factors)
    gammas = tuple(decimal_above(Fraction(f, 1 << kernel.GAMMA_BITS)) for f in factors)
    return change(claim, "theorem", proof=proof_, gammas=tuple(map(abs, gammas)))


def third(claim: Similarity) -> int:
    return claim.theorem.proof.factors[2]


def flipped(products):
    """Use the largest multiplier for another product of forms."""
    largest = max(range(len(products)), key=lambda k: products[k][2])
    i, j, m = products[largest]
    return (*products[:largest], (1 if i != 1 else 2, j, m), *products[largest + 1 :])


def below(number: Decimal) -> Decimal:
    return number - Decimal((0, (1,), number.as_tuple().exponent))


def wider(box: Box) -> Box:
    return Box((Fraction(-5, 4),), box.hi)


MUTATIONS: dict[str, Callable[[Similarity], Similarity]] = {
    "a factor one unit of its last digit smaller": lambda c: change(
        c, "theorem", gammas=(*c.theorem.gammas[:2], below(c.theorem.gammas[2]))
    ),
    "a factor rounded to another number": lambda c: change(
        c,
        "theorem",
        proof=dataclasses.replace(c.theorem.proof, factors=(0, 0, third(c) - 1)),
    ),
    "a factor much smaller": lambda c: change_factors(c, 0, 0, third(c) // 2),
    "a factor left out": lambda c: change_factors(c, 0, 0, 0),
    "a negative factor": lambda c: change(
        c, "theorem", proof=dataclasses.replace(c.theorem.proof, factors=(-1, 0, third(c)))
    ),
    "a factor moved to another term": lambda c: change_factors(c, 0, third(c), 0),
    "a smaller constant": lambda c: change(c, "theorem", constant=below(c.theorem.constant)),
    "a larger constant": lambda c: change(c, "theorem", constant=c.theorem.constant * 2),
    "a bound one unit lower": lambda c: dataclasses.replace(
        c, per_output=tuple(below(b) for b in c.per_output)
    ),
    "no proof": lambda c: change(c, "theorem", proof=None),
    "a flipped constraint": lambda c: change_dual(
        c, products=flipped(c.theorem.proof.dual.products)
    ),
    "a negative multiplier": lambda c: change_dual(
        c, products=tuple((i, j, -m) for i, j, m in c.theorem.proof.dual.products)
    ),
    "an index beyond the facts": lambda c: change_dual(c, products=((0, 10_000, 1),)),
    "a negative tau": lambda c: change_dual(c, tau=-c.theorem.proof.dual.tau - 1),
    "a smaller t": lambda c: change_dual(c, t=c.theorem.proof.dual.t - (1 << 38)),
    "no sides": lambda c: dataclasses.replace(c, sides=()),
    "one side only": lambda c: dataclasses.replace(c, sides=c.sides[:1]),
    "a side twice": lambda c: dataclasses.replace(c, sides=(c.sides[0], *c.sides)),
    "the paper's facts instead": lambda c: dataclasses.replace(c, constraints=Constraints.PAPER),
    "a wider first region": lambda c: change(c, "question", first=wider(UNIT)),
    "a wider second region": lambda c: change(c, "question", second=wider(UNIT)),
    "inputs farther apart": lambda c: change(c, "question", delta=Fraction(3, 4)),
    "independent inputs": lambda c: change(
        c, "question", relation=Relation.INDEPENDENT, delta=Fraction(0)
    ),
    "another model": lambda c: dataclasses.replace(c, digests=("1" * 64, c.digests[1])),
    "an end that the model has not": lambda c: dataclasses.replace(c, cuts=(("Softmax 'p'",), ())),
    "a neuron placed twice": lambda c: dataclasses.replace(c, places=((0,) * 10,)),
    "a neuron placed outside": lambda c: dataclasses.replace(c, places=((99, *range(1, 10)),)),
    "places for another depth": lambda c: dataclasses.replace(c, places=()),
    "an attack outside the region": lambda c: change(c, "attack", x1=(Fraction(2),)),
    "an attack off the relation": lambda c: change(
        c, "attack", x1=(Fraction(-1),), x2=(Fraction(1),)
    ),
    "an attack that claims more": lambda c: change(c, "attack", linf=c.attack.linf * 2),
}


def test_what_was_found_is_accepted(networks: Pair, claim: Similarity) -> None:
    proven = proof.check_similarity(networks, claim)
    assert proven.theorem.constant == claim.theorem.constant
    assert claim.attack.linf <= proven.linf


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_claim_is_refused(networks: Pair, claim: Similarity, name: str) -> None:
    changed = MUTATIONS[name](claim)
    assert changed != claim
    with pytest.raises(RefusedError):
        proof.check_similarity(networks, changed)


def test_the_claim_names_each_models_own_end(networks: Pair, claim: Similarity) -> None:
    cut = ("Softmax 'p'", "ArgMax 'label'")
    models = (networks[0], dataclasses.replace(networks[1], cut=cut))
    known = dataclasses.replace(claim, cuts=((), cut))
    text = proof.write_similarity(known)
    assert proof.read_similarity(text) == known
    assert b"Of the second model: Nodes at the end" in text
    assert not re.search(rb"\bcut\b", proof.write_similarity(claim))
    proof.check_similarity(models, known)
    for cuts in (((), ()), ((), cut[:1]), (cut, cut), (cut, ())):
        with pytest.raises(RefusedError, match="model: the claim is about other outputs"):
            proof.check_similarity(models, dataclasses.replace(claim, cuts=cuts))


def test_exchanged_networks_are_refused(networks: Pair, claim: Similarity) -> None:
    second, first = networks
    renamed = (
        dataclasses.replace(first, source=networks[0].source),
        dataclasses.replace(second, source=networks[1].source),
    )
    with pytest.raises(RefusedError):
        proof.check_similarity(renamed, claim)


def test_disjoint_quantised_regions_are_refused(networks: Pair) -> None:
    far = Box((Fraction(3),), (Fraction(4),))
    question = Question(UNIT, far, Relation.QUANTISED, Fraction(1, 8))
    with pytest.raises(RefusedError, match="no input of the second region"):
        search.run(networks, question, SimilarityRequest(Weights()), lambda _: None)


def test_a_claim_for_a_great_cone_is_refused_before_it_is_built(
    networks: Pair, claim: Similarity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "LARGEST_CONE", 5)
    monkeypatch.setattr(cone, "build", None)
    with pytest.raises(RefusedError, match="over 5"):
        proof.check_similarity(networks, claim)


def broken_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer without ReLU whose value is not moved above zero."""
    monkeypatch.setattr(
        alignment, "_whole_below", lambda network, count, box: exact([0] * _width(network, count))
    )


def _width(network: Network, count: int) -> int:
    return network.tensor(network.nodes[count - 1].output).size


def broken_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters on a coarse grid, and nothing counted for it."""
    original = alignment.nearest

    def coarse(parameter, grid):
        raw, _ = original(parameter, grid)
        return (raw >> 62) << 62, False

    monkeypatch.setattr(alignment, "nearest", coarse)


def broken_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair of inputs taken for a pair of equal ones."""
    original = kernel._entering

    def equal(question):
        return original(dataclasses.replace(question, relation=Relation.EQUAL))

    monkeypatch.setattr(kernel, "_entering", equal)


def broken_enclosure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear bounds that forget half the width of what they enclose."""
    original = ranges.enclose

    def narrow(pair, entering, *, use_linear):
        found = original(pair, entering, use_linear=use_linear)
        last = found.layers[-1]
        e = dataclasses.replace(last.out.e, lo=last.out.e.lo >> 1, hi=last.out.e.hi >> 1)
        out = dataclasses.replace(last.out, e=e)
        layers = (*found.layers[:-1], dataclasses.replace(last, out=out))
        return dataclasses.replace(found, layers=layers)

    monkeypatch.setattr(kernel, "enclose", narrow)


BROKEN = [broken_shift, broken_parameters, broken_relation, broken_enclosure]


@pytest.mark.parametrize("damage", BROKEN)
def test_sampling_notices_a_broken_kernel(
    damage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch)
    assert any(map(notices, range(30)))


def notices(seed: int) -> bool:
    """Whether a pair is refused, or samples exceed what is proven about it."""
    networks, question = random_pair(seed)
    x1, x2 = random_inputs(question, SAMPLES, seed)
    request = SimilarityRequest(Weights(), time_limit=1e-6, tries=400)
    try:
        found = search.run(networks, question, request, lambda _: None)
        proven = proof.check_similarity(networks, found.claim)
    except RefusedError:
        return True
    return excess(networks, proven, x1, x2) > 1e-9


def test_outputs_of_any_size_are_bounded() -> None:
    """Six layers that multiply by the largest doubles: the outputs have 5000 bits."""
    large = (np.array([[1.7e308]]), np.array([0.0]))
    networks = tuple(
        build_network(1, [(np.array([[w]]), np.array([0.0])), *(["relu", large] * 5)])
        for w in (0.0, 1.0)
    )
    box = Box((Fraction(0),), (Fraction(1),))
    question = Question(box, box, Relation.EQUAL)
    known, _ = kernel.compare(networks, question, lambda _, second: ((0,),) * (len(second) - 1))
    (difference,) = kernel.differences(networks, box.hi, box.hi)
    assert difference <= known.linear[0]


def test_three_factors_may_each_lose_a_unit(networks: Pair, claim: Similarity) -> None:
    """The constant covers what all three products lost when they were brought onto the grid."""
    known, _ = kernel.compare(networks, claim.question, lambda _a, _b: claim.places)
    facts = known.cone(claim.constraints)
    odd = np.random.default_rng(0).integers(1 << 40, 1 << 60, facts.entering[0].rows.shape) | 1
    entering = tuple(dataclasses.replace(f, rows=odd.astype(object)) for f in facts.entering)
    facts = dataclasses.replace(facts, entering=entering)
    factors = ((1 << 38) - 1, (1 << 37) - 1, (1 << 36) - 1)
    matrix = kernel.theorem_objective(facts, factors)
    unit = 1 << kernel.GAMMA_BITS
    exactly = cone.square_objective(facts.objective.rows) * unit
    for factor, rows in zip(factors, kernel.theorem_rows(facts), strict=True):
        exactly = exactly - cone.square_objective(rows) * factor
    lost = int(abs(matrix * unit - exactly).sum())
    assert lost <= kernel.theorem_lost(facts) * unit
