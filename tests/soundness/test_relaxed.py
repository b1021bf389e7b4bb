"""Free roundings: no bound over a box that models them so may lie below what they reach."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from qdeploy import ops, quantize
from qdeploy.certifier import attack_relaxed, relaxed
from qdeploy.certifier.attack import attack
from qdeploy.certifier.relaxed import Effort
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import deviations_at, kernel, ranges
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.lookup import Lookup
from qdeploy.proof.pair import align, sharp_grid
from support.networks import (
    Act,
    build_network,
    paper_network,
    random_network,
    random_request,
)

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
INSIDE = Box((Fraction(-3, 8),), (Fraction(3, 8),))
"""Where no format saturates."""
LOOKED_UP = (
    "sigmoid",
    "softsign",
    "tanh",
    Act("elu", {"alpha": 1.0}),
    Act("leaky_relu", {"slope": 0.3}),
)
BY_BOX = ("recursion", "interval", "linear")


def violations(seeds: range, *, activated: bool = False) -> int:
    """How many outputs of random programs have a bound below their relaxed deviation."""
    count = 0
    for seed in seeds:
        network = random_network(seed, activated=activated)
        request = random_request(seed, network)
        program = quantize.run(network, request)
        box = request.regions[0]
        found = attack_relaxed(network, program, box, seed=seed, effort=Effort(turns=20))
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


@pytest.mark.parametrize("chunk", range(4))
def test_nor_does_any_activation_exceed_one(chunk: int) -> None:
    """Tables and interpolations among them, with every rounding before and behind them free."""
    assert violations(range(chunk * 12, chunk * 12 + 12), activated=True) == 0


def looked_up(act: str | Act, bits: int) -> tuple[Network, FixedNetwork]:
    """One neuron of weight 1 over INSIDE."""
    network = build_network(1, [(np.float32([[1.0]]), np.float32([0.0])), act])
    return network, quantize.run(network, QuantizeRequest((INSIDE,), bits=bits))


def exceeds(network: Network, program: FixedNetwork) -> bool:
    """Whether what free roundings reach is more than linear bounds state."""
    found = attack_relaxed(network, program, INSIDE, seed=0)
    assert found is not None
    known = kernel.analysis(network, program, INSIDE)
    (bound,) = kernel.prove_part(known, "linear", None).per_output
    return bound is not None and Fraction(found.linf) > bound


@pytest.mark.parametrize(
    ("place", "name"), [(ranges, "_rounding_before"), (Lookup, "errors")], ids=["before", "behind"]
)
def test_a_kernel_that_halves_the_errors_of_lookups_is_caught(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    network, program = looked_up("tanh", 8)
    assert not exceeds(network, program)
    true = getattr(place, name)

    def halved(*facts):
        e = true(*facts)
        return Interval(e.lo // 2, e.hi // 2)

    monkeypatch.setattr(place, name, halved)
    assert exceeds(network, program)


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


@pytest.mark.parametrize("act", LOOKED_UP)
@pytest.mark.parametrize("bits", [8, 14])
def test_one_looked_up_neuron_reaches_its_closed_form(act: str | Act, bits: int) -> None:
    """phi(x + e + rho) + r - phi(x), where phi is steepest: at 0 or above, for all of these."""
    network, program = looked_up(act, bits)
    found = attack_relaxed(network, program, INSIDE, seed=0)
    assert found is not None
    before, after = (program.tensors[k].format for k in (1, 2))
    free = float(program.input.format.step + before.step) / 2
    op, node = ops.known_ops()[network.nodes[1].op], network.nodes[1]
    curve = partial(op.evaluate, node)
    codes = np.arange(-before.raw_max // 2, before.raw_max // 2 + 1)[:, None]
    device = op.execute(program.nodes[1], program, codes)
    values = codes * float(before.step)
    wrong = float(abs(device * float(after.step) - curve(values)).max())
    rise = float(
        np.diff(curve(np.array([[-free / 2], [free / 2], [free], [2 * free]])), axis=0).max()
    )
    assert 0.95 * rise <= found.linf <= free * 1.0001 + wrong + 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_what_the_attack_found_is_never_missed(seed: int) -> None:
    """Free roundings can be those of the device, so no fewer turns may reach less than it does."""
    network = random_network(seed, activated=bool(seed % 2))
    request = random_request(seed, network)
    program, box = quantize.run(network, request), request.regions[0]
    real = attack(network, program, box, budget=1000, seed=0)
    for turns in (1, 20):
        effort = Effort(turns=turns)
        found = attack_relaxed(network, program, box, seed=0, start=real.x, effort=effort)
        assert found is not None
        assert Fraction(found.linf) >= real.linf * (1 - Fraction(1, 1 << 50))


@pytest.mark.parametrize("mode", Rounding)
def test_a_climb_begins_where_the_device_is(mode: Rounding) -> None:
    """Where every rounding is done as the device does it, both deviate alike."""
    network = paper_network(3, 2)
    request = QuantizeRequest((UNIT_BOX,), bits=10, rounding=mode)
    program = quantize.run(network, request)
    model = relaxed._model(network, align(network, program, sharp_grid(program)), UNIT_BOX, 0)
    for x in np.random.default_rng(0).uniform(-1, 1, 50):
        gap, _, _ = relaxed._forward(model, relaxed._honest(model, np.array([[x]])))
        truth = deviations_at(network, program, [[Fraction(x)]])[0][0]
        assert abs(gap[0, 0]) == pytest.approx(float(truth), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_free_roundings_reach_further_than_inputs_do(seed: int) -> None:
    network = paper_network(seed, 2)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=10))
    found = attack_relaxed(network, program, UNIT_BOX, seed=0)
    assert found is not None
    real = attack(network, program, UNIT_BOX, budget=5000, seed=0)
    assert found.linf >= 0.99 * float(real.linf)


def test_equal_arguments_give_equal_results() -> None:
    network = paper_network(0, 2)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=10))
    effort = Effort(turns=20)
    one, two = (attack_relaxed(network, program, UNIT_BOX, seed=5, effort=effort) for _ in range(2))
    assert one == two


def test_of_giants_some_outputs_are_looked_at_or_none() -> None:
    wide = np.ones((9000, 1), dtype=np.float32)
    giant = build_network(1, [(wide, np.zeros(9000, dtype=np.float32))])
    huge = quantize.run(giant, QuantizeRequest((UNIT_BOX,), bits=8))
    found = attack_relaxed(giant, huge, UNIT_BOX, seed=0)
    assert found is not None
    assert 0 < np.count_nonzero(found.per_output) < 9000
    assert attack_relaxed(giant, huge, UNIT_BOX, seed=0, effort=Effort(seconds=0.001)) is None
