"""Free roundings: no bound over a box that models them so may lie below what they reach."""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy import quantize
from qdeploy.certify import attack_relaxed
from qdeploy.certify.attack import attack
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, QuantizeRequest
from qdeploy.proof import kernel, ranges
from support.networks import build_network, paper_network, random_network, random_request

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
BY_BOX = ("recursion", "interval", "linear")


def violations(seeds: range) -> int:
    """How many outputs of random programs have a bound below their relaxed deviation."""
    count = 0
    for seed in seeds:
        network = random_network(seed)
        request = random_request(seed, network)
        program = quantize.run(network, request)
        box = request.regions[0]
        found = attack_relaxed(network, program, box, seed=seed, turns=40)
        assert found is not None
        known = kernel.analysis(network, program, box)
        for method in BY_BOX:
            bounds = kernel.prove_part(known, method, None).per_output
            assert None not in bounds
            pairs = zip(found.per_output, bounds, strict=True)
            count += sum(Fraction(f) > b for f, b in pairs if b is not None)
    return count


@pytest.mark.parametrize("chunk", range(4))
def test_free_roundings_never_exceed_a_bound(chunk: int) -> None:
    assert violations(range(chunk * 25, chunk * 25 + 25)) == 0


def test_a_kernel_that_halves_roundings_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's own ranges hide it from inputs of the device; free roundings do not."""
    true = ranges.rounding_error

    def halved(lo, hi, fmt, mode, spacing):
        low, high = true(lo, hi, fmt, mode, spacing)
        return low / 2, high / 2

    monkeypatch.setattr(ranges, "rounding_error", halved)
    assert violations(range(20)) > 0


@pytest.mark.parametrize("rounding", Rounding)
def test_one_layer_reaches_its_closed_form(rounding: Rounding) -> None:
    """|V| times the input's error plus |V - W| |x|, and the error of the output's rounding."""
    weight, steps = np.float32([[0.7, -0.3]]), (Fraction(1, 16), Fraction(1, 64))
    network = build_network(2, [(weight, np.float32([0]))])
    box = Box((Fraction(-3), Fraction(-3)), (Fraction(3), Fraction(3)))
    request = QuantizeRequest(
        (box,),
        weights=QFormat(2, 3),
        input_format=QFormat(4, 4),
        activations=QFormat(6, 6),
        rounding=rounding,
        quantizer=Rounding.NEAREST,
    )
    program = quantize.run(network, request)
    found = attack_relaxed(network, program, box, seed=0)
    assert found is not None
    largest = steps[0] / 2 if rounding is Rounding.NEAREST else steps[0]
    rounded = np.round(weight * 8) / 8
    source = float(np.abs(rounded - weight).sum()) * 3
    entered = float(np.abs(rounded).sum() * largest)
    # Roundings to one side need not help at the inputs where the weights' errors are worst.
    assert found.linf >= source
    assert found.linf <= source + entered + float(steps[1]) + 1e-12
    if rounding is Rounding.NEAREST:
        assert found.linf >= source + entered


@pytest.mark.parametrize("seed", range(6))
def test_free_roundings_reach_further_than_inputs_do(seed: int) -> None:
    network = paper_network(seed, 2)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=10))
    found = attack_relaxed(network, program, UNIT_BOX, seed=0)
    assert found is not None
    real = attack(network, program, UNIT_BOX, budget=5000, seed=0)
    assert found.linf >= 0.99 * float(real.linf)


def test_equal_arguments_give_equal_results_and_giants_are_left_alone() -> None:
    network = paper_network(0, 2)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=10))
    one, two = (attack_relaxed(network, program, UNIT_BOX, seed=5, turns=20) for _ in range(2))
    assert one == two
    wide = np.ones((9000, 1), dtype=np.float32)
    giant = build_network(1, [(wide, np.zeros(9000, dtype=np.float32))])
    huge = quantize.run(giant, QuantizeRequest((UNIT_BOX,), bits=8))
    assert attack_relaxed(giant, huge, UNIT_BOX, seed=0) is None
