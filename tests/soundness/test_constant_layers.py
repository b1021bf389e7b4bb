"""Where codes are constant, the rounding error is one known number, at every layer.

Such a layer has no weights, or its ReLU is off or its clip at an end all over the region. What the
device answers is then one code, and what the network answers one real: no bound may be more than
their distance. The recursion alone is: it passes one norm from layer to layer, so it adds the
errors of all neurons as magnitudes, whatever their signs and whichever output they belong to.
"""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest, attack_relaxed, cones
from qdeploy.certifier.attack import attack
from qdeploy.certifier.relaxed import Effort
from qdeploy.certifier.tasks import Scene
from qdeploy.fixedpoint import Rounding
from qdeploy.ir import FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import kernel, ranges, tuned
from qdeploy.proof.pair import Pairs, align
from qdeploy.proof.rounded import decimal_above
from support.networks import Act, Layer, build_network, centred_box, random_network, random_request

INPUTS = 3
REGION = centred_box(INPUTS)
RNG = np.random.default_rng(0)


def layer(n_in: int, n_out: int, offset: float = 0.0) -> Layer:
    weight, bias = RNG.normal(size=(n_out, n_in)), RNG.normal(size=n_out) + offset
    return weight.astype(np.float32), bias.astype(np.float32)


def still(n_in: int, *bias: float) -> Layer:
    """A layer without weights."""
    return np.zeros((len(bias), n_in), dtype=np.float32), np.float32(bias)


CLIP = Act("clip", {"lo": 0.0, "hi": 1.3})
STRAIGHT = {
    "nothing but biases": [still(INPUTS, 0.3, -0.7)],
    "no weights inside": [layer(3, 4), "relu", still(4, 0.3, -0.2, 0.7), "relu", layer(3, 2)],
    "no weights at the end": [layer(3, 4), "relu", still(4, 0.3, -0.7)],
    "a dead layer": [layer(3, 4, -50), "relu", layer(4, 2)],
    "a dead output": [layer(3, 4), "relu", layer(4, 2, -90), "relu"],
    "a dead layer whose relu stands alone": [layer(3, 4, -50), "relu", "relu", layer(4, 2)],
    "a clip at its upper end": [layer(3, 4, 50), CLIP, layer(4, 2)],
    "a clip at its lower end": [layer(3, 4, -50), CLIP, layer(4, 2)],
}
LOOKED_UP = {
    "a constant tanh": [layer(3, 4), "relu", still(4, 0.3, -0.7), "tanh"],
    "a constant tanh inside": [still(INPUTS, 0.3, -0.7), "tanh", layer(2, 2)],
    "a constant sigmoid": [still(INPUTS, 0.3, -0.7), "sigmoid"],
    "a constant leaky relu": [
        still(INPUTS, 0.3, -0.7),
        Act("leaky_relu", {"slope": 0.3}),
        layer(2, 2),
    ],
}


def made(steps: list, rounding: Rounding, bits: int) -> tuple[Network, FixedNetwork]:
    network = build_network(INPUTS, steps)
    request = QuantizeRequest((REGION,), bits=bits, rounding=rounding, work=0.02)
    return network, quantize.run(network, request)


