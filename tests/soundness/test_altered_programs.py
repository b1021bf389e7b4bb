"""Programs that no quantiser makes, as somebody could put them into a certificate.

The check must refuse them, or bound what they really do; the deviation at one input, evaluated
without rounding, says what that is.
"""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import (
    Accumulator,
    Box,
    FixedArray,
    FixedNetwork,
    FixedNode,
    Network,
    QuantizeRequest,
    Tensor,
)
from qdeploy.proof import decision, kernel, pair
from qdeploy.proof.budget import Budget
from qdeploy.proof.certificate import DecisionClaim, DecisionKind, DecisionStatus, Unchanged
from qdeploy.proof.chain import Link, Stairs, enclose
from qdeploy.proof.dyadic import Interval
from support.networks import Act, Layer, build_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
SPEND = CertifyRequest(work=0.05, attack_budget=50)


def neuron(weight: float, bias: float = 0.0) -> Layer:
    return np.array([[weight]], np.float32), np.array([bias], np.float32)


def with_node(program: FixedNetwork, index: int, node: FixedNode) -> FixedNetwork:
    nodes = list(program.nodes)
    nodes[index] = node
    return dataclasses.replace(program, nodes=tuple(nodes))


def with_bias(program: FixedNetwork, index: int, value: Fraction) -> FixedNetwork:
    """Exchange the only bias of a dense node, whose accumulator becomes wide enough for all."""
    node = program.nodes[index]
    fmt = node.arrays["bias"].format
    bias = FixedArray(np.array([int(value / fmt.step)]), fmt)
    accumulator = Accumulator(32, fmt.fb, (1 << 31) - 1)
    arrays = {**node.arrays, "bias": bias}
    node = dataclasses.replace(node, arrays=arrays, accumulator=accumulator)
    return with_node(program, index, node)


def certified(network: Network, program: FixedNetwork, box: Box) -> proof.Proven:
    """Prove a program, showing an attack where it does no harm."""
    certificate = certifier.run(network, program, (box,), SPEND)
    harmless = kernel.witness(
        network, program, tuple((a + b) / 2 for a, b in zip(box.lo, box.hi, strict=True))
    )
    claim = dataclasses.replace(certificate.regions[0], attack=harmless)
    (proven,) = proof.check(network, dataclasses.replace(certificate, regions=(claim,)))
    return proven


def test_a_clamp_that_cuts_nothing_is_no_excuse_for_another_operator() -> None:
    """The format saturates before the limits of the clip, so its clamp is the whole format."""
    network = build_network(1, [Act("clip", {"lo": -4.0, "hi": 4.0}), neuron(1.0)])
    program = quantize.run(
        network, QuantizeRequest((UNIT_BOX,), bits=8, input_format=QFormat(2, 6))
    )
    clip = program.nodes[0]
    slope = FixedArray(np.array([-(1 << 14)]), QFormat(9, 7))
    leaky = FixedNode(clip.name, "leaky_relu", clip.inputs, clip.output, {"slope": slope})
    assert certified(network, program, UNIT_BOX).linf < Fraction(1, 10)
    with pytest.raises(RefusedError, match="operator"):
        certified(network, with_node(program, 0, leaky), UNIT_BOX)


TIED = [
    # A sum on the number of the grid that is nearest to the limit is not clipped, and rounds up;
    ("lo", 0.5 - 2.0**-25, Rounding.NEAREST, Fraction(1, 2), Fraction(1, 2)),
    # and here it is not clipped, and truncates to another code than the limit does.
    ("hi", -1 + 2.0**-24, Rounding.TRUNC, Fraction(-1), Fraction(-1)),
]


@pytest.mark.parametrize(("side", "limit", "rounding", "total", "moved"), TIED)
def test_a_limit_between_two_numbers_of_the_grid_ends_where_it_does(
    side: str, limit: float, rounding: Rounding, total: Fraction, moved: Fraction
) -> None:
    """`moved`, which the program adds later, would make up for the error if it were believed."""
    network = build_network(1, [neuron(1.0), Act("clip", {side: limit}), neuron(1.0)])
    here, fine = (Fraction(0),), QFormat(8, 4)
    box = Box(here, here)
    request = QuantizeRequest(
        (box,),
        weights=fine,
        biases=fine,
        input_format=fine,
        activations=QFormat(8, 0),
        rounding=rounding,
    )
    program = quantize.run(network, request)
    for index, value in enumerate((total, moved)):
        program = with_bias(program, index, value)
    (part,) = kernel.prove_whole(pair.Pairs(network, program), [box], 20)
    (deviation,) = kernel.deviations(network, program, here)
    assert deviation <= Fraction(part.per_output[0])


def test_a_clamp_beyond_its_format_is_refused() -> None:
    """The limit lies above all codes: no code is between the clamp's ends, and none is right."""
    fmt = QFormat(4, 4)
    request = QuantizeRequest(
        (UNIT_BOX,), input_format=fmt, weights=fmt, biases=QFormat(12, 4), activations=fmt
    )
    above_zero, above_all = (
        build_network(1, [neuron(1.0), Act("clip", {"lo": limit}), neuron(1.0)])
        for limit in (0.0, 130.0)
    )
    program = quantize.run(above_zero, request)
    clamped = program.nodes[0]
    integers = {**clamped.integers, "clamp_lo": 130 * 16}
    program = with_node(program, 0, dataclasses.replace(clamped, integers=integers))
    with pytest.raises(RefusedError, match="other codes"):
        kernel.analysis(above_all, program, UNIT_BOX)


