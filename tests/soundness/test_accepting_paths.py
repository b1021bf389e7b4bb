"""What the kernel accepts on paths that no other soundness test takes (`make coverage`)."""

import hashlib
import itertools
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import ops, proof, quantize
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, Network, Node, QuantizeRequest, SourceTree, exact
from qdeploy.proof import Certificate, DecisionKind, cone, decision, dyadic, kernel, pair, tree
from qdeploy.proof.budget import Budget
from qdeploy.proof.certificate import (
    DecisionClaim,
    DecisionStatus,
    RegionClaim,
    SplitPart,
    Unchanged,
)
from qdeploy.proof.curves import on_grid
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.enclosure import Signal
from support.enumeration import worst_deviation
from support.networks import SMOOTH, build_network, paper_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
GRID = 28


def boxes(count: int) -> list[Box]:
    """Cut [-1, 1] into equal parts."""
    ends = [Fraction(2 * k, count) - 1 for k in range(count + 1)]
    return [Box((low,), (high,)) for low, high in itertools.pairwise(ends)]


def whole_regions(rounding: Rounding, grids: tuple[int, ...]) -> tuple[Network, Certificate]:
    """Regions of one leaf each, on several grids, and one in the middle that has more parts."""
    network = paper_network(5, 1)
    request = QuantizeRequest((UNIT_BOX,), bits=8, rounding=rounding)
    program = quantize.run(network, request)
    claims: list[RegionClaim] = []
    for index, box in enumerate(boxes(8)):
        shown = kernel.witness(network, program, box.lo)
        grid = grids[index % len(grids)]
        parts = kernel.prove_whole(pair.Pairs(network, program), [box], grid)
        if index == 3:
            known = kernel.analysis(network, program, box)
            parts = [kernel.prove_part(known, "linear", None), *parts]
        claims.append(kernel.combine(box, parts, shown))
    return network, Certificate("paper.onnx", network.source.sha256, program, tuple(claims))


@pytest.mark.parametrize("rounding", Rounding)
def test_regions_of_one_leaf_are_checked_together_and_hold(rounding: Rounding) -> None:
    network, certificate = whole_regions(rounding, (GRID, GRID + 2))
    proven = proof.check(network, proof.read(proof.write(proof.attest(certificate))).certificate)
    for bound, claim in zip(proven, certificate.regions, strict=True):
        assert (bound.box, bound.linf) == (claim.box, claim.linf)
        (worst,) = worst_deviation(network, certificate.program, bound.box)
        assert worst <= bound.linf


def test_regions_of_one_leaf_do_not_borrow_each_others_bounds() -> None:
    """The narrow bound of one region, stated for another one, is refused."""
    network, certificate = whole_regions(Rounding.FLOOR, (GRID,))
    smallest, largest = (
        pick(certificate.regions, key=lambda claim: claim.linf) for pick in (min, max)
    )
    assert smallest.linf < largest.linf
    swapped = tuple(
        kernel.combine(c.box, smallest.parts, c.attack) if c is largest else c
        for c in certificate.regions
    )
    wrong = Certificate("paper.onnx", network.source.sha256, certificate.program, swapped)
    with pytest.raises(RefusedError, match="region"):
        proof.check(network, wrong)


