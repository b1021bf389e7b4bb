"""One wrong line in the kernel is seen: a unit forgotten, an end swapped, a bit too many.

Proofs are made on grids of 2^-20 and finer, where what a kernel rounds away hides behind all else.
Here the grid is as coarse as the codes, so that it is as large as the deviations themselves, and
every enclosure must hold every exact point. All numbers are multiples of 2^-30 below 2^20, so
doubles are exact.

Sums are tried where doubles just cease to be: an odd number above 2^53 is none, in whatever order
its terms were added.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from qdeploy import ops, quantize
from qdeploy.fixedpoint import QFormat, Rounding, encode, in_doubles, product_in_doubles
from qdeploy.ir import Box, FixedNetwork, Network, Node, QuantizeRequest
from qdeploy.ops import _sums
from qdeploy.proof import dyadic, linear, lookup, pair, ranges, sides, tree
from qdeploy.proof.dyadic import Interval, matmul, scaled_matmul, zeros
from qdeploy.proof.enclosure import Ranges
from qdeploy.proof.linear import Plane, Rows
from qdeploy.proof.pair import Pair, align
from support.networks import Act, build_network

GRID = 4
UNIT = 2.0**-GRID
FINE = 2.0**-6
CASES = 40
BOXES = 24
POINTS = 24


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair, "_COARSE_GRID_BITS", 1)
    monkeypatch.setattr(dyadic, "NARROW_GRIDS", range(GRID, 41))
    # Codes of 5 bits are then more than the blocks that are kept apart.
    monkeypatch.setattr(lookup, "_BLOCK_BITS", 3)


# --- exact points ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Network and program, the corners of boxes [boxes, n], and points [boxes, points, n]."""

    network: Network
    program: FixedNetwork
    lo: np.ndarray
    hi: np.ndarray
    points: np.ndarray

    def boxes(self) -> list[Box]:
        return [region(lo, hi) for lo, hi in zip(self.lo, self.hi, strict=True)]


@dataclass(frozen=True)
class Step:
    """What happens in one layer at the points, [boxes, points, n]; see `LayerRanges`."""

    sums: np.ndarray
    y: np.ndarray
    z: np.ndarray
    a: np.ndarray
    kept: np.ndarray
    b: np.ndarray

    def values(self) -> dict[str, np.ndarray]:
        return {
            "sums": self.sums,
            "before": self.z - self.sums,
            "y": self.y,
            "z": self.z,
            "d": self.z - self.y,
            "delta": self.kept - self.a,
            "r": self.b - self.kept,
        }


ACTIVATIONS: tuple[str | Act | None, ...] = (
    None,
    "relu",
    Act("clip", {"lo": -0.5, "hi": 1.0}),
    Act("clip", {"lo": -31 / 64, "hi": 63 / 64}),  # off the grid, and either side of codes
    Act("leaky_relu", {"slope": 0.25}),
)


def region(lo: np.ndarray, hi: np.ndarray) -> Box:
    return Box(*(tuple(map(Fraction, side.tolist())) for side in (lo, hi)))


def draw(rng: np.random.Generator, size: object, reach: float) -> np.ndarray:
    most = round(reach / FINE)
    return rng.integers(-most, most + 1, size) * FINE


def random_case(seed: int) -> Case:
    """One to three layers, some without weights; narrow formats, so that codes saturate."""
    rng = np.random.default_rng((seed, 41))
    widths = [int(n) for n in rng.integers(1, 4, int(rng.choice([2, 2, 3, 3, 4])))]
    steps: list[object] = []
    for n_in, n_out in itertools.pairwise(widths):
        weight, bias = draw(rng, (n_out, n_in), 1.5), draw(rng, n_out, 1.0)
        if seed % 2:  # numbers that lie on the grid: nothing but activations is rounded
            weight, bias = on_grid(weight), on_grid(bias)
        weight *= rng.random() < 0.8
        activation = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
        steps += [(weight, bias), *([] if activation is None else [activation])]
    centre = draw(rng, (BOXES, widths[0]), 1.5) * rng.choice([1, 1, 4], (BOXES, 1))
    radius = abs(draw(rng, (BOXES, 1), 1.0)) * rng.choice([0, 0.25, 1], (BOXES, 1))
    fraction = [int(fb) for fb in rng.integers(1, GRID, 3)]
    rounding, quantizer = (list(Rounding)[k] for k in rng.integers(0, 3, 2))
    formats = Formats(
        QFormat(3, fraction[0]), QFormat(2, fraction[1]), QFormat(2, fraction[2]), rounding
    )
    return case(steps, centre - radius, centre + radius, formats, quantizer)


