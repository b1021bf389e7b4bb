"""The attack's claims are true of a stated input, and hard to beat by plain search."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy import quantize
from qdeploy.certifier.attack import attack
from qdeploy.fixedpoint import QFormat, Rounding, encode
from qdeploy.ir import Activations, Box, QuantizeRequest, exact
from qdeploy.ops import evaluate, evaluate_exact, execute
from support.networks import build_network, paper_network, random_network, random_request
from support.slow import quantised, run_slowly, some_inputs

UNIT = Box((Fraction(-1),), (Fraction(1),))


def deviation(network, program, x):
    """|network - device| at one exact input, by definition."""
    fmt, mode = program.input.format, program.input.rounding
    codes = run_slowly(program, [quantised(v, fmt, mode) for v in x])[program.outputs[0]]
    real = evaluate_exact(network, exact(np.array([x], dtype=object)))[0].tolist()
    return [abs(r - c * program.output.format.step) for r, c in zip(real, codes, strict=True)]


@given(st.integers(0, 1 << 32))
@settings(max_examples=30, deadline=None)
def test_what_it_returns_is_attained_inside_the_box(seed):
    network = random_network(seed)
    request = random_request(seed, network)
    program = quantize.run(network, request)
    for box in request.regions:
        found = attack(network, program, box, budget=300, seed=seed)
        assert all(a <= v <= b for a, v, b in zip(box.lo, found.x, box.hi, strict=True))
        at_x = deviation(network, program, found.x)
        assert max(at_x) == found.linf == max(found.per_output)
        assert all(v <= best for v, best in zip(at_x, found.per_output, strict=True))


@given(st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_it_beats_corners_and_random_inputs(seed):
    network = random_network(seed)
    request = random_request(seed, network)
    program = quantize.run(network, request)
    box = request.regions[0]
    found = attack(network, program, box, budget=2000, seed=0)
    rng = np.random.default_rng(seed)
    plain = max(max(deviation(network, program, x)) for x in some_inputs(box, rng, 60))
    assert found.linf >= plain * Fraction(95, 100)


@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_with_one_input_it_finds_the_true_worst_case(mode, layers, seed):
    """Between the kinks of the network and the borders of the codes all is linear."""
    fmt = QFormat(8, 3)
    request = QuantizeRequest(
        (UNIT,),
        weights=fmt,
        biases=fmt,
        input_format=fmt,
        activations=Activations.EXACT,
        rounding=mode,
        quantizer=mode,
    )
    network = paper_network(seed, layers)
    program = quantize.run(network, request)
    found = attack(network, program, UNIT, budget=5000, seed=seed)
    x = np.linspace(-1.0, 1.0, 20_001)[:, None]
    assert found.linf >= differences(network, program, x).max() * (1 - 1e-3)


def differences(network, program, x):
    """|network - device| on rows of doubles, in double precision."""
    codes = encode(x, program.input.format, program.input.rounding)
    answers = execute(program, codes) * float(program.output.format.step)
    return np.abs(evaluate(network, x) - answers)


@pytest.mark.parametrize("mode", Rounding)
def test_with_few_codes_it_tries_every_cell(mode):
    """Two inputs of 5 bits: the corners of every cell, in plain loops."""
    rng = np.random.default_rng(5)
    layer = (rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=6).astype(np.float32))
    last = (rng.normal(size=(1, 6)).astype(np.float32), rng.normal(size=1).astype(np.float32))
    network = build_network(2, [layer, "relu", last])
    box = Box((Fraction(-1),) * 2, (Fraction(7, 8),) * 2)
    request = QuantizeRequest((box,), bits=10, input_format=QFormat(2, 3), rounding=mode)
    program = quantize.run(network, request)
    hair = Fraction(1, 1 << 30)
    around = {k * Fraction(1, 16) + d for k in range(-17, 16) for d in (0, -hair, hair)}
    ticks = sorted(v for v in around if -1 <= v <= Fraction(7, 8))
    x = np.array(list(itertools.product(map(float, ticks), repeat=2)))
    truth = differences(network, program, x).max()
    found = attack(network, program, box, budget=10_000, seed=0)
    assert found.linf >= truth * (1 - 1e-6)


def test_it_is_deterministic_and_keeps_its_budget():
    network = paper_network(0, 2)
    program = quantize.run(network, QuantizeRequest((UNIT,), bits=8))
    one = attack(network, program, UNIT, budget=5000, seed=3)
    assert one == attack(network, program, UNIT, budget=5000, seed=3)
    assert 5000 <= one.evaluations <= 8000


def test_saturation_of_the_input_is_part_of_the_game():
    """x = 1 does not fit <1,3>: the device takes 7/8, which is off by a whole step."""
    network = build_network(1, [(np.array([[1.0]], np.float32), np.array([0.0], np.float32))])
    program = quantize.run(network, QuantizeRequest((UNIT,), bits=16, input_format=QFormat(1, 3)))
    found = attack(network, program, UNIT, budget=200, seed=0)
    assert (found.linf, found.x) == (Fraction(1, 8), (Fraction(1),))


def test_a_point_is_a_box_too():
    network = random_network(3)
    size = network.inputs[0].size
    point = Box((Fraction(1, 4),) * size, (Fraction(1, 4),) * size)
    program = quantize.run(network, QuantizeRequest((point,), bits=8))
    found = attack(network, program, point, budget=100, seed=0)
    assert found.x == point.lo
    assert list(found.per_output) == deviation(network, program, point.lo)


def test_boxes_as_wide_as_the_doubles_do_not_break_it():
    h = Fraction(1.7e308)
    box = Box((-h,) * 2, (h,) * 2)
    layer = (np.array([[1.5, -2.0]], np.float32), np.array([0.5], np.float32))
    network = build_network(
        2, [layer, "relu", (np.ones((1, 1), np.float32), np.zeros(1, np.float32))]
    )
    request = QuantizeRequest((box,), bits=8, input_format=QFormat(4, 4))
    found = attack(network, quantize.run(network, request), box, budget=500, seed=0)
    assert found.linf > h


def test_many_outputs_share_the_budget():
    """Each output has its own worst input; all are confirmed without rounding."""
    rng = np.random.default_rng(0)
    layer = (rng.normal(size=(70, 3)).astype(np.float32), rng.normal(size=70).astype(np.float32))
    network = build_network(3, [layer])
    box = Box((Fraction(-1),) * 3, (Fraction(1),) * 3)
    program = quantize.run(network, QuantizeRequest((box,), bits=8))
    found = attack(network, program, box, budget=3000, seed=0)
    assert len(found.per_output) == 70
    assert min(found.per_output) > 0


def test_a_larger_budget_does_not_find_less():
    network = random_network(7)
    request = replace(random_request(7, network), activations=Activations.AUTO)
    program = quantize.run(network, request)
    small = attack(network, program, request.regions[0], budget=500, seed=0)
    large = attack(network, program, request.regions[0], budget=20_000, seed=0)
    assert large.linf >= small.linf * Fraction(99, 100)
