"""Where a deviation comes from: shares that add up, and name a source only where there is one."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.certifier.explain import (
    INPUT,
    PRUNING,
    RELAXATION,
    ROUNDING,
    SATURATION,
    SOURCES,
    WEIGHTS,
    explain,
)
from qdeploy.fixedpoint import QFormat
from qdeploy.ir import Activations, Box, QuantizeRequest
from support.networks import build_network, paper_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
EXACT = QuantizeRequest((UNIT_BOX,), weights=QFormat(3, 8), activations=Activations.EXACT)
LAYERS = [
    (np.float32([[0.75], [-1.25]]), np.float32([0.5, 0.25])),
    "relu",
    (np.float32([[1.5, -0.5]]), np.float32([0.0])),
]


def shares(network, request, program=None):
    program = program or quantize.run(network, request)
    claim = certifier.run(network, program, (UNIT_BOX,), CertifyRequest(work=1.0)).regions[0]
    explanation = explain(network, program, claim)
    assert sum(s.share for s in explanation.shares) == pytest.approx(1.0)
    assert {s.source for s in explanation.shares} <= set(SOURCES)
    found = dict.fromkeys(SOURCES, 0.0)
    for share in explanation.shares:
        found[share.source] += share.share
    return found


def test_with_exact_parameters_and_activations_only_the_input_is_left():
    found = shares(build_network(1, LAYERS), replace(EXACT, input_format=QFormat(2, 6)))
    assert found[INPUT] + found[RELAXATION] == pytest.approx(1.0)
    assert found[INPUT] > 0.5


def test_coarse_weights_are_named():
    request = replace(EXACT, weights=QFormat(3, 0), input_format=QFormat(2, 10))
    found = shares(build_network(1, LAYERS), request)
    assert max(found, key=found.get) == WEIGHTS


def test_coarse_activations_are_named():
    request = replace(EXACT, activations=QFormat(4, 1), input_format=QFormat(2, 10))
    found = shares(build_network(1, LAYERS), request)
    assert max(found, key=found.get) == ROUNDING
    assert found[SATURATION] == 0


def test_tuned_slopes_are_followed_in_the_leaf_that_decides():
    network = wide_network()
    box = Box((Fraction(-1),) * 3, (Fraction(1),) * 3)
    coarse = QuantizeRequest((box,), weights=QFormat(3, 20), activations=QFormat(4, 3))
    program = quantize.run(network, replace(coarse, input_format=QFormat(2, 12)))
    spend = CertifyRequest(work=2.0, methods=frozenset({"tuned"}))
    (claim,) = certifier.run(network, program, (box,), spend).regions
    assert claim.parts[-1].method == "tuned"
    found = explain(network, program, claim)
    by_source = {share.source: 0.0 for share in found.shares}
    for share in found.shares:
        by_source[share.source] += share.share
    assert sum(by_source.values()) == pytest.approx(1.0)
    assert by_source[ROUNDING] > 0.4
    assert by_source.get(WEIGHTS, 0.0) < 0.01
    lines = explain(network, program, replace(claim, parts=claim.parts[:-1]))
    assert by_source[RELAXATION] > sum(s.share for s in lines.shares if s.source == RELAXATION)


def wide_network():
    rng = np.random.default_rng(2)
    steps = []
    for before, after in ((3, 12), (12, 12), (12, 2)):
        weight = (rng.normal(size=(after, before)) / before**0.5).astype(np.float32)
        steps += [(weight, rng.normal(size=after).astype(np.float32) / 4), "relu"]
    return build_network(3, steps[:-1])


def test_a_format_that_is_too_small_saturates():
    request = replace(EXACT, activations=QFormat(0, 8), input_format=QFormat(2, 10))
    found = shares(build_network(1, LAYERS), request)
    assert max(found, key=found.get) == SATURATION


def test_a_weight_that_somebody_removed_is_pruning():
    network = build_network(1, LAYERS)
    thinner = [(np.float32([[0.75], [0.0]]), np.float32([0.5, 0.25])), *LAYERS[1:]]
    program = quantize.run(build_network(1, thinner), replace(EXACT, input_format=QFormat(2, 10)))
    found = shares(network, EXACT, program)
    named = {source: share for source, share in found.items() if source != RELAXATION}
    assert max(named, key=named.get) == PRUNING
    assert named[PRUNING] > 0.25


@pytest.mark.parametrize("gone", [0, 1])
def test_a_neuron_that_is_gone_is_pruning_folded_or_not(gone):
    """Its weights, its column, and what a bias holds instead of it."""
    steady = [(np.float32([[0.75], [0.5]]), np.float32([0.75, 0.5])), "relu", LAYERS[2]]
    network = build_network(1, steady)
    stays = 1 - gone
    for middle in (0.0, 0.5):
        weight, leaving = np.float32([[0.75], [0.5]])[[stays]], LAYERS[2][0][:, [stays]]
        bias = np.float32([LAYERS[2][0][0, gone] * middle])
        thinner = [(weight, np.float32([[0.75, 0.5][stays]])), "relu", (leaving, bias)]
        small = quantize.run(build_network(1, thinner), replace(EXACT, input_format=QFormat(2, 10)))
        found = shares(*side_by_side(network, EXACT, small, ((stays,),)))
        named = {source: share for source, share in found.items() if source != RELAXATION}
        assert max(named, key=named.get) == PRUNING
        assert named[PRUNING] > 0.9
        assert named[WEIGHTS] == 0


def side_by_side(network, request, program, places):
    wide = proof.side_by_side(network, program, places)
    return wide[0], request, wide[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_piece_that_decides_a_split_is_explained(seed):
    request = QuantizeRequest((UNIT_BOX,), weights=QFormat(8, 3), input_format=QFormat(2, 3))
    found = shares(paper_network(seed, 2), request)
    assert found[WEIGHTS] > 0
