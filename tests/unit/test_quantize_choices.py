"""What the quantiser chooses, and what it says when there is nothing to choose."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from qdeploy import quantize
from qdeploy.diagnostics import ExitCode, InputError, UsageError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, QuantizeRequest, Tensor, exact
from qdeploy.ops import execute
from support.networks import build_network

UNIT = Box((Fraction(-1),), (Fraction(1),))


def one_layer(weight, bias=0.0):
    return build_network(1, [(np.array([[weight]], np.float64), np.array([bias], np.float64))])


def request(**changes):
    return replace(QuantizeRequest((UNIT,)), **changes)


@pytest.mark.parametrize(
    ("lo", "hi", "rounding", "expected"),
    [
        (-1, 1, "nearest", QFormat(2, 6)),  # x = 1 would saturate in <1,7>
        (-1, Fraction(127, 128), "nearest", QFormat(1, 7)),
        (-1, Fraction(511, 512), "nearest", QFormat(2, 6)),  # rounds up to 1
        (-1, Fraction(511, 512), "floor", QFormat(1, 7)),
        (0, 1, "trunc", QFormat(2, 6)),
        (0, 0, "nearest", QFormat(1, 7)),
        (0, Fraction(1, 100), "nearest", QFormat(-5, 13)),
        (-100, 300, "nearest", QFormat(10, -2)),
    ],
)
def test_input_format_is_the_finest_that_does_not_saturate(lo, hi, rounding, expected):
    box = Box.enclosing((Fraction(lo),), (Fraction(hi),))
    asked = QuantizeRequest((box,), bits=8, rounding=Rounding(rounding))
    assert quantize.run(one_layer(1.0), asked).input.format == expected


@pytest.mark.parametrize(
    ("weight", "quantizer", "expected"),
    [
        (0.75, "nearest", QFormat(1, 7)),
        (1.0, "nearest", QFormat(2, 6)),
        (-1.0, "nearest", QFormat(1, 7)),
        (0.999, "nearest", QFormat(2, 6)),
        (0.999, "trunc", QFormat(1, 7)),
        (0.0, "nearest", QFormat(1, 7)),
        (2.0**-20, "nearest", QFormat(-18, 26)),
        (200.0, "nearest", QFormat(9, -1)),
    ],
)
def test_weight_format_is_the_finest_that_holds_the_rounded_value(weight, quantizer, expected):
    asked = request(bits=8, quantizer=Rounding(quantizer))
    program = quantize.run(one_layer(weight), asked)
    assert program.nodes[0].arrays["weight"].format == expected


def test_regions_share_a_format_that_suits_all_of_them():
    boxes = (UNIT, Box((Fraction(5),), (Fraction(6),)))
    assert quantize.run(one_layer(1.0), QuantizeRequest(boxes, bits=8)).input.format == QFormat(
        4, 4
    )


@pytest.mark.parametrize(
    ("biases", "expected"),
    [
        (None, Fraction(77, 256)),  # 0.3 at the accumulator's 8 fraction bits
        (QFormat(8, 3), Fraction(1, 4)),  # rounded at 3 bits, then shifted
        (QFormat(8, 20), Fraction(77, 256)),  # finer than the accumulator: rounded there, once
    ],
)
def test_biases_are_rounded_once_to_the_coarser_scale(biases, expected):
    asked = request(weights=QFormat(4, 4), input_format=QFormat(4, 4), biases=biases)
    bias = quantize.run(one_layer(1.0, 0.3), asked).nodes[0].arrays["bias"]
    assert bias.format.fb == 8
    assert bias.raw.tolist()[0] * bias.format.step == expected


def test_a_relu_behind_a_layer_becomes_its_clamp():
    layer = (np.array([[1.0]], np.float32), np.array([0.0], np.float32))
    program = quantize.run(build_network(1, [layer, "relu"]), request(bits=8))
    assert [node.op for node in program.nodes] == ["dense"]
    assert program.nodes[0].integers["clamp_lo"] == 0
    assert execute(program, np.array([[-64], [0], [64]])).ravel().tolist() == [0, 0, 64]


@pytest.mark.parametrize("outputs", [("t0", "t1"), ("t1", "t0")])
def test_a_layer_that_something_else_reads_keeps_its_negative_values(outputs):
    layer = (np.array([[1.0]], np.float32), np.array([0.0], np.float32))
    network = build_network(1, [layer, "relu"])
    network = replace(network, outputs=tuple(network.tensor(name) for name in outputs))
    program = quantize.run(network, request(bits=8))
    assert [node.op for node in program.nodes] == ["dense", "relu"]
    assert program.nodes[0].integers["clamp_lo"] == -128
    assert program.outputs == outputs


def test_two_branches_of_one_tensor_are_quantised_each():
    """The IR is a graph: both layers read x, and neither's ReLU disturbs the other."""
    layer = (np.array([[1.0]], np.float32), np.array([0.0], np.float32))
    network = build_network(1, [layer, "relu"])
    twin = replace(network.nodes[0], name="twin", output="twin_out")
    network = replace(
        network,
        nodes=(*network.nodes, twin),
        tensors=(*network.tensors, Tensor("twin_out", (1,))),
        outputs=(*network.outputs, Tensor("twin_out", (1,))),
    )
    program = quantize.run(network, request(bits=8))
    assert [(n.name, n.integers["clamp_lo"]) for n in program.nodes] == [("n0", 0), ("twin", -128)]


