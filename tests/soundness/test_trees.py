"""Splitting: leaves cover, both kinds of leaf are sound, and the integer width never matters."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.fixedpoint import QFormat, Rounding, encode
from qdeploy.ir import Box, QuantizeRequest
from qdeploy.proof import dyadic, tree
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import align, coarse_grid
from qdeploy.proof.ranges import analyse, boxes_on_grid, reference_error
from support.enumeration import worst_deviation
from support.networks import build_network, paper_network, random_network, random_request

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))


@st.composite
def trees(draw: st.DrawFn, axes: int = 3) -> bytes:
    """A tree of up to 40 cuts, level by level."""
    out, level, cuts = bytearray(), 1, 40
    while level:
        codes = [
            draw(st.integers(0, axes - 1)) if cuts > 0 and draw(st.booleans()) else 254
            for _ in range(level)
        ]
        cuts -= sum(c < axes for c in codes)
        out += bytes(codes)
        level = 2 * sum(c < axes for c in codes)
    return bytes(out)


@given(
    trees(), st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 60)), min_size=3, max_size=3)
)
def test_leaves_tile_the_root(data: bytes, sides: list[tuple[int, int]]) -> None:
    """Every grid point of the root lies in a leaf, and every leaf lies in the root."""
    lo = np.array([[s for s, _ in sides]])
    hi = np.array([[s + w for s, w in sides]])
    leaves = tree.expand(data, Interval(lo, hi))
    assert (leaves.boxes.lo >= lo).all()
    assert (leaves.boxes.hi <= hi).all()
    corners = itertools.product(*({a, (a + b) // 2, b} for a, b in zip(lo[0], hi[0], strict=True)))
    for point in corners:
        inside = (leaves.boxes.lo <= point) & (point <= leaves.boxes.hi)
        assert inside.all(axis=1).any()


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("bits", [3, 6])
def test_input_cells_hold_every_point_that_gives_their_code(bits: int, rounding: Rounding) -> None:
    """Saturated codes included: the box is wider than the format."""
    grid, fmt = 12, QFormat(1, bits - 1)
    box = Interval(np.array([[-6000]]), np.array([[7001]]))
    codes, cells, first = tree.input_cells(fmt, rounding, box, grid)
    assert first.tolist() == [0]
    for raw in range(-6000, 7002, 7):
        value = np.array([[raw * 2.0**-grid]])
        code = int(encode(value, fmt, rounding)[0, 0])
        (index,) = np.flatnonzero(codes[:, 0] == code)
        assert cells.lo[index, 0] <= raw <= cells.hi[index, 0]


@pytest.mark.parametrize("seed", range(12))
def test_int64_and_unbounded_integers_give_the_same_numbers(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network(seed)
    program = quantize.run(network, random_request(seed, network))
    boxes = [random_request(seed, network).regions[0]]

    def bounds() -> list[list[int]]:
        pair = align(network, program, coarse_grid(program))
        found = analyse(pair, boxes_on_grid(boxes, pair.grid), use_linear=True)
        extra = reference_error(pair, found)
        return [*found.layers[-1].out.e.magnitude.tolist(), *extra.tolist()]

    narrow = bounds()
    monkeypatch.setattr(dyadic, "NARROW_GRIDS", range(0))
    assert bounds() == narrow


@given(st.integers(0, 70), st.integers(0, 70), st.integers(1, 9), st.randoms(use_true_random=False))
def test_matmul_and_times_are_exact(left: int, right: int, terms: int, random) -> None:
    a = [[random.randint(-(1 << left), 1 << left) for _ in range(terms)] for _ in range(3)]
    b = [[random.randint(-(1 << right), 1 << right) for _ in range(2)] for _ in range(terms)]
    true = [
        [sum(x * y for x, y in zip(row, col, strict=True)) for col in zip(*b, strict=True)]
        for row in a
    ]
    for dtype in (object, np.int64):
        if dtype is np.int64 and max(left, right) > 45:
            continue
        found = dyadic.matmul(np.array(a, dtype=dtype), np.array(b, dtype=dtype))
        assert found.tolist() == true
        column = np.array([row[0] for row in a], dtype=dtype)
        squares = dyadic.times(column, column)
        assert squares.tolist() == [row[0] * row[0] for row in a]


@given(
    left=st.integers(1, 61),
    right=st.integers(1, 45),
    bits=st.integers(20, 64),
    terms=st.integers(1, 300),
    seed=st.integers(0, 1 << 30),
)
def test_scaled_sums_are_exact_whatever_fits(
    left: int, right: int, bits: int, terms: int, seed: int
) -> None:
    """Cut into limbs or not, they are floor(sum / 2^bits) of unbounded integers."""
    rng = np.random.default_rng(seed)
    draw = [[int(v) for v in rng.integers(-(1 << w), 1 << w, size=terms)] for w in (left, right)]
    a, b = draw[0], draw[1]
    a[0], b[0] = -(1 << left), (1 << right) - 1
    wide, tall = np.array([a]), np.array([[v] for v in b])
    pairs = ((wide, tall), (-wide, tall // 3))
    true = sum(x * y - x * (y // 3) for x, y in zip(a, b, strict=True)) >> bits
    assert dyadic.scaled_matmul(pairs, bits).tolist() == [[true]]
    flat = ((wide[0], tall[:, 0]), (wide[0], tall[:, 0]))
    assert dyadic.scaled_times(flat, bits).tolist() == [
        2 * x * y >> bits for x, y in zip(a, b, strict=True)
    ]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(("hidden", "seed"), list(itertools.product((1, 2, 3), range(5))))
def test_splitting_closes_the_gap_of_one_input_programs(
    hidden: int, seed: int, rounding: Rounding
) -> None:
    network = paper_network(seed, hidden)
    request = QuantizeRequest((UNIT_BOX,), bits=8, rounding=rounding)
    program = quantize.run(network, request)
    spend = CertifyRequest(work=2.0, methods=frozenset({"split"}))
    (proven,) = proof.check(network, certifier.run(network, program, (UNIT_BOX,), spend))
    (worst,) = worst_deviation(network, program, UNIT_BOX)
    assert worst <= proven.linf
    assert proven.linf <= worst * Fraction(102, 100)


@pytest.mark.parametrize("chunk", range(8))
def test_every_leaf_of_random_programs_is_sound(chunk: int) -> None:
    """One-input programs of every rounding and format, each leaf against its exact worst case."""
    checked = 0
    for seed in range(chunk * 60, chunk * 60 + 60):
        network = random_network(seed)
        box = random_request(seed, network).regions[0]
        program = quantize.run(network, random_request(seed, network))
        width = (box.hi[0] - box.lo[0]) / program.input.format.step
        if network.inputs[0].size > 1 or width > 200:
            continue
        checked += 1
        pair = align(network, program, coarse_grid(program))
        root = boxes_on_grid([box], pair.grid)
        cut = bytes([0, 0, tree.LINEAR_LEAF, tree.EXACT_LEAF, tree.LINEAR_LEAF])
        leaves = tree.expand(cut, root)
        bounds = tree.leaf_bounds(pair, program, leaves)
        for k, bound in enumerate(bounds):
            ends = (
                Fraction(int(v[k, 0]), 1 << pair.grid) for v in (leaves.boxes.lo, leaves.boxes.hi)
            )
            low, high = (min(max(end, box.lo[0]), box.hi[0]) for end in ends)
            worst = worst_deviation(network, program, Box.enclosing((low,), (high,)))
            scale = Fraction(1, 1 << pair.grid)
            assert all(w <= int(b) * scale for w, b in zip(worst, bound, strict=True)), seed
    assert checked > 0


def test_an_exact_leaf_of_too_many_codes_is_refused_before_it_is_made() -> None:
    fmt, grid = QFormat(2, 14), 20
    box = Interval(np.array([[-(1 << 20)] * 9]), np.array([[1 << 20] * 9]))
    with pytest.raises(tree.TreeError, match="is beyond 4096"):
        tree.input_cells(fmt, Rounding.NEAREST, box, grid)


def test_sums_over_neurons_never_wrap_around() -> None:
    """256 values near 2^59 have a sum beyond int64."""
    row = np.full((1, 256), (1 << 59) - 1)
    assert dyadic.total(row).tolist() == [[256 * ((1 << 59) - 1)]]
    assert dyadic.stored(row, 32).dtype == object


@pytest.mark.parametrize("extra", [0, 9])
@pytest.mark.parametrize("scale", [2.0**40, 2.0**-40, 1e12, 1.0])
def test_extreme_scales_agree_on_every_grid(
    scale: float, extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large parameters and boxes: the narrow analysis equals the unbounded one."""
    rng = np.random.default_rng(0)
    layers = [
        ((rng.normal(size=(6, 2)) * scale).astype(np.float32), np.float32(rng.normal(size=6))),
        "relu",
        (rng.normal(size=(5, 6)).astype(np.float32), np.float32(rng.normal(size=5) * scale)),
        "relu",
        ((rng.normal(size=(1, 5)) / scale).astype(np.float32), np.float32([scale])),
    ]
    network = build_network(2, layers)
    box = Box((Fraction(-(1 << 30)), Fraction(-1)), (Fraction(1 << 30), Fraction(1)))
    program = quantize.run(network, QuantizeRequest((box,), bits=16))

    def bounds() -> list[list[int]]:
        pair = align(network, program, coarse_grid(program) + extra)
        found = [
            analyse(pair, boxes_on_grid([box], pair.grid), use_linear=True, sparing=sparing)
            for sparing in (False, True)
        ]
        return [v.tolist() for f in found for v in (f.layers[-1].out.e.magnitude, f.layers[1].z.lo)]

    narrow = bounds()
    monkeypatch.setattr(dyadic, "NARROW_GRIDS", range(0))
    assert bounds() == narrow


