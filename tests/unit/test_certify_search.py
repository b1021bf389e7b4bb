"""The search: cheap methods always, dear ones only where they pay and can be afforded."""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.ir import Box, Network, QuantizeRequest
from support.networks import Act, Layer, build_network, paper_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))


def methods(network: Network, request: CertifyRequest, bits: int = 8) -> list[str]:
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=bits))
    certificate = certifier.run(network, program, (UNIT_BOX,), request)
    assert proof.check(network, certificate)
    return [part.method for part in certificate.regions[0].parts]


def test_without_time_only_the_free_methods_run() -> None:
    found = methods(paper_network(0, 2), CertifyRequest(work=0.0))
    assert found == ["recursion", "interval", "linear"]


@pytest.mark.parametrize("name", ["split", "sdp"])
def test_a_method_can_be_asked_for_alone(name: str) -> None:
    request = CertifyRequest(work=60.0, methods=frozenset({name}))
    assert methods(paper_network(3, 1), request) == ["recursion", "interval", "linear", name]


def test_a_tight_bound_ends_the_search() -> None:
    """Splitting closes the gap, so no cone is posed."""
    assert "sdp" not in methods(paper_network(3, 1), CertifyRequest())


def test_hundreds_of_layers_get_intervals_and_no_hang() -> None:
    one = (np.float32([[1.0]]), np.float32([0.0]))
    steps = [step for _ in range(1300) for step in (one, "relu")]
    found = methods(build_network(1, steps), CertifyRequest(attack_budget=50))
    assert found == ["recursion", "interval"]


def test_equal_requests_give_equal_certificates() -> None:
    network = paper_network(1, 2)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=10))
    texts = {
        proof.write(proof.attest(certifier.run(network, program, (UNIT_BOX,), CertifyRequest())))
        for _ in range(2)
    }
    assert len(texts) == 1


@pytest.mark.parametrize("size", [1e10, 1e20, 1e60])
def test_huge_boxes_are_certified_without_a_crash(size: float) -> None:
    network = paper_network(2, 2)
    box = Box((Fraction(-size),), (Fraction(size),))
    program = quantize.run(network, QuantizeRequest((box,), bits=16))
    spend = CertifyRequest(work=0.5)
    assert proof.check(network, certifier.run(network, program, (box,), spend))


def test_splitting_goes_on_where_the_bound_cannot_show_yet_that_it_pays() -> None:
    """The output's range is [-1, 1]; so steep a network keeps 2 for over 600 boxes."""
    rng = np.random.default_rng(6)
    steps: list[Layer | str | Act] = []
    for before, after, steepness in ((2, 6, 5.0), (6, 6, 9.0), (6, 1, 9.0)):
        weight = rng.normal(size=(after, before)) * steepness / np.sqrt(before)
        bias = rng.normal(size=after) * 0.3
        steps += [(weight.astype(np.float32), bias.astype(np.float32)), "tanh"]
    network = build_network(2, steps)
    box = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)
    program = quantize.run(network, QuantizeRequest((box,), bits=10))
    spend = CertifyRequest(work=0.7, attack_budget=2000, methods=frozenset({"split"}))
    assert certifier.run(network, program, (box,), spend).regions[0].linf < 1.5
