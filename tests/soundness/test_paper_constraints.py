"""The paper's constraint set as a bound method: sound in every rounding, checked like ours."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest, similarity
from qdeploy.certifier import paper as search
from qdeploy.certifier.attack import attack
from qdeploy.certifier.methods import known_methods
from qdeploy.certifier.solvers import known_solvers
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, Network, QuantizeRequest
from qdeploy.proof import kernel, paper
from qdeploy.proof.certificate import Certificate, ConePart, Part
from qdeploy.proof.similarity import Constraints, Question, Relation
from support.enumeration import worst_deviation
from support.networks import build_network, paper_network, random_network, random_request

UNIT = Box((Fraction(-1),), (Fraction(1),))
SPEND = CertifyRequest(work=5.0, attack_budget=300, methods=frozenset({"sdp_paper"}))


def paper_part(certificate: Certificate) -> Part | None:
    parts = [p for p in certificate.regions[0].parts if p.method == "sdp-paper"]
    return parts[0] if parts else None


def certified(network: Network, request: QuantizeRequest) -> tuple[Certificate, Fraction]:
    """A certificate with the part alone beside the cheap ones, and its own bound."""
    program = quantize.run(network, request)
    known = kernel.analysis(network, program, request.regions[0])
    data = search.prove(known.paper_cone, known_solvers()["clarabel"])
    assert data is not None
    part = kernel.prove_part(known, "sdp-paper", data)
    cheap = kernel.prove_part(known, "interval", None)
    found = attack(network, program, request.regions[0], budget=300, seed=0)
    witness = kernel.witness(network, program, found.x)
    claim = kernel.combine(request.regions[0], [cheap, part], witness)
    source = network.source
    return Certificate(source.name, source.sha256, program, (claim,)), Fraction(part.l2)


def one_input(rounding: Rounding, activations: QFormat | Activations) -> QuantizeRequest:
    fmt = QFormat(8, 3)
    return QuantizeRequest(
        (UNIT,),
        weights=fmt,
        biases=fmt,
        input_format=fmt,
        activations=activations,
        rounding=rounding,
        quantizer=rounding,
    )


@pytest.mark.parametrize("activations", [Activations.EXACT, QFormat(6, 2), QFormat(3, 3)])
@pytest.mark.parametrize("rounding", Rounding)
def test_the_exact_worst_case_is_never_above(
    rounding: Rounding, activations: QFormat | Activations
) -> None:
    for seed in range(2):
        network = paper_network(seed, 1)
        certificate, bound = certified(network, one_input(rounding, activations))
        (worst,) = worst_deviation(network, certificate.program, UNIT)
        assert worst <= bound
        again = proof.read(proof.write(proof.attest(certificate))).certificate
        proof.check(network, again)


def test_attacks_on_random_programs_never_exceed_it() -> None:
    tried = 0
    for seed in range(45):
        network = random_network(seed)
        if sum(t.size for t in network.tensors) > 16:
            continue
        request = random_request(seed, network)
        certificate, bound = certified(network, request)
        found = attack(network, certificate.program, request.regions[0], budget=3000, seed=seed)
        assert found.linf <= bound, seed
        tried += 1
    assert tried >= 5


@pytest.fixture(scope="module")
def found() -> tuple[Network, Certificate]:
    network = paper_network(3, 1)
    return network, certified(network, one_input(Rounding.TRUNC, Activations.EXACT))[0]


def with_part(certificate: Certificate, **fields: object) -> Certificate:
    claim = certificate.regions[0]
    part = dataclasses.replace(paper_part(certificate), **fields)
    claim = dataclasses.replace(claim, parts=(claim.parts[0], part))
    return dataclasses.replace(certificate, regions=(claim,))


def with_dual(certificate: Certificate, **fields: object) -> Certificate:
    data = paper_part(certificate).data
    return with_part(
        certificate, data=dataclasses.replace(data, norm=dataclasses.replace(data.norm, **fields))
    )


def largest_elsewhere(products: tuple[tuple[int, int, int], ...]):
    k = max(range(len(products)), key=lambda k: products[k][2])
    i, j, m = products[k]
    return (*products[:k], (1 if i != 1 else 2, j, m), *products[k + 1 :])


WRONG = {
    "our own facts under their name": lambda c: with_part(c, method="sdp"),
    "no proof": lambda c: with_part(c, data=ConePart(slacks=False, sides=(), norm=None)),
    "slacks as variables": lambda c: with_part(
        c, data=dataclasses.replace(paper_part(c).data, slacks=True)
    ),
    "a flipped constraint": lambda c: with_dual(
        c, products=largest_elsewhere(paper_part(c).data.norm.products)
    ),
    "a negative multiplier": lambda c: with_dual(
        c, products=tuple((i, j, -m) for i, j, m in paper_part(c).data.norm.products)
    ),
    "a smaller t": lambda c: with_dual(c, t=paper_part(c).data.norm.t // 2),
}


def test_the_part_itself_is_accepted(found: tuple[Network, Certificate]) -> None:
    proof.check(*found)


@pytest.mark.parametrize("name", WRONG)
def test_a_changed_part_is_refused(found: tuple[Network, Certificate], name: str) -> None:
    network, certificate = found
    with pytest.raises(RefusedError, match=r"sdp|method"):
        proof.check(network, WRONG[name](certificate))


def test_a_forgotten_slack_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the residuals of hidden rounding the exact worst case exceeds what is 'proven'."""
    original = paper._residual

    def nothing(r, size):
        return original(dataclasses.replace(r, lo=r.lo * 0, hi=r.hi * 0), size)

    monkeypatch.setattr(paper, "_residual", nothing)
    request = one_input(Rounding.FLOOR, QFormat(6, 0))
    exceeded = False
    for seed in range(4):
        network = paper_network(seed, 1)
        certificate, bound = certified(network, request)
        (worst,) = worst_deviation(network, certificate.program, UNIT)
        exceeded |= worst > bound
    assert exceeded


def test_it_is_used_only_when_it_is_named() -> None:
    network = paper_network(0, 1)
    program = quantize.run(network, one_input(Rounding.TRUNC, Activations.EXACT))
    for methods, there in ((None, False), (SPEND.methods, True)):
        request = dataclasses.replace(SPEND, methods=methods, work=1.0)
        region = certifier.run(network, program, (UNIT,), request).regions[0]
        known = known_methods()["sdp_paper"]
        assert known.survey(kernel.analysis(network, program, UNIT)) is not None
        named = any(p.method == "sdp-paper" for p in region.parts)
        assert named is there


def test_other_activations_are_not_its_business() -> None:
    w = np.ones((2, 1), dtype=np.float32)
    network = build_network(1, [(w, w[:, 0]), "tanh", (w.T, w[:1, 0])])
    question = Question(UNIT, UNIT, Relation.INDEPENDENT)
    request = similarity.SimilarityRequest(
        similarity.Weights(), constraints=Constraints.PAPER, tries=100
    )
    found = similarity.run((network, network), question, request, lambda _: None)
    assert found.note == "the paper's constraints are about ReLUs: no cone"
    proof.check_similarity((network, network), found.claim)