@pytest.mark.parametrize("seed", range(12))
def test_a_leaf_is_bounded_alike_alone_and_among_others(seed: int) -> None:
    """Search and check batch leaves differently, and must find equal numbers."""
    network = random_network(seed)
    box = random_request(seed, network).regions[0]
    program = quantize.run(network, random_request(seed, network))
    pair = align(network, program, coarse_grid(program))
    cuts = bytes([seed % box.size] * 3 + [0] * 4 + [tree.LINEAR_LEAF] * 8)
    leaves = tree.expand(cuts, boxes_on_grid([box], pair.grid)).boxes
    together = tree.leaf_bounds(pair, program, tree.Leaves(leaves, np.zeros(8, dtype=bool)))
    for row in range(8):
        one = Interval(leaves.lo[row : row + 1], leaves.hi[row : row + 1])
        alone = tree.leaf_bounds(pair, program, tree.Leaves(one, np.zeros(1, dtype=bool)))
        assert alone.tolist() == together[row : row + 1].tolist()


def test_a_tree_of_too_much_work_is_refused_before_it_is_done() -> None:
    network = paper_network(0, 3)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=16))
    pair = align(network, program, coarse_grid(program))
    count = 1 << 20
    lo = np.zeros((count, 1), dtype=np.int64)
    leaves = tree.Leaves(Interval(lo, lo + 4096), np.ones(count, dtype=bool))
    with pytest.raises(tree.TreeError, match="too much work"):
        tree.require_affordable(pair, leaves, wide=True)


def test_leaves_that_memory_cannot_hold_are_refused_before_they_are_made() -> None:
    """A few kilobytes of tree must not become gigabytes of corners."""
    wide = Interval(np.zeros((1, 60_000), dtype=np.int64), np.ones((1, 60_000), dtype=np.int64))
    with pytest.raises(tree.TreeError, match="beyond"):
        tree.expand(bytes([0] * 2047 + [tree.LINEAR_LEAF] * 2048), wide)
    side = np.zeros((64, 10_000), dtype=np.int64)
    with pytest.raises(tree.TreeError, match="beyond"):
        tree.input_cells(QFormat(2, 6), Rounding.NEAREST, spread(side, 6), 20)


def spread(lo: np.ndarray, inputs: int) -> Interval:
    """Boxes whose first inputs have several codes and whose others have one."""
    hi = lo.copy()
    hi[:, :inputs] += 3 << 14
    return Interval(lo, hi)