def test_a_dead_layer_gets_a_sane_format():
    """Its range is [0, 0]: any format would do, but not one that breaks the next layer."""
    dead = (np.array([[0.5]], np.float32), np.array([-9.0], np.float32))
    steps = [dead, "relu"] * 4 + [(np.array([[0.5]], np.float32), np.array([3.0], np.float32))]
    program = quantize.run(build_network(1, steps), request())
    assert program.tensor("t1").format == QFormat(1, 15)
    assert execute(program, np.array([[5]])).tolist() == [[3 << program.output.format.fb]]


def test_tiny_weights_beside_a_large_bias_take_a_coarser_format_instead_of_failing():
    """At the finest format of the weights the bias alone would need more than 64 bits."""
    program = quantize.run(one_layer(2.0**-60, 3.0), request())
    assert program.nodes[0].accumulator.bits == 64
    assert execute(program, np.array([[1]])).tolist() == [[3 << program.output.format.fb]]


@pytest.mark.parametrize(
    ("shift_side", "formats"),
    [
        (
            40,
            {
                "weights": QFormat(2, 26),
                "input_format": QFormat(2, 14),
                "activations": QFormat(9, 0),
            },
        ),
        (
            -20,
            {
                "weights": QFormat(8, 0),
                "input_format": QFormat(8, 0),
                "activations": QFormat(2, 20),
            },
        ),
    ],
)
def test_accumulators_cover_what_the_shift_adds(shift_side, formats):
    node = quantize.run(one_layer(1.0), request(**formats)).nodes[0]
    magnitude = (1 << (formats["input_format"].bits - 1)) << formats["weights"].fb
    added = magnitude + (1 << 39) if shift_side > 0 else magnitude << 20
    assert node.integers["shift"] == shift_side
    assert (node.accumulator.bits, node.accumulator.bound) == (64 if added >> 31 else 32, added)


def test_a_shift_beyond_the_accumulator_adds_nothing_to_its_bound():
    """Every sum then rounds to 0: no constant is added, and the layer is not refused for it."""
    formats = {"weights": QFormat(-60, 80), "input_format": QFormat(8, 8)}
    network = build_network(1, [(np.array([[2.0**-70]]), np.array([0.0]))])
    program = quantize.run(network, request(activations=QFormat(8, 0), **formats))
    assert program.nodes[0].integers["shift"] == 88
    assert program.nodes[0].accumulator.bound == 1 << (10 + 15)
    assert execute(program, np.array([[32767], [-32768]])).tolist() == [[0], [0]]


MATRIX = build_network(
    2, [(np.array([[0.5, 0.25], [1.5, -12.5]], np.float32), np.array([0.0, 99.0], np.float32))]
)
FOUR_INPUTS = build_network(4, [(np.full((1, 4), 1.5, np.float32), np.zeros(1, np.float32))])
SQUARE = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)

DEEP = build_network(1, [(np.array([[0.3]], np.float32), np.array([0.1], np.float32))] * 4)


