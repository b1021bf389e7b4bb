"""No proven bound is ever exceeded: attacks on random programs, exact enumeration of small ones.

The wrong variants at the end damage the kernel on purpose; the same enumeration must notice.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, ops, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.certifier.attack import attack
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import QFormat, Rounding, encode
from qdeploy.ir import Accumulator, Activations, Box, FixedNetwork, Network, QuantizeRequest, exact
from qdeploy.proof import curves, kernel, pair, ranges
from qdeploy.proof.dyadic import Interval, zeros
from support.enumeration import input_cells, worst_deviation
from support.networks import build_network, paper_network, random_network, random_request

NETWORKS = 320
CHUNK = 10
ATTACK = 4000
FEW_CELLS = 300
UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
SPEND = CertifyRequest(work=0.1, attack_budget=1000)


def assert_bounded(network: Network, program: FixedNetwork, proven: proof.Proven, seed: int) -> int:
    """Attack one proven box; return how many inputs were tried."""
    found = attack(network, program, proven.box, budget=ATTACK, seed=seed)
    assert all(a <= b for a, b in zip(found.per_output, proven.per_output, strict=True))
    assert found.linf <= proven.linf
    cells = (proven.box.hi[0] - proven.box.lo[0]) / program.input.format.step
    if network.inputs[0].size == 1 and cells < FEW_CELLS:
        worst = worst_deviation(network, program, proven.box)
        assert all(w <= b for w, b in zip(worst, proven.per_output, strict=True))
    return found.evaluations


@pytest.mark.parametrize("chunk", range(NETWORKS // CHUNK))
def test_attacks_on_random_programs_never_exceed_the_bound(chunk: int) -> None:
    tried = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        network = random_network(seed)
        request = random_request(seed, network)
        program = quantize.run(network, request)
        certificate = certifier.run(network, program, request.regions, SPEND)
        again = proof.read(proof.write(proof.attest(certificate))).certificate
        for proven in proof.check(network, again):
            tried += assert_bounded(network, program, proven, seed)
    # Together with their siblings these are more than a million inputs.
    assert tried * (NETWORKS // CHUNK) >= 1_000_000


PAPER = [(1, seed) for seed in range(12)] + [(2, seed) for seed in range(3)]


def paper_program(network: Network, rounding: Rounding) -> FixedNetwork:
    fmt = QFormat(8, 3)
    request = QuantizeRequest(
        (UNIT_BOX,),
        weights=fmt,
        biases=fmt,
        input_format=fmt,
        activations=Activations.EXACT,
        rounding=rounding,
        quantizer=rounding,
    )
    return quantize.run(network, request)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(("hidden", "seed"), PAPER)
def test_paper_networks_against_their_exact_worst_case(
    hidden: int, seed: int, rounding: Rounding
) -> None:
    network = paper_network(seed, hidden)
    program = paper_program(network, rounding)
    limit = 8.0 if rounding is Rounding.TRUNC else 0.5
    spend = CertifyRequest(work=limit, methods=frozenset({"sdp"}))
    certificate = certifier.run(network, program, (UNIT_BOX,), spend)
    (proven,) = proof.check(network, certificate)
    (worst,) = worst_deviation(network, program, UNIT_BOX)
    assert worst <= proven.linf
    for part in certificate.regions[0].parts:
        assert part.per_output[0] is None or worst <= part.per_output[0], part.method


def eight_bit_pair(seed: int) -> tuple[Network, FixedNetwork, Box]:
    """A small two-input network whose 2**16 input codes can all be run."""
    rng = np.random.default_rng(seed)
    layers = []
    for n_in, n_out in itertools.pairwise((2, 5, 4, 2)):
        weight = rng.normal(size=(n_out, n_in)).astype(np.float32)
        layers += [(weight, rng.normal(size=n_out).astype(np.float32)), "relu"]
    network = build_network(2, layers[:-1])
    box = Box((Fraction(-1), Fraction(-1)), (Fraction(127, 128), Fraction(127, 128)))
    return network, quantize.run(network, QuantizeRequest((box,), bits=8)), box


@pytest.mark.parametrize("seed", range(4))
def test_every_input_code_of_two_input_programs(seed: int) -> None:
    """All codes, each at its own value: the deviation found is true and stays below the bound."""
    network, program, box = eight_bit_pair(seed)
    (proven,) = proof.check(network, certifier.run(network, program, (box,), SPEND))
    fmt = program.input.format
    low, high = (
        input_cells(fmt, program.input.rounding, box.lo[0], box.hi[0])[i][0] for i in (0, -1)
    )
    axis = np.arange(low, high + 1)
    codes = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values = codes * float(fmt.step)
    inside = ((values >= -1) & (values <= 127 / 128)).all(axis=1)
    device = ops.execute(program, codes[inside]) * float(program.output.format.step)
    deviation = abs(ops.evaluate(network, values[inside]) - device).max(axis=0)
    assert (deviation <= [float(b) for b in proven.per_output]).all()


def test_a_relu_that_only_the_program_lacks_is_no_match() -> None:
    network, program, box = eight_bit_pair(0)
    roomy = tuple(
        dataclasses.replace(n, accumulator=Accumulator(64, n.accumulator.fb, 1 << 50))
        for n in program.nodes
    )
    fmt = program.tensor(roomy[0].output).format
    integers = dict(roomy[0].integers) | {"clamp_lo": fmt.raw_min}
    first = dataclasses.replace(roomy[0], integers=integers)
    kernel.analysis(network, dataclasses.replace(program, nodes=roomy), box)
    bare = dataclasses.replace(program, nodes=(first, *roomy[1:]))
    with pytest.raises(RefusedError, match="is clamped to other codes"):
        kernel.analysis(network, bare, box)


# --- wrong on purpose ------------------------------------------------------------------------


def without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "rounding_error", lambda *_: (Fraction(0), Fraction(0)))


def without_saturation(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges.saturating_error

    def wide(v, fmt, mode, spacing, grid):
        return true(v, QFormat(60 - fmt.fb, fmt.fb), mode, spacing, grid)

    monkeypatch.setattr(ranges, "saturating_error", wide)


def with_half_the_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges.rounding_error

    def halved(lo, hi, fmt, mode, grid):
        low, high = true(lo, hi, fmt, mode, grid)
        return (low / 2, high / 2) if grid is None else (low, high)

    monkeypatch.setattr(ranges, "rounding_error", halved)


def with_a_chord_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    true = curves._chord_above

    def lowered(t, slopes, grid):
        line = true(t, slopes, grid)
        return curves.Line(line.slope, line.offset // 2)

    monkeypatch.setattr(curves, "_chord_above", lowered)


def with_swapped_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the program's weights for the network's: all weight rounding is forgotten."""
    true = pair._layer

    def same(*arguments):
        layer = true(*arguments)
        return dataclasses.replace(layer, w=layer.v, c=layer.v_bias)

    monkeypatch.setattr(pair, "_layer", same)


