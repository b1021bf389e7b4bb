"""Programs smaller than their network: what stands beside what never matters for the truth.

The programs are executed as they are; the kernel sees them made wider and deeper. So enumeration
and attacks here would notice if that changed anything.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, ops, proof, quantize, reduce
from qdeploy.certifier import CertifyRequest, DecideRequest
from qdeploy.certifier.attack import attack
from qdeploy.diagnostics import InputError, RefusedError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FixedArray, FixedNetwork, Network, QuantizeRequest, exact
from qdeploy.proof import DecisionKind, MismatchError, kernel, placing, side_by_side
from qdeploy.proof.placing import widths_of
from qdeploy.reduce import Amount, PruneRequest
from qdeploy.reduce.reducers import neurons
from support.enumeration import worst_deviation
from support.networks import Act, build_network, paper_network, random_network, random_request
from support.programs import random_codes, random_program

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
SPEND = CertifyRequest(work=0.1, attack_budget=1000)
FREE = replace(SPEND, methods=frozenset())
"""For curves, whose cones take seconds and know nothing of rows."""
REDUCERS = sorted(reduce.known_reducers())
FEW_CELLS = 300


def certified(network, program, places, regions, spend=SPEND):
    """Certify as the pipeline does; return the certificate as it was read back."""
    found = certifier.run(*side_by_side(network, program, places), regions, spend)
    found = replace(found, program=program, places=places)
    return proof.read(proof.write(proof.attest(found))).certificate


def random_places(rng, own, widths):
    return tuple(
        tuple(int(r) for r in rng.permutation(width)[:count])
        for count, width in zip(own[1:-1], widths[1:-1], strict=True)
    )


# --- pruned networks -------------------------------------------------------------------------


def pruned(seed: int, reducer: str, *, activated: bool):
    """A random network without a random part of it, or None where the formats do not suit it."""
    network = random_network(seed, activated=activated)
    request = random_request(seed, network)
    part = Fraction(int(np.random.default_rng(seed).integers(1, 100)), 100)
    found = reduce.known_reducers()[reducer]
    if found.total(network) * part >= found.most(network) + 1:
        part = Fraction(found.most(network), max(found.total(network), 1))
    asked = PruneRequest(reducer, Amount(part, is_share=True), request.regions)
    reduction = reduce.run(network, asked)
    try:
        program = quantize.run(reduction.network, request)
    except InputError:  # a folded bias may be beyond a given --biases format
        assert request.biases is not None
        program = quantize.run(reduction.network, replace(request, biases=None))
    return network, program, reduction.kept, request.regions


@pytest.mark.parametrize("activated", [False, True], ids=["relu", "activated"])
@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize("chunk", range(2))
def test_no_input_exceeds_the_bound_of_a_pruned_network(chunk, reducer, activated):
    smaller = enumerated = 0
    for seed in range(10 * chunk + 1, 10 * chunk + 8):
        network, program, kept, regions = pruned(seed, reducer, activated=activated)
        smaller += widths_of(program) != widths_of(network)
        certificate = certified(network, program, kept, regions, FREE if activated else SPEND)
        for bound in proof.check(network, certificate):
            found = attack(network, program, bound.box, budget=2000, seed=seed)
            assert all(a <= b for a, b in zip(found.per_output, bound.per_output, strict=True))
            cells = (bound.box.hi[0] - bound.box.lo[0]) / program.input.format.step
            if network.inputs[0].size == 1 and cells < FEW_CELLS and not activated:
                worst = worst_deviation(network, program, bound.box)
                assert all(w <= b for w, b in zip(worst, bound.per_output, strict=True))
                enumerated += 1
    assert (smaller > 1) == (reducer == "neurons")


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("seed", range(2))
def test_paper_networks_without_their_weakest_neurons(seed: int, rounding: Rounding) -> None:
    """Every method by itself, against the exact worst case; the best is within a hundredth."""
    network = paper_network(seed, 2)
    asked = PruneRequest("neurons", Amount(Fraction(8), is_share=False), (UNIT_BOX,))
    reduction = reduce.run(network, asked)
    request = QuantizeRequest((UNIT_BOX,), bits=8, rounding=rounding, quantizer=rounding)
    program = quantize.run(reduction.network, request)
    spend = CertifyRequest(work=2.0, attack_budget=2000)
    certificate = certified(network, program, reduction.kept, (UNIT_BOX,), spend)
    (bound,) = proof.check(network, certificate)
    (worst,) = worst_deviation(network, program, UNIT_BOX)
    for part in certificate.regions[0].parts:
        assert part.per_output[0] is None or worst <= part.per_output[0], part.method
    assert worst <= bound.linf <= worst * Fraction(102, 100)


# --- placing changes nothing -----------------------------------------------------------------


def wider(rng, widths):
    return [widths[0], *(w + int(rng.integers(0, 4)) for w in widths[1:-1]), widths[-1]]


@pytest.mark.parametrize("seed", range(60))
def test_a_program_made_wider_computes_the_same_codes(seed: int) -> None:
    program = random_program(seed, activated=seed % 2 == 1)
    if not any(node.op == "dense" for node in program.nodes):
        return
    rng = np.random.default_rng(seed)
    own = widths_of(program)
    widths = wider(rng, own)
    wide = placing._spread_program(program, random_places(rng, own, widths), widths)
    assert widths_of(wide) == widths
    codes = random_codes(program, 200, seed)
    assert np.array_equal(ops.execute(wide, codes), ops.execute(program, codes))


@pytest.mark.parametrize("seed", range(40))
def test_a_network_made_wider_computes_the_same_numbers(seed: int) -> None:
    network = random_network(seed, activated=seed % 2 == 1)
    if not any(node.op == "dense" for node in network.nodes):
        return
    rng = np.random.default_rng(seed)
    own = widths_of(network)
    widths = wider(rng, own)
    wide = placing._spread_network(network, random_places(rng, own, widths), widths)
    x = exact(rng.normal(size=(20, own[0])))
    for before, after in zip(ops.enclose(network, x), ops.enclose(wide, x), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("activation", ["relu", Act("clip", {"lo": -0.5, "hi": 0.75}), None])
@pytest.mark.parametrize("rounding", Rounding)
def test_layers_that_are_handed_on_change_nothing(activation, rounding: Rounding) -> None:
    rng = np.random.default_rng(3)
    first, last = rng.normal(size=(4, 2)), rng.normal(size=(3, 4))
    steps = [(first, rng.normal(size=4)), activation, (last, rng.normal(size=3))]
    network = build_network(2, [step for step in steps if step is not None])
    box = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)
    program = quantize.run(network, QuantizeRequest((box,), bits=9, rounding=rounding))
    deep, deeper = placing.repeated(network, 3), placing._repeated_program(program, 3)
    x = exact(rng.normal(size=(50, 2)))
    assert np.array_equal(ops.evaluate_exact(deep, x), ops.evaluate_exact(network, x))
    codes = random_codes(program, 500, 1)
    assert np.array_equal(ops.execute(deeper, codes), ops.execute(program, codes))
    assert len(proof.align(deep, deeper).layers) == 5


# --- any placing is sound --------------------------------------------------------------------


def other_network(seed: int, widths, activation="relu") -> Network:
    rng = np.random.default_rng((seed, 17))
    steps = []
    for before, after in itertools.pairwise(widths):
        steps += [(rng.normal(size=(after, before)) / before, rng.normal(size=after)), activation]
    return build_network(widths[0], steps[:-1], f"other_{seed}")


SHAPES = [
    ((1, 5, 4, 1), (1, 3, 4, 1)),
    ((1, 3, 4, 1), (1, 5, 2, 1)),
    ((1, 6, 5, 2), (1, 4, 2)),
    ((1, 4, 2), (1, 3, 5, 3, 2)),
    ((1, 4, 4, 1), (1, 4, 4, 1)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_any_placing_of_any_network_is_sound(seed: int, shapes) -> None:
    network, deployed = (other_network(seed + k, widths) for k, widths in enumerate(shapes))
    rounding = list(Rounding)[seed]
    request = QuantizeRequest((UNIT_BOX,), bits=6, rounding=rounding, quantizer=rounding)
    program = quantize.run(deployed, request)
    worst = worst_deviation(network, program, UNIT_BOX)
    deep = max(len(shape) for shape in shapes) - len(shapes[0])
    own = widths_of(placing.repeated(network, deep))
    other = widths_of(placing.repeated(deployed, len(own) - len(shapes[1])))
    rng = np.random.default_rng(seed)
    placings = [random_places(rng, other, list(map(max, own, other))) for _ in range(2)]
    for places in [certifier.place(network, deployed), *placings]:
        (bound,) = proof.check(network, certified(network, program, places, (UNIT_BOX,)))
        assert all(w <= b for w, b in zip(worst, bound.per_output, strict=True))


def small_case():
    """A network, a program of two of its three neurons, and where they stand."""
    network = other_network(5, (1, 3, 1))
    asked = PruneRequest("neurons", Amount(Fraction(1), is_share=False), (UNIT_BOX,))
    reduction = reduce.run(network, asked)
    program = quantize.run(reduction.network, QuantizeRequest((UNIT_BOX,), bits=8))
    return network, program, reduction.kept


WRONG_PLACES = {
    "a row twice": ((1, 1),),
    "a row that is not there": ((0, 3),),
    "a row before the first": ((0, -1),),
    "a row of 200 bits": ((0, 1 << 200),),
    "too few rows": ((0,),),
    "too many rows": ((0, 1, 2),),
    "no layer": (),
    "a layer too many": ((0, 1), (0,)),
    "an empty layer": ((),),
}


@pytest.mark.parametrize("places", WRONG_PLACES.values(), ids=WRONG_PLACES)
def test_what_is_no_placing_is_refused(places) -> None:
    network, program, kept = small_case()
    certificate = replace(certified(network, program, kept, (UNIT_BOX,)), places=places)
    with pytest.raises(RefusedError, match=r"^places: "):
        proof.check(network, certificate)


def test_another_placing_is_not_what_the_bound_was_proven_with() -> None:
    network, program, kept = small_case()
    certificate = certified(network, program, kept, (UNIT_BOX,))
    for rows in itertools.permutations(range(3), 2):
        if (rows,) != kept:
            with pytest.raises(RefusedError, match="recomputed"):
                proof.check(network, replace(certificate, places=(rows,)))
    with pytest.raises(RefusedError, match="another shape than the network's"):
        proof.check(network, replace(certificate, places=None))


@pytest.mark.parametrize("shapes", [((1, 3, 2), (1, 3, 3, 2)), ((1, 3, 3, 2), (1, 3, 2))], ids=str)
def test_a_layer_of_tanh_cannot_be_handed_on(shapes) -> None:
    network, deployed = (other_network(1, widths, "tanh") for widths in shapes)
    program = quantize.run(deployed, QuantizeRequest((UNIT_BOX,), bits=6))
    with pytest.raises(MismatchError, match="a tanh cannot be handed on unchanged"):
        side_by_side(network, program, ((0, 1, 2), (0, 1, 2)))


# --- hostile programs ------------------------------------------------------------------------


def with_node(program: FixedNetwork, index: int, **changes) -> FixedNetwork:
    nodes = list(program.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(program, nodes=tuple(nodes))


def without_weights(program):
    return with_node(program, 0, arrays={"bias": program.nodes[0].arrays["bias"]})


def with_crooked_weights(program):
    array = program.nodes[0].arrays["weight"]
    flat = replace(array, raw=array.raw.reshape(-1))
    return with_node(program, 0, arrays={**program.nodes[0].arrays, "weight": flat})


def with_words_of_64_bits(program):
    tensors = tuple(replace(t, format=QFormat(60, 4)) for t in program.tensors)
    return replace(program, tensors=tensors)


def with_endless_layers(program):
    last = program.tensors[-1]
    tensors = [replace(last, tensor=replace(last.tensor, id=f"more_{k}")) for k in range(200)]
    ids = [last.id, *(t.id for t in tensors)]
    nodes = [
        replace(program.nodes[-1], name=b, op="relu", inputs=(a,), output=b, arrays={}, integers={})
        for a, b in itertools.pairwise(ids)
    ]
    return replace(
        program,
        outputs=(ids[-1],),
        tensors=(*program.tensors, *tensors),
        nodes=(*program.nodes, *nodes),
    )


HOSTILE = [without_weights, with_crooked_weights, with_words_of_64_bits, with_endless_layers]


@pytest.mark.parametrize("damage", HOSTILE, ids=lambda d: d.__name__)
@pytest.mark.parametrize("widths", [(1, 3, 1), (1, 3, 3, 1)])
def test_a_program_that_contradicts_itself_is_refused(damage, widths) -> None:
    _, program, _ = small_case()
    places = ((0, 1),) * (len(widths) - 2)
    with pytest.raises(MismatchError):
        side_by_side(other_network(5, widths), damage(program), places)


def test_slopes_for_other_neurons_are_refused() -> None:
    """Five slopes for two neurons would fit once the layer has five rows."""
    layers = [(np.ones((2, 1)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]
    small = build_network(1, [layers[0], Act("leaky_relu", {"slope": [0.5, 0.25]}), layers[1]])
    program = quantize.run(small, QuantizeRequest((UNIT_BOX,), bits=8))
    slope = program.nodes[1].arrays["slope"]
    five = FixedArray(np.resize(slope.raw, 5), slope.format)
    wide = [(np.ones((5, 1)), np.zeros(5)), (np.ones((1, 5)), np.zeros(1))]
    network = build_network(1, [wide[0], Act("leaky_relu", {"slope": [0.5] * 5}), wide[1]])
    side_by_side(network, program, ((0, 1),))
    with pytest.raises(MismatchError, match="5 numbers for 2 neurons"):
        side_by_side(network, with_node(program, 1, arrays={"slope": five}), ((0, 1),))


def test_what_would_fill_the_memory_is_refused_before_it_does() -> None:
    many = 3000
    thin = np.zeros((many, 1))
    network = build_network(1, [(thin, np.zeros(many)), "relu", (thin.T, np.zeros(1))])
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8))
    rows = tuple(range(many))
    with pytest.raises(MismatchError, match="more than 4194304 weights"):
        side_by_side(other_network(1, (1, 2, 2, 1)), program, (rows, rows))
    crossed = other_network(1, (1, 2, many, 1))
    with pytest.raises(MismatchError, match="more than 4194304 weights"):
        side_by_side(network, quantize.run(crossed, QuantizeRequest((UNIT_BOX,))), (rows, rows))


def test_a_small_model_cannot_be_made_to_check_a_huge_program() -> None:
    """Before placing, a user's own model limited how long a check takes."""
    wide = other_network(1, (1, 300, 300, 1))
    program = quantize.run(wide, QuantizeRequest((UNIT_BOX,), bits=8))
    rows = tuple(range(300))
    with pytest.raises(MismatchError, match="far larger than the network"):
        side_by_side(other_network(1, (1, 2, 2, 1)), program, (rows, rows))
    side_by_side(other_network(1, (1, 60, 60, 1)), program, (rows, rows))