def known(network: Network, program: FixedNetwork) -> tuple[Fraction, ...]:
    """The distance of one code from one real, which is the same at unlike inputs."""
    points = [[Fraction(v)] * INPUTS for v in (0, 1, -1)]
    first, *others = proof.deviations_at(network, program, points)
    assert others == [first, first]
    return first


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", STRAIGHT)
def test_intervals_and_lines_state_the_one_number(name: str, bits: int, rounding: Rounding) -> None:
    network, program = made(STRAIGHT[name], rounding, bits)
    looked = kernel.analysis(network, program, REGION)
    one = tuple(decimal_above(v) for v in known(network, program))
    assert kernel.prove_part(looked, "interval", None).per_output == one
    assert kernel.prove_part(looked, "linear", None).per_output == one
    recursion = kernel.prove_part(looked, "recursion", None).per_output
    assert all(b is not None and b >= v for b, v in zip(recursion, one, strict=True))


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(
    "name", ["nothing but biases", "a dead layer", "a dead output", "a clip at its upper end"]
)
def test_so_do_trees_slopes_and_cones(name: str, rounding: Rounding) -> None:
    """On their grids, onto which the network's parameters are rounded."""
    network, program = made(STRAIGHT[name], rounding, 12)
    one, pairs = known(network, program), Pairs(network, program)
    for grid in (30, 64):
        (whole,) = kernel.prove_whole(pairs, [REGION], grid)
        pair = align(network, program, grid)
        box = ranges.boxes_on_grid([REGION], grid)
        tuned_bounds = tuned.leaf_bound(pair, box, lambda _: None)
        slack = Fraction(400, 1 << grid)
        for value, split, slopes in zip(one, whole.per_output, tuned_bounds, strict=True):
            assert value <= Fraction(split) <= value + slack + Fraction(1, 10**12)
            assert value <= Fraction(int(slopes), 1 << grid) <= value + slack
    scene, setting = Scene(network, program), cones.Setting(REGION, slacks=False)
    for output, value in enumerate(one):
        sides = [cones.bound_side(scene, setting, output, sign, None) for sign in (1, -1)]
        bounds = [side.bound for side in sides]
        assert None not in bounds
        assert value <= max(bounds) + Fraction(1, 1 << 50)
        assert max(bounds) <= value + Fraction(1, 10**6)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("name", STRAIGHT)
def test_the_certificate_states_it_and_nothing_is_left_to_find(
    name: str, rounding: Rounding
) -> None:
    network, program = made(STRAIGHT[name], rounding, 8)
    request = CertifyRequest(work=0.05, attack_budget=100)
    certificate = certifier.run(network, program, (REGION,), request)
    (proven,) = proof.check(network, certificate)
    one = tuple(decimal_above(v) for v in known(network, program))
    assert proven.per_output == one
    assert Fraction(certificate.regions[0].attack.linf) >= max(known(network, program)) * Fraction(
        1 - 1e-9
    )


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("name", "rounding"), [*zip(LOOKED_UP, [*Rounding, Rounding.NEAREST], strict=True)]
)
def test_a_constant_code_that_is_looked_up_is_known_too(
    name: str, rounding: Rounding, bits: int
) -> None:
    """But for the ends between which a curve is known; 16 bits are more codes than blocks."""
    network, program = made(LOOKED_UP[name], rounding, bits)
    looked = kernel.analysis(network, program, REGION)
    for method in ("interval", "linear"):
        bounds = kernel.prove_part(looked, method, None).per_output
        for bound, value in zip(bounds, known(network, program), strict=True):
            assert bound is not None
            assert value <= Fraction(bound) <= value + Fraction(1, 10**7)


# --- free roundings --------------------------------------------------------------------------

HAIR = Fraction((1 << 50) - 1, 1 << 50)
"""What doubles may lose of a deviation."""


@pytest.mark.parametrize(
    ("name", "rounding"), [*zip([*STRAIGHT, *LOOKED_UP], [*Rounding] * 4, strict=True)]
)
def test_where_nothing_is_free_free_roundings_reach_what_the_attack_does(
    name: str, rounding: Rounding
) -> None:
    network, program = made({**STRAIGHT, **LOOKED_UP}[name], rounding, 8)
    real = attack(network, program, REGION, budget=50, seed=0)
    found = attack_relaxed(network, program, REGION, seed=0, start=real.x)
    assert found is not None
    for reached, value in zip(found.per_output, real.per_output, strict=True):
        assert value * HAIR <= Fraction(reached) <= value * Fraction(10001, 10000)


@pytest.mark.parametrize("seed", range(20))
def test_no_output_falls_below_the_attack_it_starts_from(seed: int) -> None:
    network = random_network(seed, activated=bool(seed % 2))
    request = random_request(seed, network)
    program = quantize.run(network, request)
    for box in request.regions:
        real = attack(network, program, box, budget=200, seed=seed)
        (apart,) = proof.deviations_at(network, program, [real.x])
        effort = Effort(turns=1)
        found = attack_relaxed(network, program, box, seed=seed, start=real.x, effort=effort)
        assert found is not None
        assert Fraction(found.linf) >= real.linf * HAIR
        for reached, value in zip(found.per_output, apart, strict=True):
            assert Fraction(reached) >= value * HAIR
