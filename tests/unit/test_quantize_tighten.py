"""Automatic formats use proven linear ranges, and still nothing saturates."""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy import ops, quantize
from qdeploy.fixedpoint import encode
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.quantize import tighten
from support.networks import build_network, paper_network, random_network, random_request


def cancelling_network() -> Network:
    """Two neurons carry x + 8 each; their difference is small, which intervals cannot see."""
    eye = np.float32([[1], [1]])
    return build_network(
        1,
        [
            (eye, np.float32([8, 8])),
            "relu",
            (np.float32([[1, -1]]), np.float32([0.25])),
            "relu",
            (np.float32([[1]]), np.float32([0])),
        ],
    )


def test_cancellation_is_seen() -> None:
    box = Box((Fraction(-1),), (Fraction(1),))
    program = quantize.run(cancelling_network(), QuantizeRequest((box,), bits=8))
    assert program.output.format.ib <= 1


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_no_input_of_the_regions_saturates(seed: int, bits: int) -> None:
    network = random_network(seed)
    regions = random_request(seed, network).regions
    program = quantize.run(network, QuantizeRequest(regions, bits=bits))
    rng = np.random.default_rng(seed)
    for box in regions:
        lo, hi = (np.array([float(v) for v in side]) for side in (box.lo, box.hi))
        x = lo + (hi - lo) * rng.integers(0, 3, size=(500, box.size)) / 2
        assert_unsaturated(program, np.clip(x, lo, hi))


def assert_unsaturated(program: FixedNetwork, x: np.ndarray) -> None:
    """The rounded sums, before the clamp, are codes of the output format."""
    codes = ops.execute_all(program, encode(x, program.input.format, program.input.rounding))
    for node in program.nodes:
        if node.op != "dense":
            continue
        target = program.tensor(node.output)
        sums = ops.integer_sums(
            codes[node.inputs[0]], node.arrays["weight"].raw, node.arrays["bias"].raw
        )
        values = sums.astype(object) * Fraction(2) ** (target.format.fb - node.accumulator.fb)
        assert all(v < target.format.raw_max + 1 for v in values.ravel())
        if node.integers["clamp_lo"] != 0:
            assert all(v >= target.format.raw_min - 1 for v in values.ravel())


def chain(inputs: int, seed: int) -> Network:
    """Two hidden layers, one output."""
    rng = np.random.default_rng(seed)
    steps = []
    for a, b in ((inputs, 8), (8, 8), (8, 1)):
        weight = (rng.normal(size=(b, a)) * 1.5 / a**0.5).astype(np.float32)
        steps += [(weight, (rng.normal(size=b) * 0.3).astype(np.float32)), "relu"]
    return build_network(inputs, steps[:-1])


@pytest.mark.parametrize(("inputs", "cut"), [(2, True), (16, False)])
def test_ranges_by_pieces_are_for_networks_that_splitting_helps(inputs: int, cut: bool) -> None:
    """Where it does not, a saturation that never occurs would be in every bound."""
    network = chain(inputs, 10)
    box = Box((Fraction(-1),) * inputs, (Fraction(1),) * inputs)
    by_whole, by_pieces = (
        quantize.run(network, QuantizeRequest((box,), bits=8, work=work)) for work in (0.0, 5.0)
    )
    finer = [
        a.format.ib > b.format.ib for a, b in zip(by_whole.tensors, by_pieces.tensors, strict=True)
    ]
    assert any(finer) == cut


def test_too_much_work_leaves_the_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box((Fraction(-1),), (Fraction(1),))
    tight = quantize.run(paper_network(0, 3), QuantizeRequest((box,)))
    monkeypatch.setattr(tighten, "_SHARE_OF_LOOKS", 0)
    plain = quantize.run(paper_network(0, 3), QuantizeRequest((box,)))
    assert plain.output.format.ib > tight.output.format.ib
