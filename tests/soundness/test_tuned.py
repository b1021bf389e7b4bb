"""Whatever the slopes, the bound holds; wrong polygons are caught, hostile slopes refused."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest, Crew
from qdeploy.certifier.tuning import searching
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import kernel, packed, ranges, tree, tuned
from qdeploy.proof import statement as statements
from qdeploy.proof.certificate import Certificate, Part, TunedPart
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import Pair, align
from support.enumeration import worst_deviation
from support.networks import Act, build_network, paper_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
GRID = 30
ALL_ONE_LEAF = bytes([254])
ACTIVATIONS: tuple[Act | str, ...] = (
    "relu",
    Act("clip", {"lo": -0.3, "hi": 0.7}),
    Act("leaky_relu", {"slope": [0.1, -0.4, 1.3]}),
)


def network_of(seed: int, inputs: int = 1) -> Network:
    """Two or three hidden layers of three neurons, of one activation or another each."""
    rng = np.random.default_rng((seed, 77))
    steps = []
    sizes = [inputs, *[3] * int(rng.integers(3, 5))]
    for before, after in itertools.pairwise(sizes):
        weight = rng.normal(size=(after, before)).astype(np.float32)
        activation = ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))]
        steps += [(weight, rng.normal(size=after).astype(np.float32) / 2), activation]
    return build_network(inputs, steps[: None if seed % 3 == 0 else -1], f"tuned_{seed}")


def program_of(network: Network, rounding: Rounding, bits: int = 8) -> FixedNetwork:
    box = unit_box(network)
    return quantize.run(network, QuantizeRequest((box,), bits=bits, rounding=rounding))


def unit_box(network: Network) -> Box:
    inputs = network.inputs[0].size
    return Box((Fraction(-1),) * inputs, (Fraction(1),) * inputs)


def bound(pair: Pair, box: Box, choose: tuned.Choose) -> list[Fraction]:
    found = tuned.leaf_bound(pair, ranges.boxes_on_grid([box], pair.grid), choose)
    return [Fraction(int(b), 1 << pair.grid) for b in found]


def scattering(seed: int, reach: float) -> tuned.Choose:
    """Slopes around those that make sense, and far from them."""
    rng = np.random.default_rng(seed)

    def choose(task: tuned.Task) -> tuned.Slopes:
        shape = (len(task.rows.offset), task.choices, 2)
        slopes = rng.normal(0.5, reach, size=shape) * (1 << tuned.SLOPE_BITS)
        return np.clip(slopes, -tuned.STEEPEST, tuned.STEEPEST).astype(np.int64)

    return choose


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2000),
    st.sampled_from(list(Rounding)),
    st.sampled_from([0.3, 3.0, 300.0]),
    st.sampled_from([GRID, 64]),
)
def test_any_slopes_bound_what_random_inputs_show(
    seed: int, rounding: Rounding, reach: float, grid: int
) -> None:
    network = network_of(seed, 1 + seed % 2)
    program = program_of(network, rounding)
    proven = bound(align(network, program, grid), unit_box(network), scattering(seed, reach))
    rng = np.random.default_rng(seed)
    points = rng.choice([-1.0, -0.5, 0.0, 1.0, 0.3], size=(48, network.inputs[0].size))
    points[8:] = rng.uniform(-1, 1, size=points[8:].shape)
    for shown in kernel.deviations_at(network, program, [list(map(Fraction, x)) for x in points]):
        assert all(a <= b for a, b in zip(shown, proven, strict=True))


@pytest.mark.parametrize("rounding", Rounding)
def test_a_layer_without_activation_in_between_is_passed_through(rounding: Rounding) -> None:
    rng = np.random.default_rng(8)
    steps: list[object] = []
    for before, after, activation in ((1, 4, "relu"), (4, 4, None), (4, 4, "relu"), (4, 1, None)):
        weight = rng.normal(size=(after, before)).astype(np.float32)
        steps += [(weight, rng.normal(size=after).astype(np.float32)), activation]
    network = build_network(1, [step for step in steps if step is not None])
    program = paper_program(network, rounding)
    (worst,) = worst_deviation(network, program, UNIT_BOX)
    (found,) = searched(network, program)
    lines = tuned.leaf_bound(
        pair := align(network, program, GRID),
        ranges.boxes_on_grid([UNIT_BOX], pair.grid),
        lambda _: None,
    )
    assert worst <= found < Fraction(int(lines[0]), 1 << pair.grid)


def paper_program(network: Network, rounding: Rounding) -> FixedNetwork:
    fmt = QFormat(8, 3)
    request = QuantizeRequest((UNIT_BOX,), weights=fmt, activations=fmt, input_format=QFormat(1, 4))
    return quantize.run(network, dataclasses.replace(request, rounding=rounding))


def searched(network: Network, program: FixedNetwork, turns: int = 30) -> list[Fraction]:
    return bound(align(network, program, GRID), UNIT_BOX, searching(turns, 1 << 20, []))


CASES = [(seed, rounding) for seed in range(4) for rounding in Rounding]


def violations(turns: int) -> int:
    """How many of the small programs have a bound below their exact worst case."""
    count = 0
    for seed, rounding in CASES:
        network = paper_network(seed, 1 + seed % 2)
        program = paper_program(network, rounding)
        (worst,) = worst_deviation(network, program, UNIT_BOX)
        count += worst > searched(network, program, turns)[0]
    return count


@pytest.mark.parametrize("turns", [0, 40])
def test_slopes_that_were_searched_never_go_below_the_exact_worst_case(turns: int) -> None:
    assert violations(turns) == 0


def without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tuned._largest

    def part(rows, box, grid):
        small = (box.hi - box.lo).max() < 1 << (grid - 2)
        return true(rows, box, grid) * int(not small)

    monkeypatch.setattr(tuned, "_largest", part)


def with_offsets_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tuned._through

    def lower(*given):
        p, q, offset = true(*given)
        return p, q, offset - 2 * abs(offset)

    monkeypatch.setattr(tuned, "_through", lower)


def with_the_least_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tuned._at_corner
    monkeypatch.setattr(tuned, "_at_corner", lambda at, _, *rest: true(at, 0, *rest))


def with_swapped_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tuned.upper_bound

    def turned(task, slopes):
        high = true(task, slopes)
        return np.roll(high, len(high) // 2) - (1 << (task.pair.grid - 4))

    monkeypatch.setattr(tuned, "upper_bound", turned)


WRONG: list[Callable[[pytest.MonkeyPatch], None]] = [
    without_rounding,
    with_offsets_too_low,
    with_the_least_corner,
    with_swapped_sides,
]


@pytest.mark.parametrize("damage", WRONG, ids=lambda d: d.__name__)
def test_a_wrong_kernel_is_caught(damage, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch)
    try:
        assert violations(40) > 0
    except tuned.TuningError:
        return  # ranges that have become empty


def points_above() -> int:
    """How many points of polygons lie above the offset that was derived for their layer."""
    return sum(_points_above(seed) for seed in range(4))


def _points_above(seed: int) -> int:
    network = network_of(seed)
    pair = align(network, program_of(network, Rounding.NEAREST), GRID)
    found = ranges.analyse(pair, ranges.boxes_on_grid([UNIT_BOX], GRID), use_linear=True)
    rng = np.random.default_rng(seed)
    count = 0
    for layer, at in zip(pair.layers, found.layers, strict=True):
        corners = tuned.corners(layer, at, GRID)
        if corners is None or layer.curve is None:
            continue
        on_a, on_e = (rng.integers(-(1 << GRID), 1 << GRID, (1, layer.width)) for _ in range(2))
        slopes = rng.integers(-300, 300, (1, len(corners.open), 2))
        p, q, offset = tuned._through(corners, on_a, on_e, slopes, GRID)
        # Neurons are independent: each at its own best of many points.
        best = np.full(layer.width, -(10**40), dtype=object)
        for y, d in points_of(at, rng):
            first, second = (layer.curve.range(Interval(t, t)).lo for t in (y, y + d))
            value = (on_a * first + on_e * (second - first) - p * y - q * d)[0]
            inside = ((y + d >= at.z.lo) & (y + d <= at.z.hi))[0]
            best = np.where(inside, np.maximum(best, value), best)
        count += int(best.sum() > int(offset[0]) << GRID)
    return count


def points_of(at, rng):
    """Random points of the ranges of y and d, ends and zeros among them."""
    for _ in range(80):
        y, d = (
            box.lo + ((box.hi - box.lo) * rng.choice([0.0, 1.0, rng.random()])).astype(np.int64)
            for box in (at.y, at.d)
        )
        y = np.where(rng.random(y.shape) < 0.3, np.clip(0, at.y.lo, at.y.hi), y)
        yield y.astype(object), d.astype(object)


def test_no_point_of_a_polygon_lies_above_its_offset() -> None:
    assert points_above() == 0


def at_ends_only(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tuned.corners

    def few(layer, found, grid):
        at = true(layer, found, grid)
        if at is None:
            return None
        bent = (at.y == 0) | (at.y + at.d == 0)
        keep = np.argsort(bent, axis=0, kind="stable")[:1]
        arrays = {
            name: np.where(bent, np.take_along_axis(side, keep, axis=0), side)
            for name, side in (("y", at.y), ("d", at.d), ("a", at.a), ("kept", at.kept))
        }
        return dataclasses.replace(at, **arrays)

    monkeypatch.setattr(tuned, "corners", few)


@pytest.mark.parametrize("damage", [at_ends_only, with_the_least_corner], ids=lambda d: d.__name__)
def test_polygons_that_lack_corners_are_caught(damage, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch)
    assert points_above() > 0


def test_tuned_slopes_are_never_worse_than_lines_and_mostly_much_better() -> None:
    gains = []
    for seed in range(4):
        network = paper_network(seed, 3)
        program = paper_program(network, Rounding.NEAREST)
        known = kernel.analysis(network, program, UNIT_BOX)
        by_lines = kernel.prove_part(known, "linear", None).per_output[0]
        assert by_lines is not None
        gains.append(Fraction(by_lines) / searched(network, program)[0])
    # A grid of 2^-30 costs a little.
    assert min(gains) > 1 - Fraction(1, 10**6)
    assert sorted(gains)[1] > Fraction(13, 10)


# --- the certificate -------------------------------------------------------------------------


def wide_network() -> Network:
    rng = np.random.default_rng(5)
    steps = []
    for before, after in ((4, 9), (9, 9), (9, 7), (7, 2)):
        weight = (rng.normal(size=(after, before)) / before**0.5).astype(np.float32)
        steps += [(weight, rng.normal(size=after).astype(np.float32) / 4), "relu"]
    return build_network(4, steps[:-1])


@pytest.fixture(scope="module")
def network() -> Network:
    return wide_network()


def certificate_of(network: Network, crew: Crew = Crew(1)) -> Certificate:  # noqa: B008  frozen
    spend = CertifyRequest(work=0.6, attack_budget=1000, methods=frozenset({"tuned"}))
    program = program_of(network, Rounding.NEAREST)
    return certifier.run(network, program, (unit_box(network),), spend, crew=crew)


@pytest.fixture(scope="module")
def certificate(network: Network) -> Certificate:
    return certificate_of(network)


def tuned_part(certificate: Certificate) -> Part:
    return next(part for part in certificate.regions[0].parts if part.method == "tuned")


def data_of(certificate: Certificate) -> TunedPart:
    data = tuned_part(certificate).data
    assert isinstance(data, TunedPart)
    return data


def test_a_tuned_tree_is_proven_again_and_has_one_spelling(
    network: Network, certificate: Certificate
) -> None:
    text = proof.write(proof.attest(certificate))
    again = proof.read(text)
    assert again.certificate.regions == certificate.regions
    assert proof.write(again) == text
    assert len(data_of(certificate).leaves) > 1
    (proven,) = proof.check(network, again.certificate)
    (linear,) = (p for p in certificate.regions[0].parts if p.method == "linear")
    assert proven.linf < max(b for b in linear.per_output if b is not None)


def test_the_bytes_do_not_depend_on_the_number_of_jobs(
    network: Network, certificate: Certificate
) -> None:
    two = certificate_of(network, Crew(2))
    assert proof.write(proof.attest(two)) == proof.write(proof.attest(certificate))


def first_task(leaf: list[list[int]]) -> list[int]:
    return next(task for task in leaf if task)


Leaves = list[list[list[int]]]


def cut_short(leaves: Leaves) -> None:
    first_task(leaves[0]).pop()


def one_more(leaves: Leaves) -> None:
    first_task(leaves[0]).append(0)


def too_steep(leaves: Leaves) -> None:
    first_task(leaves[0])[0] = tuned.STEEPEST + 1


def beyond_int64(leaves: Leaves) -> None:
    first_task(leaves[0])[0] = -(1 << 200)


def another_slope(leaves: Leaves) -> None:
    for task in itertools.chain.from_iterable(leaves):
        task[:] = [value + 40 for value in task]


def no_slopes(leaves: Leaves) -> None:
    leaves[0][:] = [[] for _ in leaves[0]]


def a_task_missing(leaves: Leaves) -> None:
    leaves[0].pop()


def a_task_left_over(leaves: Leaves) -> None:
    leaves[0].append([])


def a_leaf_missing(leaves: Leaves) -> None:
    leaves.pop()


def a_leaf_left_over(leaves: Leaves) -> None:
    leaves.append(leaves[0])


def no_leaves(leaves: Leaves) -> None:
    leaves.clear()


HOSTILE = [
    cut_short,
    one_more,
    too_steep,
    beyond_int64,
    another_slope,
    no_slopes,
    a_task_missing,
    a_task_left_over,
    a_leaf_missing,
    a_leaf_left_over,
    no_leaves,
]


def refuse(network: Network, certificate: Certificate, data: TunedPart) -> None:
    """The data are written under a seal of their own, and only the check stands before a yes."""
    (claim,) = certificate.regions
    parts = tuple(
        dataclasses.replace(part, data=data) if part.method == "tuned" else part
        for part in claim.parts
    )
    changed = dataclasses.replace(certificate, regions=(dataclasses.replace(claim, parts=parts),))
    text = proof.write(proof.attest(changed))
    with pytest.raises(RefusedError, match="region 0, method tuned"):
        proof.check(network, proof.read(text).certificate)


@pytest.mark.parametrize("damage", HOSTILE, ids=lambda d: d.__name__)
def test_slopes_that_are_not_those_of_the_claim_are_refused(
    damage, network: Network, certificate: Certificate
) -> None:
    data = data_of(certificate)
    leaves = [[list(task) for task in leaf] for leaf in data.leaves]
    damage(leaves)
    changed = tuple(tuple(map(tuple, leaf)) for leaf in leaves)
    refuse(network, certificate, dataclasses.replace(data, leaves=changed))


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": 3},
        {"grid": -1},
        {"grid": 1 << 40},
        {"grid": 50},
        {"tree": b""},
        {"tree": bytes([255])},
        {"tree": bytes([0, 255, 254])},
        {"tree": bytes([9, 254, 254])},
        {"tree": ALL_ONE_LEAF * 2},
    ],
    ids=str,
)
def test_a_tree_that_is_not_that_of_the_claim_is_refused(
    changes, network: Network, certificate: Certificate
) -> None:
    refuse(network, certificate, dataclasses.replace(data_of(certificate), **changes))


def test_more_leaves_than_anybody_would_check_are_refused_at_once(
    network: Network, certificate: Certificate
) -> None:
    deep = 17
    tree = b"".join(bytes([level % 4]) * (1 << level) for level in range(deep))
    data = TunedPart(GRID, tree + ALL_ONE_LEAF * (1 << deep), ((),) * (1 << deep))
    refuse(network, certificate, data)


def test_narrow_leaves_of_deep_networks_are_not_taken_for_cheap() -> None:
    """Each leaf is analysed alone, which takes most of a second here: 4096 are most of an hour."""
    rng = np.random.default_rng(0)
    steps = []
    for before, after in itertools.pairwise([1, *[2] * 12, 1]):
        weight = rng.normal(size=(after, before)).astype(np.float32)
        steps += [(weight, np.zeros(after, np.float32)), "relu"]
    network = build_network(1, steps[:-1])
    known = kernel.analysis(network, program_of(network, Rounding.NEAREST), UNIT_BOX)
    cut = bytes([0] * 4095 + [tree.LINEAR_LEAF] * 4096)
    with pytest.raises(tree.TreeError, match="too much work"):
        kernel.prove_part(known, "tuned", TunedPart(GRID, cut, ((),) * 4096))


@pytest.mark.parametrize("most", [0, 3])
def test_the_search_cuts_no_further_than_the_check_follows(
    most: int, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "affordable_leaves", lambda *_: most)
    certificate = certificate_of(network)
    (proven,) = proof.check(network, certificate)
    tuned_parts = [p for p in certificate.regions[0].parts if p.method == "tuned"]
    assert len(tuned_parts) == min(most, 1)
    assert all(1 < len(data_of(certificate).leaves) <= most for _ in tuned_parts)
    assert proven.linf > 0


def edited(certificate: Certificate, change: Callable[[dict], None]) -> bytes:
    data = json.loads(proof.write(proof.attest(certificate)))
    predicate = data["predicate"]
    (part,) = (p for p in predicate["regions"][0]["parts"] if p["method"] == "tuned")
    change(part["data"])
    predicate["seal"] = statements._seal(predicate, data["subject"])
    return (statements._canonical(data) + "\n").encode("ascii")


SPELLINGS: dict[str, Callable[[dict], None]] = {
    "no text": lambda d: d["slopes"][0].append(3),
    "a list": lambda d: d["slopes"][0].append([3]),
    "no list": lambda d: d.update(slopes=5),
    "no base64": lambda d: d["slopes"][0].append("%"),
    "a longer spelling": lambda d: d["slopes"][0].append("gAA="),
    "another field": lambda d: d.update(more=1),
    "too many": lambda d: d["slopes"][0].append(packed.pack([0] * ((3 << 23) * 3 // 4 + 3))),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_slopes_that_are_spelled_otherwise_are_refused(name: str, certificate: Certificate) -> None:
    with pytest.raises(RefusedError, match="certificate"):
        proof.read(edited(certificate, SPELLINGS[name]))


def test_smooth_activations_are_left_to_other_methods() -> None:
    rng = np.random.default_rng(1)
    layers = [(rng.normal(size=(3, 3)).astype(np.float32), np.zeros(3, np.float32)) for _ in "ab"]
    network = build_network(3, [layers[0], "tanh", layers[1]])
    certificate = certificate_of(network)
    assert not any(part.method == "tuned" for part in certificate.regions[0].parts)
    data = TunedPart(GRID, ALL_ONE_LEAF, ((),))
    known = kernel.analysis(network, certificate.program, unit_box(network))
    with pytest.raises(tuned.TuningError):
        kernel.prove_part(known, "tuned", data)
