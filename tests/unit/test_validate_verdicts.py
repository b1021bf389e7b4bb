"""Vectors that test what they should, and verdicts that are right to the last bit."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy import quantize, validator
from qdeploy.diagnostics import InputError
from qdeploy.fixedpoint import QFormat
from qdeploy.ir import Box, DeviceIdentity, QuantizeRequest, Trace, exact
from qdeploy.ops import enclose, execute
from qdeploy.reading import Kind
from qdeploy.validator.comparison import _Answers, _magnitudes
from support.networks import build_network, random_network, random_request
from support.slow import quantised

IDENTITY = DeviceIdentity("", 1, "cortex-m4", 0, "gcc", 1, 1, "none")


def answered(outputs):
    return Trace("a test", IDENTITY, outputs, cycles=12, instructions=34)


def random_case(seed, count=40):
    """A third of the networks has activations other than ReLU."""
    network = random_network(seed, activated=seed % 3 == 2)
    request = random_request(seed, network)
    program = quantize.run(network, request)
    vectors = validator.choose_vectors(network, program, request.regions, count, seed)
    return network, program, request.regions, vectors


def inside(x, box):
    return all(a <= Fraction(v) <= b for a, v, b in zip(box.lo, x, box.hi, strict=True))


def true_deviations(network, program, vectors):
    """How far apart both surely are: the distance to the enclosure of what is irrational."""
    lo, hi = enclose(network, exact(vectors.x))
    answers = exact(vectors.expected) * program.output.format.step
    return np.maximum(np.maximum(lo - answers, answers - hi), Fraction(0))


@given(st.integers(0, 1 << 32))
@settings(max_examples=60, deadline=None)
def test_double_precision_errs_by_no_more_than_is_said(seed):
    network = random_network(seed, activated=True)
    x = np.random.default_rng(seed).normal(size=(5, network.inputs[0].size)) * 10.0 ** (seed % 5)
    nothing = np.zeros((5, network.outputs[0].size), dtype=np.int64)
    found, error = _Answers(network, x, nothing, Fraction(1)).deviations()
    lo, hi = enclose(network, exact(x))
    least = np.maximum(np.maximum(lo, -hi), Fraction(0))
    most = np.maximum(np.abs(lo), np.abs(hi))
    assert np.all(exact(found) - exact(error) <= most)
    assert np.all(exact(found) + exact(error) >= least)
    assert np.all(error <= 1e-9 * (1 + _magnitudes(network, np.abs(x))))


@given(st.integers(0, 1 << 32), st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_vectors_are_what_they_say(seed, count):
    network, program, regions, vectors = random_case(seed, count)
    again = validator.choose_vectors(network, program, regions, count, seed)
    assert vectors.x.shape == (count, network.inputs[0].size)
    assert again.x.tolist() == vectors.x.tolist()
    fmt, mode = program.input.format, program.input.rounding
    assert vectors.codes.tolist() == [
        [quantised(Fraction(v), fmt, mode) for v in row] for row in vectors.x.tolist()
    ]
    assert vectors.expected.tolist() == execute(program, vectors.codes).tolist()
    members = sum(any(inside(x, box) for box in regions) for x in vectors.x.tolist())
    assert members >= count - count // 8


def test_vectors_hold_extremes_corners_and_both_sides_of_ties():
    layer = (np.array([[1.0, 1.0]], np.float32), np.array([0.0], np.float32))
    network = build_network(2, [layer])
    box = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)
    program = quantize.run(network, QuantizeRequest((box,), input_format=QFormat(4, 4)))
    vectors = validator.choose_vectors(network, program, (box,), 200, 1)
    codes = set(map(tuple, vectors.codes.tolist()))
    assert {(-128, -128), (127, 127), (0, 0)} <= codes
    x = set(map(tuple, vectors.x.tolist()))
    assert {(-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)} <= x
    offsets = vectors.x.ravel() * 16 % 1.0
    assert (offsets == 0.5).sum() > 10, "on a tie"
    assert ((offsets > 0.5 - 1e-9) & (offsets < 0.5)).sum() > 10, "just below one"


def test_every_region_is_visited():
    boxes = tuple(Box((Fraction(k),), (k + Fraction(1, 2),)) for k in range(5))
    layer = (np.array([[1.0]], np.float32), np.array([0.0], np.float32))
    network = build_network(1, [layer])
    program = quantize.run(network, QuantizeRequest(boxes))
    x = validator.choose_vectors(network, program, boxes, 100, 0).x.ravel()
    assert {int(v) for v in x if v >= 0 and v - int(v) <= 0.5} >= set(range(5))


@given(st.integers(0, 1 << 32), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_bound_is_decided_without_rounding(seed, case):
    """A bound equal to the worst deviation is kept; one 2**-200 below it is not."""
    network, program, regions, vectors = random_case(seed)
    deviations = true_deviations(network, program, vectors)
    worst = []
    for box in regions:
        rows = [i for i, x in enumerate(vectors.x.tolist()) if inside(x, box)]
        worst.append(list(deviations[rows].max(axis=0)))
    kept = case == 0 or not max(worst[-1])
    if not kept:
        output = int(np.argmax(worst[-1])) if case == 1 else worst[-1].index(max(worst[-1]))
        worst[-1][output] -= Fraction(1, 1 << 200)
    bound = validator.Bound(regions, tuple(map(tuple, worst)))
    verdict = validator.run(network, program, bound, vectors, answered(vectors.expected))
    assert verdict.bit_exact
    assert verdict.within_bound is kept
    assert verdict.passed is kept


@given(st.integers(0, 1 << 32))
@settings(max_examples=25, deadline=None)
def test_the_largest_deviation_is_the_true_one_rounded_up(seed):
    network, program, regions, vectors = random_case(seed)
    deviations = true_deviations(network, program, vectors)
    rows = [i for i, x in enumerate(vectors.x.tolist()) if any(inside(x, box) for box in regions)]
    limits = tuple((Fraction(10) ** 9,) * deviations.shape[1] for _ in regions)
    bound = validator.Bound(regions, limits)
    verdict = validator.run(network, program, bound, vectors, answered(vectors.expected))
    worst = deviations[rows].max()
    assert worst <= Fraction(verdict.max_deviation) <= worst * (1 + Fraction(1, 1 << 50))
    free = validator.run(network, program, None, vectors, answered(vectors.expected))
    assert free.within_bound is None
    assert free.max_deviation >= verdict.max_deviation


def test_one_wrong_bit_is_named():
    network, program, _, vectors = random_case(1)
    outputs = np.array(vectors.expected)
    outputs[7, -1] ^= 1
    outputs[9, 0] += 2
    verdict = validator.run(network, program, None, vectors, answered(outputs))
    last = outputs.shape[1] - 1
    assert verdict.first_difference == (
        f"vector 7, output {last}: expected code {vectors.expected[7, -1]}, "
        f"the device gave {outputs[7, -1]} (2 of 40 vectors differ)"
    )
    assert not verdict.bit_exact
    assert not verdict.passed
    assert (verdict.cycles, verdict.instructions, verdict.vectors) == (12, 34, 40)


def test_a_wrong_answer_also_counts_against_the_bound():
    """The deviation is that of the device, not of the model it should have followed."""
    network, program, regions, vectors = random_case(1)
    outputs = np.array(vectors.expected)
    outputs[:, 0] += 1000
    limits = (Fraction(1, 100),) * outputs.shape[1]
    bound = validator.Bound(regions, (limits,) * len(regions))
    verdict = validator.run(network, program, bound, vectors, answered(outputs))
    assert verdict.within_bound is False
    assert verdict.max_deviation > 999 * float(program.output.format.step) - 10


def test_missing_answers_are_a_difference():
    network, program, _, vectors = random_case(2)
    verdict = validator.run(network, program, None, vectors, answered(vectors.expected[:-1]))
    assert not verdict.passed
    assert "the device gave [39, " in verdict.first_difference


def test_vectors_outside_every_region_neither_keep_nor_break_a_bound():
    network, program, _, vectors = random_case(4)
    far = Box((Fraction(10**6),) * vectors.x.shape[1], (Fraction(10**6),) * vectors.x.shape[1])
    bound = validator.Bound((far,), ((Fraction(0),) * vectors.expected.shape[1],))
    verdict = validator.run(network, program, bound, vectors, answered(vectors.expected))
    assert (verdict.within_bound, verdict.max_deviation) == (None, 0.0)
    assert verdict.passed


def test_an_operator_whose_rounding_is_unknown_is_not_guessed_at():
    network, program, _, vectors = random_case(5)
    strange = replace(network.nodes[0], op="relu6", parameters={})
    network = replace(network, nodes=(strange, *network.nodes[1:]))
    with pytest.raises((ValueError, KeyError), match="relu6"):
        validator.run(network, program, None, vectors, answered(vectors.expected))


@pytest.fixture
def case():
    return random_case(6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_samples_are_read_from_npz(case, tmp_path, dtype):
    network, program, _, vectors = case
    x = np.round(vectors.x).astype(dtype)
    np.savez(tmp_path / "x.npz", x=x.reshape(len(x), 1, -1))
    read = validator.read_vectors(tmp_path / "x.npz", network, program)
    assert read.x.tolist() == x.astype(np.float64).tolist()
    assert read.expected.tolist() == execute(program, read.codes).tolist()


def evil(path):
    np.savez(path, x=np.array([object()], dtype=object))


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (lambda path: None, "the vectors cannot be read: "),
        (lambda path: path.write_bytes(b"no archive"), "the vectors cannot be read: "),
        (lambda path: np.savez(path, y=np.ones(3), z=1), "the vectors cannot be read: it has 2"),
        (evil, "the vectors cannot be read: "),
        (lambda path: np.savez(path, x=np.ones(3)), "the vectors have the shape [3]"),
        (lambda path: np.savez(path, x=np.ones((3, 99))), "the vectors have the shape [3, 99]"),
        (lambda path: np.savez(path, x=np.ones((0, 4))), "the vectors have the shape [0, 4]"),
        (
            lambda path: np.savez(path, x=np.full((2, 4), np.nan)),
            "the vectors hold something that is no finite",
        ),
        (
            lambda path: np.savez(path, x=np.ones((2, 4), complex)),
            "the vectors cannot be read: its elements",
        ),
        (
            lambda path: np.savez(path, x=np.array([["a"] * 4])),
            "the vectors cannot be read: its elements",
        ),
    ],
)
def test_files_that_hold_no_inputs_are_refused_in_words(tmp_path, write, what):
    layer = (np.ones((1, 4), np.float32), np.zeros(1, np.float32))
    network = build_network(4, [layer])
    box = Box((Fraction(-1),) * 4, (Fraction(1),) * 4)
    program = quantize.run(network, QuantizeRequest((box,)))
    path = tmp_path / "x.npz"
    write(path)
    with pytest.raises(InputError) as refusal:
        validator.read_vectors(path, network, program)
    assert refusal.value.what.startswith(what)
    assert refusal.value.where.file == str(path)
    assert refusal.value.fix


def test_archives_that_unpack_to_too_much_are_refused_before_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("qdeploy.validator.vectors.VECTORS", Kind("the vectors", 1000, "fewer"))
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((1000, 4)))
    network, program, _, _ = random_case(6)
    with pytest.raises(InputError, match="the array is larger than 1000 bytes"):
        validator.read_vectors(tmp_path / "x.npz", network, program)