def with_an_input_that_never_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges.input_signal

    def middle(known, boxes):
        signal = true(known, boxes)
        nothing = zeros(signal.e.lo.shape, known.grid)
        return dataclasses.replace(signal, e=Interval(nothing, nothing))

    monkeypatch.setattr(ranges, "input_signal", middle)


WRONG: list[Callable[[pytest.MonkeyPatch], None]] = [
    without_rounding,
    without_saturation,
    with_half_the_input_error,
    with_a_chord_too_low,
    with_swapped_weights,
    with_an_input_that_never_moves,
]


def small_programs() -> Iterator[tuple[Network, QuantizeRequest]]:
    """Programs whose bounds are close to their worst case, so that the smallest damage shows."""
    for seed in range(12):
        yield (
            paper_network(seed, seed % 2),
            QuantizeRequest(
                (UNIT_BOX,),
                weights=QFormat(8, 3),
                activations=QFormat(2 + seed % 3, 3),
                input_format=QFormat(1, 4),
                rounding=list(Rounding)[seed % 3],
            ),
        )
    for weight in (2.06, -2.06, 0.95, 1.19):
        layers = [np.float32([[weight]]), np.float32([0]), np.float32([[1]]), np.float32([0])]
        yield (
            build_network(1, [(layers[0], layers[1]), "relu", (layers[2], layers[3])]),
            QuantizeRequest((UNIT_BOX,), weights=QFormat(8, 3), input_format=QFormat(3, 7)),
        )


def violations() -> int:
    """How many of the small programs have a bound below their exact worst case."""
    count = 0
    for network, request in small_programs():
        program = quantize.run(network, request)
        known = kernel.analysis(network, program, UNIT_BOX)
        bound = kernel.prove_part(known, "linear", None).per_output[0]
        assert bound is not None
        count += worst_deviation(network, program, UNIT_BOX)[0] > bound
    return count


def test_the_right_kernel_has_no_violation() -> None:
    assert violations() == 0


@pytest.mark.parametrize("damage", WRONG, ids=lambda d: d.__name__)
def test_a_wrong_kernel_is_caught(damage, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch)
    assert violations() > 0


def test_exact_evaluation_is_the_yardstick() -> None:
    """The witness is evaluated without rounding, so a float error cannot shrink a deviation."""
    network, program, box = eight_bit_pair(1)
    claim = certifier.run(network, program, (box,), SPEND).regions[0]
    x = claim.attack.x
    real = ops.evaluate_exact(network, exact([list(x)]))[0]
    code = quantize_input(program, x)
    device = ops.execute(program, code)[0]
    step = program.output.format.step
    true = max(abs(int(c) * step - v) for c, v in zip(device, real, strict=True))
    stated = Fraction(claim.attack.linf)
    assert stated <= true <= stated + true / 10**11


def quantize_input(program: FixedNetwork, x: tuple[Fraction, ...]) -> np.ndarray:
    values = np.array([[float(v) for v in x]])
    return encode(values, program.input.format, program.input.rounding)