def test_a_wide_network_on_the_coarse_grid_has_the_same_claim_and_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Networks for which unbounded integers take too long: the bound stays above the worst case."""
    network = paper_network(5, 1)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8))
    fine = kernel.prove_part(kernel.analysis(network, program, UNIT_BOX), "linear", None)
    monkeypatch.setattr(kernel, "LARGEST_FINE_ANALYSIS", 0)
    known = kernel.analysis(network, program, UNIT_BOX)
    assert known.pair.grid == pair.sharp_grid(program)
    coarse = kernel.prove_part(known, "linear", None)
    (worst,) = worst_deviation(network, program, UNIT_BOX)
    assert worst <= fine.per_output[0] <= coarse.per_output[0]


def test_digests_of_library_and_image_stand_among_the_subjects() -> None:
    network, certificate = whole_regions(Rounding.NEAREST, (GRID,))
    library = SourceTree({"model.c": b"int x;", "model.h": b""})
    files = {"firmware.elf": b"\x7fELF", "vectors.npz": b"PK"}
    text = proof.write(proof.attest(certificate, library, files))
    read = proof.read(text)
    assert not proof.is_similarity(text)
    assert read.subjects["library"] == proof.tree_digest(library)
    assert read.subjects["library"] != proof.tree_digest(SourceTree({"model.c": b"int x;"}))
    for name, content in files.items():
        assert read.subjects[name] == hashlib.sha256(content).hexdigest()
    stray = proof.attest(certificate, library, {**files, "notes.txt": b""})
    with pytest.raises(RefusedError, match="subjects that no build has"):
        proof.read(proof.write(stray))
    assert proof.check(network, read.certificate)


@pytest.mark.parametrize("op", SMOOTH)
def test_slopes_of_a_turned_curve_are_those_of_the_curve(op: str) -> None:
    """-phi(-t) has at t the slope that phi has at -t."""
    node = Node("n", op, ("x",), "y", {"alpha": exact([1.0])} if op == "elu" else {})
    member = ops.known_ops()[op]
    assert isinstance(member, ops.Activation)
    curve = on_grid(member.curve(node), GRID)
    places = (np.arange(-40, 41) << GRID) // 7 + 1  # between knots
    t = Interval(places[:-1], places[1:])
    turned, slopes = curve.turned.slopes_over(Interval(-t.hi, -t.lo)), curve.slopes_over(t)
    assert turned.lo.tolist() == slopes.lo.tolist()
    assert turned.hi.tolist() == slopes.hi.tolist()
    assert (slopes.lo < slopes.hi).any()


@pytest.mark.parametrize("factor", [-3, -1, 0, 1, 2])
def test_scaled_forms_hold_what_was_scaled(factor: int) -> None:
    """Also by negative numbers, where ends change places."""
    grid = 8
    rows, lo, hi = (np.array(v, dtype=object) for v in ([[5, -300]], [-7], [11]))
    scaled = cone.Forms(rows, lo, hi).scaled(factor * 37, grid)
    for chi, rho in itertools.product((-1, Fraction(1, 3), 1), (-7, 0, 11)):
        true = Fraction(factor * 37, 1 << grid) * (5 - 300 * chi + rho)
        rest = true - scaled.rows[0][0] - scaled.rows[0][1] * chi
        assert scaled.lo[0] <= rest <= scaled.hi[0]


def test_a_form_that_is_zero_says_nothing_and_a_truncated_value_must_be_exact() -> None:
    builder = cone._Builder(8, 2)
    zero = cone.Forms(dyadic.integers((1, 2)), dyadic.integers(1), dyadic.integers(1))
    builder.nonnegative(zero, ("zero", 0, 0))
    assert builder.tags == [("one", -1, 0)]
    builder.nonnegative(zero.offset(3), ("three", 0, 0))
    assert builder.tags[1:] == [("three", 0, 0)]
    loose = cone.Forms(zero.rows, zero.lo, zero.hi + 1)
    ends = ((np.array([low]), np.array([high])) for low, high in ((1, 9), (-1, 0)))
    positive, small = itertools.starmap(dyadic.Interval, ends)
    box = Signal(positive, positive, small)
    cone._record_truncation(builder, loose, zero.offset(1), box)
    cone._record_truncation(builder, zero.offset(1), loose, box)
    assert builder.complements == []
    cone._record_truncation(builder, zero.offset(1), zero.offset(1), box)
    assert len(builder.complements) == 1


def test_no_numbers_have_no_width_and_wide_ones_leave_int64() -> None:
    assert dyadic.widest(np.zeros((0, 3), dtype=np.int64)) == 0
    wide = np.array([[1 << 61, -(1 << 61)]])
    kept = dyadic.summable(wide)
    assert kept.dtype == object
    assert (kept + kept + kept).tolist() == [[3 << 61, -(3 << 61)]]


def three_layers() -> Network:
    """y0 = x + 1, y1 = x - 1 through two ReLU layers: output 0 wins everywhere."""
    eye, zero = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    first = np.array([[1.0], [1.0]], dtype=np.float32)
    steps = [(first, np.float32([3.0, 1.0])), "relu", (eye, zero), "relu", (eye, zero)]
    return build_network(1, steps, "three_layers")


@pytest.mark.parametrize("leaf", [tree.LINEAR_LEAF, tree.EXACT_LEAF])
@pytest.mark.parametrize("winner", [0, 1])
def test_a_decision_behind_three_layers(leaf: int, winner: int) -> None:
    network = three_layers()
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8))
    claim = DecisionClaim(
        DecisionKind.ARGMAX, GRID, (Unchanged(winner, bytes([leaf]), bytes([leaf])),), None
    )
    if winner == 0:
        found = decision.check(pair.Pairs(network, program), claim, [UNIT_BOX], Budget())
        assert found == (DecisionStatus.UNCHANGED,)
    else:
        with pytest.raises(RefusedError, match="not proven unchanged"):
            decision.check(pair.Pairs(network, program), claim, [UNIT_BOX], Budget())


def test_one_point_is_evaluated_as_many_are() -> None:
    network = paper_network(5, 1)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8, weights=QFormat(4, 4)))
    points = [(Fraction(k, 9),) for k in range(-9, 10)]
    together = kernel.deviations_at(network, program, points)
    assert together == [proof.deviations(network, program, x) for x in points]


def test_a_tree_part_states_the_worst_of_its_leaves() -> None:
    bounds = np.array([[3, 4], [5, 0]], dtype=object) << GRID
    stated = kernel.split_part(SplitPart(GRID, b""), bounds)
    assert [int(b) for b in stated.per_output if b is not None] == [5, 4]
    assert stated.l2 == 5