def test_codes_that_a_clamp_lifts_beyond_int64_keep_their_value() -> None:
    """On the grid 2**-32 the clip's lower limit of 2**37 is 2**69; the sums are tiny."""
    box = Box((Fraction(-1, 16),), (Fraction(1, 16),))
    limits = {"lo": 2.0**37, "hi": 2.0**40}
    hidden, bias = neuron(2.0**-6), np.array([0.0, 2.0**36], np.float32)
    heads = [(np.array([[w], [0.0]], np.float32), bias) for w in (0.0, 1.0)]
    network, other = (build_network(1, [hidden, Act("clip", limits), head]) for head in heads)
    request = QuantizeRequest((box,), input_format=QFormat(-2, 10), activations=QFormat(49, -17))
    program = quantize.run(other, request)
    assert decision.differs(network, program, [(Fraction(0),)], DecisionKind.ARGMAX) == [True]
    leaf = bytes([decision.FULL_LEAF])
    claim = DecisionClaim(DecisionKind.ARGMAX, 32, (Unchanged(1, leaf, leaf),), None)
    with pytest.raises(RefusedError, match="not proven unchanged"):
        decision.check(pair.Pairs(network, program), claim, [box], Budget())


def test_a_program_of_many_layers_is_refused_before_they_are_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Running an activation on every code takes seconds, and a certificate holds thousands."""
    network = build_network(1, [neuron(1.0)])
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8))
    like, slope = program.output, FixedArray(np.array([1]), QFormat(2, 1))
    names = [like.id, *(f"more_{index}" for index in range(9))]
    tensors = [dataclasses.replace(like, tensor=Tensor(name, (1,))) for name in names[1:]]
    nodes = [
        FixedNode(after, "leaky_relu", (before,), after, {"slope": slope})
        for before, after in itertools.pairwise(names)
    ]
    program = dataclasses.replace(
        program,
        tensors=(*program.tensors, *tensors),
        nodes=(*program.nodes, *nodes),
        outputs=(names[-1],),
    )
    runs = []
    monkeypatch.setattr(pair, "every_output", lambda *_: runs.append(1))
    with pytest.raises(RefusedError, match="9 layers"):
        kernel.analysis(network, program, UNIT_BOX)
    assert not runs


@pytest.mark.parametrize(("grid", "scale"), [(64, 1.0), (100, 1.0), (32, 2.0**60)])
def test_decisions_are_checked_on_any_grid_and_scale(grid: int, scale: float) -> None:
    """A step of the output need not be an integer of 64 bits."""
    weight = np.array([[scale], [-scale]], np.float32)
    network = build_network(1, [(weight, np.array([-3 * scale, 3 * scale], np.float32))])
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8))
    leaf = bytes([decision.FULL_LEAF])
    for winner, proven in ((0, False), (1, True)):
        claim = DecisionClaim(DecisionKind.ARGMAX, grid, (Unchanged(winner, leaf, leaf),), None)
        if proven:
            statuses = decision.check(pair.Pairs(network, program), claim, [UNIT_BOX], Budget())
            assert statuses == (DecisionStatus.UNCHANGED,)
        else:
            with pytest.raises(RefusedError, match="not proven unchanged"):
                decision.check(pair.Pairs(network, program), claim, [UNIT_BOX], Budget())


def test_a_stair_higher_than_int64_is_climbed_to_zero() -> None:
    """On the grid 2**-32 a step of 2**40 is 2**72; the code 0 that ends it fits any integer."""
    stairs = Stairs(QFormat(48, -40), Rounding.NEAREST, -1, 0)
    links = (Link(np.array([[1 << 32]]), np.array([0]), stairs=stairs),)
    box = Interval(np.array([[-1 << 72]], dtype=object), np.array([[0]]))
    (passed,) = enclose(links, box, 32, 1)
    lines = passed.lines
    for t, code in ((-1 << 72, -1), ((-1 << 71) - 1, -1), (-1 << 71, 0), (0, 0)):
        low = int(lines.low_slope[0, 0]) * t + (int(lines.low[0, 0]) << 32)
        high = int(lines.high_slope[0, 0]) * t + (int(lines.high[0, 0]) << 32)
        assert low <= code << (72 + 32) <= high


LEAKY = [Act("leaky_relu", {"slope": [0.25]}), Act("leaky_relu", {"slope": [1.7]})]


CLIP = Act("clip", {"hi": 0.75})


@pytest.mark.parametrize("acts", [["relu", CLIP], LEAKY, ["relu", *LEAKY], [CLIP, "tanh"]])
def test_activations_in_a_row_reach_what_the_quantiser_says(acts: list[str | Act]) -> None:
    """The accumulator behind them is as wide as it must be, and no wider."""
    eye = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    network = build_network(2, [eye, *acts, eye])
    box = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)
    program = quantize.run(network, QuantizeRequest((box,), bits=8))
    pair.check_accumulators(program)
    assert kernel.deviations(network, program, box.hi)[0] <= certified(network, program, box).linf