@dataclass(frozen=True)
class Formats:
    weights: QFormat
    activations: QFormat
    input: QFormat
    rounding: Rounding


def case(
    steps: list,
    lo: np.ndarray,
    hi: np.ndarray,
    formats: Formats,
    quantizer: Rounding = Rounding.NEAREST,
) -> Case:
    """Build network and program; an eighth of the points and more are corners of their boxes."""
    narrow = [s if isinstance(s, str | Act) else tuple(map(np.float32, s)) for s in steps]
    network = build_network(lo.shape[1], narrow)
    request = QuantizeRequest(
        (region(lo.min(axis=0), hi.max(axis=0)),),
        weights=formats.weights,
        activations=formats.activations,
        input_format=formats.input,
        rounding=formats.rounding,
        quantizer=quantizer,
    )
    rng = np.random.default_rng(len(steps))
    share = rng.integers(0, 9, (len(lo), POINTS, lo.shape[1])) / 8
    share[:, :8] = np.round(share[:, :8])
    points = lo[:, None] + share * (hi - lo)[:, None]
    return Case(network, quantize.run(network, request), lo, hi, points)


def biases(rounding: Rounding, activation: str | Act | None, weight: float = 0.0) -> Case:
    """Every multiple of 1/64 as a bias; without a weight, what is emitted is one known code."""
    bias = np.arange(-96, 97) * FINE
    steps = [(np.full((len(bias), 1), weight), bias)]
    reach = np.full((1, 1), 8 * weight)
    formats = Formats(QFormat(3, 3), QFormat(3, 1), QFormat(2, 3), rounding)
    return case([*steps, *([activation] * (activation is not None))], -reach, reach, formats)


def errors_alone() -> Case:
    """An input far below the least code: e is all there is to lose a part of, above zero."""
    steps = [(np.full((3, 4), -0.625), np.full(3, -11.0)), (np.ones((1, 3)), np.zeros(1))]
    formats = Formats(QFormat(3, 3), QFormat(5, 3), QFormat(1, 3), Rounding.NEAREST)
    return case(steps, np.full((1, 4), -4.0), np.full((1, 4), -4.0), formats)


def deviations_alone() -> Case:
    """Weights rounded far down, before a slope of 1/4: d is all there is to lose a part of."""
    leaky = Act("leaky_relu", {"slope": 0.25})
    steps = [(np.full((3, 4), -UNIT), np.full(3, -10.0)), leaky, (np.ones((1, 3)), np.zeros(1))]
    formats = Formats(QFormat(5, 1), QFormat(5, 3), QFormat(4, 2), Rounding.NEAREST)
    return case(steps, np.full((1, 4), -4.0), np.full((1, 4), -4.0), formats, Rounding.FLOOR)


def steeper_than_the_network() -> Case:
    """A weight of -1/16 becomes -1/2, and the input's error grows by that."""
    steps = [(np.array([[-UNIT]]), np.zeros(1))]
    formats = Formats(QFormat(3, 1), QFormat(2, 3), QFormat(2, 1), Rounding.NEAREST)
    return case(steps, np.full((1, 1), 0.25), np.full((1, 1), 0.25), formats, Rounding.FLOOR)


def lost_on_the_grid() -> Case:
    """All weights are half a unit and vanish: the first layer's error is all the second has."""
    steps = [(np.full((16, 8), UNIT / 2), np.zeros(16)), (np.full((1, 16), UNIT / 2), np.zeros(1))]
    formats = Formats(QFormat(3, 3), QFormat(3, 3), QFormat(4, 3), Rounding.NEAREST)
    return case(steps, np.full((1, 8), 4.0), np.full((1, 8), 4.0), formats)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    still = itertools.starmap(biases, itertools.product(Rounding, ACTIVATIONS))
    moving = biases(Rounding.NEAREST, ACTIVATIONS[-1], 0.125)
    by_hand = (errors_alone, deviations_alone, steeper_than_the_network, lost_on_the_grid)
    return [*still, moving, *(make() for make in by_hand), *map(random_case, range(CASES))]


def on_grid(values: np.ndarray) -> np.ndarray:
    """Round to the grid, ties down, as a pair does with the network's numbers."""
    return np.ceil(values / UNIT - 0.5) * UNIT


def parameter(node: Node, name: str) -> np.ndarray:
    return node.parameters[name].astype(np.float64)


def activate(node: Node | None, t: np.ndarray) -> np.ndarray:
    if node is None:
        return t
    if node.op == "clip":
        return np.clip(t, *(on_grid(parameter(node, side)) for side in ("lo", "hi")))
    return np.maximum(t, t * (0.25 if node.op == "leaky_relu" else 0))


