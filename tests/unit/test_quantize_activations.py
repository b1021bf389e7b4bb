"""What the quantiser makes of activations, and what it refuses."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import quantize
from qdeploy.diagnostics import ExitCode, InputError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, QuantizeRequest
from qdeploy.ops import evaluate, execute
from support.networks import Act, build_network

UNIT = Box((Fraction(-1),), (Fraction(1),))
HALF = Fraction(1, 2)


def network(*steps, weight=4.0, bias=0.0):
    dense = (np.array([[weight]], np.float64), np.array([bias], np.float64))
    return build_network(1, [dense if step == "dense" else step for step in steps])


def quantised(net, **changes):
    return quantize.run(net, replace(QuantizeRequest((UNIT,), bits=8), **changes))


def clip(**ends):
    return Act("clip", ends)


def leaky(*slope):
    return Act("leaky_relu", {"slope": np.array(slope)})


@pytest.mark.parametrize(
    ("act", "fmt", "clamp"),
    [
        ("relu", QFormat(4, 4), (0, 127)),
        (clip(lo=0.0, hi=2.0), QFormat(3, 5), (0, 64)),
        (clip(lo=-0.3), QFormat(4, 4), (-5, 127)),
        (clip(hi=HALF), QFormat(3, 5), (-128, 16)),
        (clip(lo=-100.0, hi=100.0), QFormat(4, 4), (-128, 127)),
    ],
)
def test_a_clip_behind_a_layer_becomes_its_clamp(act, fmt, clamp):
    """Sums reach from -4 to 4; what is clipped needs no room in the format."""
    program = quantised(network("dense", act))
    (node,) = program.nodes
    assert program.output.format == fmt
    assert (node.integers["clamp_lo"], node.integers["clamp_hi"]) == clamp
    assert node.output == program.outputs[0]


@pytest.mark.parametrize("mode", list(Rounding))
def test_the_ends_of_a_clip_are_rounded_like_values(mode):
    ends = {"nearest": (-2, 3), "floor": (-2, 2), "trunc": (-1, 2)}[mode.value]
    act = clip(lo=Fraction(-17, 10), hi=Fraction(5, 2))
    program = quantised(network("dense", act), activations=QFormat(8, 0), rounding=mode)
    integers = program.nodes[0].integers
    assert (integers["clamp_lo"], integers["clamp_hi"]) == ends


def test_only_one_clip_is_folded_and_others_are_nodes():
    program = quantised(network(clip(hi=HALF), "dense", clip(hi=2.0), "relu"))
    assert [n.op for n in program.nodes] == ["clip", "dense", "relu"]
    first = program.nodes[0]
    assert first.integers == {"clamp_lo": -128, "clamp_hi": 32}
    assert program.tensor(first.output).format == program.input.format


def test_a_clip_that_its_format_does_not_hold_is_refused():
    with pytest.raises(InputError) as refusal:
        quantised(network("dense", clip(lo=3.0, hi=4.0)), activations=QFormat(2, 6))
    assert "clip Act" not in str(refusal.value)
    assert "clips to a range outside <2,6>, which holds -2 to 1.98438" in refusal.value.what
    assert "an IB of at least 3" in refusal.value.fix
    assert refusal.value.exit_code is ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("slope", "weights", "expected"),
    [
        (0.25, None, ([1], QFormat(0, 2))),
        (-3.0, None, ([-3], QFormat(3, 0))),
        (0.1, None, ([51], QFormat(-2, 9))),
        (0.1, QFormat(2, 6), ([3], QFormat(2, 5))),  # 6 / 64
        (300.0, None, ([300], QFormat(10, 0))),
        (0.0, QFormat(2, 6), ([0], QFormat(2, 0))),
    ],
)
def test_slopes_are_as_wide_as_weights_and_no_wider_than_they_need(slope, weights, expected):
    net = network("dense", leaky(slope), weight=1.0)
    array = quantised(net, weights=weights).nodes[1].arrays["slope"]
    assert (array.raw.tolist(), array.format) == expected


@pytest.mark.parametrize("weights", [QFormat(0, 2), QFormat(-1, 3)])
def test_slopes_that_have_become_zeros_keep_one_bit(weights):
    program = quantised(network("dense", leaky(0.01), weight=0.125), weights=weights)
    array = program.nodes[1].arrays["slope"]
    assert (array.raw.tolist(), array.format) == ([0], QFormat(weights.ib, 1 - weights.ib))
    assert execute(program, np.array([[-128], [127]])).min() == 0


def test_a_leaky_relu_makes_room_for_what_it_multiplies():
    program = quantised(network("dense", leaky(-2.0)))
    assert program.tensor("t0").format == program.output.format == QFormat(5, 3)
    codes = np.array([[-128], [-64], [0], [127]])
    # -2, -1, 0 and nearly 2: -8 (16 saturates), -4, 0 and 7.9375, in steps of 1/8.
    assert execute(program, codes)[:, 0].tolist() == [127, 64, 0, 64]


def test_exact_activations_leave_room_for_the_bits_of_slopes():
    given = {"activations": Activations.EXACT, "weights": QFormat(4, 2), "bits": 8}
    program = quantised(network("dense", leaky(0.75)), input_format=QFormat(2, 3), **given)
    assert program.output.format.fb == 3 + 2 + 2
    codes = np.arange(-8, 9)[:, None]
    real = evaluate(network("dense", leaky(0.75)), codes / 8.0)
    assert np.array_equal(execute(program, codes) * float(program.output.format.step), real)


def test_a_table_of_few_codes_has_a_value_for_each():
    program = quantised(network("dense", "tanh"))
    node = program.nodes[1]
    assert (node.integers["shift"], node.arrays["values"].raw.size) == (0, 257)
    assert node.arrays["values"].format == program.output.format == QFormat(1, 7)


def test_a_table_of_many_codes_has_lines_between_values():
    program = quantised(network("dense", "tanh"), bits=16)
    node = program.nodes[1]
    assert program.tensor("t0").format == QFormat(3, 13)  # 4 itself saturates, by one step
    assert (node.integers["shift"], node.arrays["values"].raw.size) == (6, 1025)
    assert quantised(network("dense", "tanh"), bits=24).output.format.bits == 16


@pytest.mark.parametrize(
    ("op", "bits", "expected"),
    [
        ("tanh", 8, QFormat(3, 5)),  # beyond +-4 tanh is within 7e-4 of its limits
        ("tanh", 16, QFormat(4, 12)),
        ("sigmoid", 8, QFormat(4, 4)),  # a slope of 1/4 lets it be twice as coarse
        ("softsign", 8, QFormat(5, 3)),
    ],
)
def test_what_a_table_reads_saturates_where_the_curve_is_flat(op, bits, expected):
    net = network("dense", op, weight=1000.0)
    program = quantised(net, bits=bits, weights=QFormat(12, 4))
    assert program.tensor("t0").format == expected


def test_a_curve_without_a_ceiling_does_not_saturate_above():
    act = Act("elu", {"alpha": 1.0})
    program = quantised(network("dense", act, weight=1000.0))
    assert program.tensor("t0").format == QFormat(11, -3)


REFUSED = {
    "exact tanh": (
        ("dense", "tanh"),
        {"activations": Activations.EXACT},
        "tanh Tanh_1 has no exact codes: its values are irrational",
    ),
    "wide codes": (
        ("dense", "sigmoid"),
        {"activations": QFormat(8, 9)},
        "sigmoid Sigmoid_1 reads codes of 17 bits; 16 are possible",
    ),
    "wide inputs": (
        ("softsign", "dense"),
        {"bits": 24},
        "softsign Softsign_0 reads codes of 24 bits; 16 are possible",
    ),
    "an exact leak of wide sums": (
        ("dense", leaky(0.1)),
        {"activations": Activations.EXACT},
        "leaky_relu Leaky_Relu_1 reads codes of 23 bits; 16 are possible",
    ),
    "steep leak": (
        ("dense", leaky(1e6)),
        {},
        "leaky_relu Leaky_Relu_1 has slopes that need 21 bits; 16 are possible",
    ),
    "exact leak of an input": (
        (leaky(0.5), "dense"),
        {"activations": Activations.EXACT},
        "leaky_relu Leaky_Relu_0 has products with more fraction bits than its input",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_integer_form_is_refused_by_name(case):
    steps, changes, complaint = REFUSED[case]
    with pytest.raises(InputError) as refusal:
        quantised(network(*steps), **changes)
    assert refusal.value.what == complaint
    assert refusal.value.fix
    assert refusal.value.where is not None
