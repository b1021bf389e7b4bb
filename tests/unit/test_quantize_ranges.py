"""Formats of deep networks leave steps for what occurs; what lies beyond is in the bound."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from qdeploy import certifier, ops, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.fixedpoint import encode
from qdeploy.ir import FixedNetwork, Network, QuantizeRequest, Ranges, program_digest
from support.networks import build_network, centred_box, chain
from support.slow import quantised, run_slowly, some_inputs

SIZE = 8
REGION = centred_box(SIZE)
THIRTY = (SIZE,) * 31
"""Widths; what intervals and lines prove grows in it by far more than what occurs."""
NOTE = "activations hold twice what sampled inputs reach"
INPUTS = np.random.default_rng(3).uniform(-1, 1, (1000, SIZE))


@cache
def deep() -> Network:
    return chain(THIRTY, bias=0.1)


@cache
def quantised_as(ranges: Ranges) -> FixedNetwork:
    """Thirty layers, with default options otherwise, but for pieces of what is proven anyway."""
    work = 0.5 if ranges is Ranges.PROVEN else 5.0
    return quantize.run(deep(), QuantizeRequest((REGION,), ranges=ranges, work=work))


def outputs(program: FixedNetwork, x: np.ndarray) -> np.ndarray:
    return ops.execute(program, encode(x, program.input.format, program.input.rounding))


def deviation(network: Network, program: FixedNetwork, x: np.ndarray) -> float:
    device = outputs(program, x) * float(program.output.format.step)
    return float(abs(ops.evaluate(network, x) - device).max())


# --- the device ------------------------------------------------------------------------------


def test_a_deep_network_computes_more_than_noise() -> None:
    program = quantised_as(Ranges.AUTO)
    assert deviation(deep(), program, INPUTS) < 0.01
    assert len(np.unique(outputs(program, INPUTS))) >= 64


def test_ranges_that_are_proven_leave_it_hardly_a_step() -> None:
    """So `auto` does not take them."""
    program = quantised_as(Ranges.PROVEN)
    assert len(np.unique(outputs(program, INPUTS))) < 16
    assert deviation(deep(), program, INPUTS) > 0.1


def test_auto_takes_samples_where_ranges_starve_it_and_says_so() -> None:
    auto, sampled = quantised_as(Ranges.AUTO), quantised_as(Ranges.SAMPLED)
    assert [t.format for t in auto.tensors] == [t.format for t in sampled.tensors]
    assert [note.startswith(NOTE) for note in auto.notes] == [True]
    assert quantised_as(Ranges.PROVEN).notes == sampled.notes == ()


@pytest.mark.parametrize("seed", range(4))
def test_auto_takes_proven_ranges_where_they_serve(seed: int) -> None:
    network = chain((SIZE, 10, 3), seed)
    auto, proven = (
        quantize.run(network, QuantizeRequest((REGION,), work=0.1, ranges=ranges))
        for ranges in (Ranges.AUTO, Ranges.PROVEN)
    )
    assert program_digest(auto) == program_digest(proven)
    assert auto.notes == ()


@pytest.mark.parametrize("ranges", Ranges)
def test_equal_requests_give_equal_programs(ranges: Ranges) -> None:
    network = chain((SIZE,) * 9)
    request = QuantizeRequest((REGION,), bits=8, work=0.1, ranges=ranges)
    one, two = (quantize.run(network, request) for _ in range(2))
    assert program_digest(one) == program_digest(two)


def test_samples_are_held_twice_and_no_more() -> None:
    """Every format holds twice what it was seen at, and half of it would not."""
    program = quantised_as(Ranges.SAMPLED)
    codes = ops.execute_all(program, encode(INPUTS, program.input.format, program.input.rounding))
    for tensor in program.tensors[1:]:
        seen = abs(codes[tensor.id]).max() if tensor.id in codes else 0
        assert seen < 0.75 * tensor.format.raw_max
        assert seen > 0.1 * tensor.format.raw_max or tensor.format.ib == 1


# --- the bound -------------------------------------------------------------------------------


def bound(network: Network, program: FixedNetwork, work: float = 0.1) -> list[Fraction]:
    """A checked bound per output over the region of all inputs."""
    box = centred_box(network.inputs[0].size)
    request = CertifyRequest(work=work, attack_budget=500)
    certificate = certifier.run(network, program, (box,), request)
    (proven,) = proof.check(network, certificate)
    return [Fraction(b) for b in proven.per_output]


def assert_covered(network: Network, program: FixedNetwork, points: list[list[Fraction]]) -> None:
    limits = bound(network, program)
    for apart in proof.deviations_at(network, program, points):
        assert all(a <= limit for a, limit in zip(apart, limits, strict=True))


@pytest.mark.parametrize("ranges", Ranges)
def test_the_bound_of_a_deep_network_covers_its_inputs(ranges: Ranges) -> None:
    network = chain((SIZE,) * 9, bias=0.1)
    request = QuantizeRequest((REGION,), bits=8, work=0.05, ranges=ranges)
    points = some_inputs(REGION, np.random.default_rng(5), 40)
    assert_covered(network, quantize.run(network, request), points)


def hidden_corner(size: int = 16, height: float = 50.0) -> tuple[Network, list[Fraction]]:
    """An output of `height` at one corner, where no sample is; elsewhere it is the first input."""
    rng = np.random.default_rng(3)
    corner = rng.choice([-1.0, 1.0], size)
    first = np.stack([corner, np.eye(size)[0], -np.eye(size)[0]])
    steps = [(np.float32(first), np.float32([1 - size, 0, 0])), "relu"]
    last = (np.float32([[height, 1, -1]]), np.float32([0]))
    return build_network(size, [*steps, last]), [Fraction(v) for v in corner.tolist()]


def saturates(program: FixedNetwork, x: list[Fraction]) -> bool:
    codes = [quantised(v, program.input.format, program.input.rounding) for v in x]
    return run_slowly(program, codes)[program.output.id] == [program.output.format.raw_max]


@pytest.mark.parametrize(
    ("bits", "ranges", "lost"),
    [
        (8, Ranges.SAMPLED, True),
        (16, Ranges.SAMPLED, True),
        (8, Ranges.PROVEN, False),
        (16, Ranges.PROVEN, False),
        # 8 bits that hold 50 have 16 codes left for all the other inputs.
        (8, Ranges.AUTO, True),
        (16, Ranges.AUTO, False),
    ],
)
def test_what_samples_miss_saturates_and_the_bound_covers_it(
    bits: int, ranges: Ranges, lost: bool
) -> None:
    network, corner = hidden_corner()
    request = QuantizeRequest((centred_box(len(corner)),), bits=bits, work=0.05, ranges=ranges)
    program = quantize.run(network, request)
    (apart,) = proof.deviations_at(network, program, [corner])[0]
    assert saturates(program, corner) is lost
    assert (apart > 40) is lost
    assert bool(program.notes) is (lost and ranges is Ranges.AUTO)
    near = [[v * share for v in corner] for share in (Fraction(15, 16), Fraction(31, 32))]
    assert_covered(network, program, [corner, *near])