def run(case: Case) -> tuple[np.ndarray, list[Step]]:
    """Return the input as the device has it, and every layer of both functions, exactly.

    The network's parameters are rounded onto the grid, as they are in a pair.
    """
    program = case.program
    first, codes = program.input, case.points.reshape(-1, case.points.shape[-1])
    found = ops.execute_all(program, encode(codes, first.format, first.rounding))
    device = {
        name: (raw * float(program.tensor(name).format.step)).reshape(len(case.lo), POINTS, -1)
        for name, raw in found.items()
    }
    a, b = case.points, device[first.id]
    entering, steps = b, []
    for real, node, sums_of in zip(*layers(case.network), dense_nodes(program), strict=True):
        weight, bias = (
            sums_of.arrays[name].raw * float(sums_of.arrays[name].format.step)
            for name in ("weight", "bias")
        )
        y = a @ on_grid(parameter(real, "weight")).T + on_grid(parameter(real, "bias"))
        sums = b @ weight.T + np.floor(bias / UNIT) * UNIT
        looked_up = node is not None and node.op == "leaky_relu"
        z = device[sums_of.output] if looked_up else sums
        b = device[output_of(program, sums_of.output) if looked_up else sums_of.output]
        a, kept = activate(node, y), activate(node, z)
        steps.append(Step(sums, y, z, a, kept, b))
    return entering, steps


def layers(network: Network) -> tuple[list[Node], list[Node | None]]:
    """Return the dense nodes, and the activation behind each."""
    dense = [node for node in network.nodes if node.op == "dense"]
    behind = {node.inputs[0]: node for node in network.nodes if node.op != "dense"}
    return dense, [behind.get(node.output) for node in dense]


def dense_nodes(program: FixedNetwork) -> list:
    return [node for node in program.nodes if node.op == "dense"]


def output_of(program: FixedNetwork, source: str) -> str:
    (output,) = (node.output for node in program.nodes if node.inputs == (source,))
    return output


# --- what is promised ------------------------------------------------------------------------


def holds(box: Interval, values: np.ndarray) -> bool:
    """Whether enclosures [boxes, n] hold values [boxes, points, n]."""
    lo, hi = (side.astype(np.float64)[:, None] * UNIT for side in (box.lo, box.hi))
    return bool(((lo <= values) & (values <= hi)).all())