def test_names_that_a_layer_more_would_have_are_taken_by_nobody() -> None:
    network = other_network(2, (1, 3, 1))
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8))
    taken = replace(program.tensors[1], tensor=replace(program.tensors[1].tensor, id="again0_0"))
    nodes = (
        replace(program.nodes[0], output="again0_0", name="again1" + "n" * 57),
        replace(program.nodes[1], inputs=("again0_0",)),
    )
    program = replace(
        program, nodes=nodes, tensors=(program.tensors[0], taken, *program.tensors[2:])
    )
    deep = placing._repeated_program(program, 2)
    codes = random_codes(program, 100, 1)
    assert np.array_equal(ops.execute(deep, codes), ops.execute(program, codes))


# --- decisions -------------------------------------------------------------------------------


def test_decisions_of_a_pruned_network_are_proven_and_attacked() -> None:
    network = other_network(11, (2, 8, 3))
    rng = np.random.default_rng(1)
    boxes = []
    for centre in rng.normal(size=(24, 2)):
        lo, hi = (tuple(Fraction(float(v)) for v in centre + r) for r in (-0.02, 0.02))
        boxes.append(Box(lo, hi))
    regions = tuple(boxes)
    asked = PruneRequest("neurons", Amount(Fraction(4), is_share=False), regions)
    reduction = reduce.run(network, asked)
    program = quantize.run(reduction.network, QuantizeRequest(regions, bits=8))
    wide = side_by_side(network, program, reduction.kept)
    found = certifier.decide(*wide, regions, DecideRequest(DecisionKind.ARGMAX, 0.5), print)
    certificate = replace(
        certified(network, program, reduction.kept, regions, FREE), decision=found
    )
    statuses = [p.decision.value for p in proof.check(network, certificate)]
    assert statuses.count("unchanged") > 5
    for box, case, status in zip(regions, found.cases, statuses, strict=True):
        corners = [box.lo, box.hi, (box.lo[0], box.hi[1]), (box.hi[0], box.lo[1])]
        device = kernel.outputs_at(program, corners).argmax(axis=1)
        real = ops.evaluate_exact(network, exact([list(c) for c in corners])).argmax(axis=1)
        if status == "unchanged":
            assert {*device.tolist(), *real.tolist()} == {case.winner}
    with pytest.raises(RefusedError):
        proof.check(network, replace(certificate, places=((0, 1, 2, 3),)))