@pytest.mark.parametrize(
    ("network", "changes", "what", "fix"),
    [
        (
            MATRIX,
            {"regions": (SQUARE,), "weights": QFormat(4, 4)},
            "weight[1, 1] = -12.5 does not fit <4,4>, which holds -8 to 7.9375",
            "IB = 5 would hold every weight of this layer: give --weights 5.4",
        ),
        (
            MATRIX,
            {"regions": (SQUARE,), "biases": QFormat(6, 2)},
            "bias[1] = 99 does not fit <6,2>, which holds -32 to 31.75",
            "IB = 8 would hold every bias of this layer: give --biases 8.2",
        ),
        (
            one_layer(7.99),
            {"weights": QFormat(4, 2)},
            "weight[0, 0] = 7.99 does not fit <4,2>, which holds -8 to 7.75",
            "IB = 5 would hold every weight of this layer: give --weights 5.2",
        ),
        (
            DEEP,
            {"activations": Activations.EXACT},
            "the exact output of layer Dense_1 needs 45 bits, 32 are possible",
            "give --weights or --input-format fewer fraction bits, or use --activations auto",
        ),
        (
            FOUR_INPUTS,
            {
                "regions": (Box((Fraction(-1),) * 4, (Fraction(1),) * 4),),
                "weights": QFormat(2, 30),
                "input_format": QFormat(1, 31),
            },
            "the sums of layer Dense_0 need 65 bits, an accumulator has 64 at most",
            "use fewer --bits",
        ),
        (
            one_layer(1.0),
            {"weights": QFormat(-190, 200), "input_format": QFormat(-190, 200)},
            "weight[0, 0] = 1 does not fit <-190,200>",
            "IB = 2 would hold every weight",
        ),
        (
            one_layer(0.0),
            {"weights": QFormat(-190, 200), "input_format": QFormat(-190, 200)},
            "the sums of layer Dense_0 have 400 fraction bits, 256 either way are possible",
            "give --weights, --activations or --input-format fewer fraction bits",
        ),
        (
            one_layer(1e300),
            {},
            "layer Dense_0 cannot be fixed point: values of 2^996 and more are beyond",
            "rescale the model so that its values come near 1",
        ),
        (
            one_layer(1.0),
            {"regions": (SQUARE,)},
            "region 'box' has 2 inputs, the network has 1",
            "give 1 lower and 1 upper corners",
        ),
    ],
)
def test_refusals_name_the_layer_the_value_and_a_way_out(network, changes, what, fix):
    with pytest.raises(InputError) as refusal:
        quantize.run(network, request(**changes))
    assert refusal.value.what.startswith(what)
    assert fix in refusal.value.fix
    assert str(refusal.value.where).startswith("random.onnx: ")
    assert refusal.value.exit_code is ExitCode.BAD_INPUT


def test_the_format_an_error_names_is_accepted():
    asked = request(regions=(SQUARE,), weights=QFormat(5, 4), biases=QFormat(8, 2))
    assert quantize.run(MATRIX, asked).nodes[0].arrays["weight"].format == QFormat(5, 4)


def test_parameters_beyond_the_doubles_are_refused_in_words():
    """Folding can make such values; no float could print them."""
    network = one_layer(1.0)
    node = replace(
        network.nodes[0],
        parameters={"weight": exact([[Fraction(10) ** 400]]), "bias": exact([0])},
    )
    with pytest.raises(InputError, match=r"weight\[0, 0\] = about 2\^13"):
        quantize.run(replace(network, nodes=(node,)), request(weights=QFormat(8, 8)))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"bits": 0}, "--bits"),
        ({"bits": 33}, "--bits"),
        ({"weights": QFormat(20, 20)}, "--weights"),
    ],
)
def test_impossible_word_lengths_are_usage_errors(changes, option):
    with pytest.raises(UsageError, match=option) as refusal:
        quantize.run(one_layer(1.0), request(**changes))
    assert refusal.value.fix == "1 to 32 bits are possible"


@pytest.mark.parametrize("bits", [1, 2, 3, 31, 32])
def test_every_word_length_works(bits):
    layers = [(np.array([[0.3]], np.float32), np.array([0.1], np.float32)), "relu"] * 2
    program = quantize.run(build_network(1, layers), request(bits=bits))
    assert {tensor.format.bits for tensor in program.tensors} == {bits}


def test_a_large_network_is_quantised_in_seconds():
    """300 000 parameters; the slow part would be fractions compared one by one."""
    rng = np.random.default_rng(0)
    sizes = [512, 400, 200, 64]
    layers = [
        (rng.normal(size=(b, a)).astype(np.float32), rng.normal(size=b).astype(np.float32))
        for a, b in pairwise(sizes)
    ]
    box = Box((Fraction(-1),) * 512, (Fraction(1),) * 512)
    program = quantize.run(build_network(512, layers), QuantizeRequest((box,), work=0.0))
    assert sum(node.arrays["weight"].raw.size for node in program.nodes) == 297_600