def escapes(cases: list[Case]) -> Iterator[str]:
    """Yield what some exact point leaves."""
    for seed, case in enumerate(cases):
        known = align(case.network, case.program, GRID)
        boxes = ranges.boxes_on_grid(case.boxes(), GRID)
        entering, steps = run(case)
        for by_lines in (False, True):
            sparing = bool(seed // 2 % 2)
            found = ranges.analyse(known, boxes, use_linear=by_lines, sparing=sparing)
            yield from left_ranges(found, case, entering, steps)
            yield from left_bounds(known, found, case, steps)
        yield from left_planes(known, found, steps)
        yield from left_lines(known, found, steps, np.random.default_rng(seed))


def left_ranges(
    found: Ranges, case: Case, entering: np.ndarray, steps: list[Step]
) -> Iterator[str]:
    signals = [(case.points, entering), *((step.a, step.b) for step in steps)]
    for k, (a, b) in enumerate(signals):
        box = found.signal(k)
        for name, value in {"a": a, "b": b, "e": b - a}.items():
            if not holds(getattr(box, name), value):
                yield name
    for layer, step in zip(found.layers, steps, strict=True):
        for name, value in step.values().items():
            if not holds(getattr(layer, name), value):
                yield name


def left_bounds(known: Pair, found: Ranges, case: Case, steps: list[Step]) -> Iterator[str]:
    """The network itself against the one whose parameters were rounded, and the recursion."""
    real = ops.evaluate(case.network, case.points.reshape(-1, case.points.shape[-1]))
    moved = abs(real.reshape(steps[-1].a.shape) - steps[-1].a)
    reference = Interval(-(wide := ranges.reference_error(known, found)), wide)
    if not holds(reference, moved):
        yield "reference"
    norm = ranges.recursion_bound(known, found)[:, None]
    if not holds(Interval(-norm, norm), steps[-1].b - steps[-1].a):
        yield "recursion"


def left_planes(known: Pair, found: Ranges, steps: list[Step]) -> Iterator[str]:
    for layer, box, step in zip(known.layers, found.layers, steps, strict=True):
        planes = linear.relax(GRID, layer, box)
        e, d = step.b - step.a, step.z - step.y
        for value, low, high in (
            (step.a, planes.a_low, planes.a_high),
            (e, planes.e_low, planes.e_high),
        ):
            if not (height(low, step.y, d) <= value).all():
                yield "plane below"
            if not (value <= height(high, step.y, d)).all():
                yield "plane above"


def height(plane: Plane, y: np.ndarray, d: np.ndarray) -> np.ndarray:
    on_y, on_d, offset = (
        side.astype(np.float64)[:, None] * UNIT for side in (plane.y, plane.d, plane.offset)
    )
    return on_y * y + on_d * d + offset


def left_lines(
    known: Pair, found: Ranges, steps: list[Step], rng: np.random.Generator
) -> Iterator[str]:
    """Any rows on what any layer emits are enclosed."""
    for depth, step in enumerate(steps, start=1):
        before = linear.before(known, Ranges(found.input, found.layers[:depth]))
        on_a, on_e = rng.integers(-40, 41, (2, 4, step.a.shape[-1]))
        on_a[::2] = 0
        offset = rng.integers(-40, 41, 4)
        box = linear.enclose(before, Rows(on_a, on_e, offset))
        e = step.b - step.a
        if not holds(box, (step.a @ on_a.T + e @ on_e.T + offset) * UNIT):
            yield "lines"


def test_no_exact_point_is_left_out(cases: list[Case]) -> None:
    assert set(escapes(cases)) == set()


def uncovered(cases: list[Case]) -> Iterator[int]:
    """Yield cases some point of which is beyond the bound of its leaf, of either kind."""
    for k, case in enumerate(cases):
        if case.lo.shape[1] > 1:
            continue
        known = align(case.network, case.program, GRID)
        boxes = ranges.boxes_on_grid(case.boxes(), GRID)
        real = ops.evaluate(case.network, case.points.reshape(-1, 1))
        device = run(case)[1][-1].b
        for exact in (False, True):
            leaves = tree.Leaves(boxes, np.full(len(case.lo), exact))
            wide = tree.leaf_bounds(known, case.program, leaves)
            if not holds(Interval(-wide, wide), device - real.reshape(device.shape)):
                yield k


@pytest.mark.parametrize("batch", [3, 256])
def test_leaves_cover_every_point_however_codes_are_batched(
    batch: int, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_batch", lambda _: batch)
    assert list(uncovered(cases[-12:])) == []


def test_halves_meet_and_leave_no_number_out_between_them() -> None:
    box = Interval(np.array([[-7, 2]]), np.array([[4, 3]]))
    for axis in (0, 1):
        both = tree.halves(box, np.array([axis]))
        assert both.hi[0, axis] == both.lo[1, axis]
        assert (both.lo[0] == box.lo[0]).all()
        assert (both.hi[1] == box.hi[0]).all()


@pytest.mark.parametrize("bound", [Fraction(1, 3), Fraction(-1, 3), Fraction(1, 16)])
def test_an_end_inside_is_rounded_outward(bound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "side_bound", lambda *_: bound)
    nobody = SimpleNamespace(output=0, sign=1, dual=SimpleNamespace(factor=()))
    _, _, raw = sides._end(SimpleNamespace(size=0, grid=GRID), nobody)
    assert bound <= Fraction(raw, 1 << GRID) < bound + Fraction(1, 1 << GRID)


# --- wrong on purpose ------------------------------------------------------------------------


def without_the_missing_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges._emitted

    def emitted(layer, box, grid):
        return true(layer, Interval(box.lo, box.hi - int(layer.bias_inexact)), grid)

    monkeypatch.setattr(ranges, "_emitted", emitted)


def without_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges._emitted

    def emitted(layer, box, grid):
        curve = layer.curve and dataclasses.replace(layer.curve, inexact=False)
        return true(dataclasses.replace(layer, curve=curve), box, grid)

    monkeypatch.setattr(ranges, "_emitted", emitted)


def with_nothing_rounded_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_rounded_away", lambda *_, grid: zeros((1, 1), grid))


def without_what_errors_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    true = linear._rounded_away
    monkeypatch.setattr(linear, "_rounded_away", lambda y, d, a, e, grid: true(y, d, a, grid=grid))


def without_what_deviations_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    true = linear._rounded_away
    monkeypatch.setattr(linear, "_rounded_away", lambda y, d, a, e, grid: true(y, a, e, grid=grid))


def with_ends_swapped_where_outputs_hardly_move(monkeypatch: pytest.MonkeyPatch) -> None:
    true = linear.relax

    def relax(grid, layer, box):
        out = dataclasses.replace(box.out, b=Interval(box.out.b.hi, box.out.b.lo))
        return true(grid, layer, dataclasses.replace(box, out=out))

    monkeypatch.setattr(linear, "relax", relax)


def with_the_rows_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recursion passes errors on by W where it has to be V."""
    true = ranges.recursion_bound

    def bound(known, found):
        layers = tuple(
            dataclasses.replace(
                layer, v=layer.w, v_bias=layer.c, c=layer.c - abs(layer.v_bias - layer.c)
            )
            for layer in known.layers
        )
        return true(dataclasses.replace(known, layers=layers), found)

    monkeypatch.setattr(ranges, "recursion_bound", bound)


WRONG: list[Callable[[pytest.MonkeyPatch], None]] = [
    without_the_missing_bias,
    without_slack,
    with_nothing_rounded_away,
    without_what_errors_lose,
    without_what_deviations_lose,
    with_ends_swapped_where_outputs_hardly_move,
    with_the_rows_of_the_network,
]


@pytest.mark.parametrize("damage", WRONG, ids=lambda d: d.__name__)
def test_a_wrong_line_is_caught(damage, cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch)
    assert next(escapes(cases), None) is not None


# --- sums that doubles cannot hold -----------------------------------------------------------


@dataclass(frozen=True)
class Factors:
    """All of `left` is one number, all of `right` another, and so are the sums of `terms`."""

    left: int
    right: int
    terms: int

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full((64, self.terms), self.left), np.full((self.terms, 32), self.right)

    @property
    def exactly(self) -> int:
        return self.left * self.right * self.terms


WHOLE = Factors((1 << 24) - 1, (1 << 23) - 1, 127)
"""127 products of 47 bits."""
IN_LIMBS = Factors(63, (1 << 45) - 1, 63)
"""Limbs of 3 and 45 bits would be the fewest if 54 were as good as 53."""


def products(factors: Factors) -> set[int]:
    """Return what every way of forming a product makes of it."""
    left, right = factors.matrices()
    assert in_doubles(left, right)
    ways = (
        matmul(left, right),
        scaled_matmul([(left, right)], 0),
        scaled_matmul([(left[:, :15], right[:15]), (left[:, 15:], right[15:])], 0),
    )
    return {int(v) for product in ways for v in np.unique(product)}


@pytest.mark.parametrize("factors", [WHOLE, IN_LIMBS], ids=["whole", "in limbs"])
def test_odd_sums_above_doubles_are_integers(factors: Factors) -> None:
    assert factors.exactly % 2
    assert factors.exactly > 1 << 53
    assert products(factors) == {factors.exactly}


def sums(factors: Factors) -> set[int]:
    left, right = factors.matrices()
    nothing = np.zeros(right.shape[1], dtype=np.int64)
    found = [_sums.integer_sums(side, right.T.copy(), nothing) for side in (left, -left)]
    return {int(v) for v in np.unique(np.concatenate([found[0], -found[1]]))}


@pytest.mark.parametrize("bits", [53, 63])
def test_sums_of_a_program_leave_doubles_and_int64_in_time(bits: int) -> None:
    """Just above each limit, and of either sign."""
    factors = Factors((1 << (bits - 30)) - 1, (1 << 24) - 1, 127)
    assert 1 << bits < factors.exactly < 1 << (bits + 1)
    assert sums(factors) == {factors.exactly}


def test_narrow_sums_leave_int32_in_time() -> None:
    left, right = Factors((1 << 13) - 1, (1 << 13) - 1, 33).matrices()
    nothing = np.zeros(32, dtype=np.int64)
    for side in (left + np.arange(64)[:, None], -left - np.arange(64)[:, None]):
        found = _sums.narrow_sums(side, right.T.copy(), nothing)
        assert (found == side.astype(object) @ right).all()


def test_doubles_hold_what_they_are_said_to_hold() -> None:
    """The precondition of `product_in_doubles`, at its end and one beyond."""
    ones = np.ones((1, 1), dtype=np.int64)
    assert product_in_doubles(ones << 53, ones)[0, 0] == 1 << 53
    assert product_in_doubles((ones << 53) + 1, ones)[0, 0] != (1 << 53) + 1


@pytest.mark.parametrize("factors", [WHOLE, IN_LIMBS], ids=["whole", "in limbs"])
def test_one_bit_too_many_is_caught(factors: Factors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dyadic, "DOUBLE_BITS", 54)
    assert products(factors) != {factors.exactly}


def test_one_bit_too_many_is_caught_in_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sums, "DOUBLE_BITS", 54)
    assert sums(WHOLE) != {WHOLE.exactly}