# --- wrong variants --------------------------------------------------------------------------


def that_mixes_rows_up(monkeypatch: pytest.MonkeyPatch) -> None:
    true = placing._Layers.following

    def wrong(layers):
        before, width, rows = true(layers)
        return before, width, rows[::-1]

    monkeypatch.setattr(placing._Layers, "following", wrong)


def that_prunes_the_network_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    check, spread, known = placing.check_places, placing._spread_network, []

    def checked(own, places, widths):
        known[:] = places
        check(own, places, widths)

    def wrong(network, natural, widths):
        nodes = list(network.nodes)
        weight = nodes[-1].parameters["weight"].copy()
        weight[:, [i for i in natural[-1] if i not in known[-1]]] = Fraction(0)
        nodes[-1] = replace(nodes[-1], parameters={**nodes[-1].parameters, "weight": exact(weight)})
        return spread(replace(network, nodes=tuple(nodes)), natural, widths)

    monkeypatch.setattr(placing, "check_places", checked)
    monkeypatch.setattr(placing, "_spread_network", wrong)


WRONG: list[Callable[[pytest.MonkeyPatch], None]] = [
    that_mixes_rows_up,
    that_prunes_the_network_as_well,
]


def violations() -> int:
    """How many small pruned programs have a bound below their exact worst case."""
    count = 0
    for seed in (1, 2, 3, 19, 23, 26, 39):
        network = other_network(seed, (1, 4, 3, 1))
        kept = neurons.REDUCER.reduce(network, 2, (UNIT_BOX,)).kept
        # What is folded into biases is as large as what it stands for: damage would not show.
        thinner = neurons._without(network, kept, [])
        program = quantize.run(thinner, QuantizeRequest((UNIT_BOX,), bits=7))
        known = kernel.analysis(*side_by_side(network, program, kept), UNIT_BOX)
        bound = kernel.prove_part(known, "linear", None).per_output[0]
        count += worst_deviation(network, program, UNIT_BOX)[0] > bound
    return count


def test_the_right_placing_has_no_violation() -> None:
    assert violations() == 0


@pytest.mark.parametrize("damage", WRONG, ids=lambda d: d.__name__)
def test_a_wrong_placing_is_caught(damage, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch)
    assert violations() > 0
