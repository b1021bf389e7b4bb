"""Ranges, slopes and lines of every activation hold, whatever the interval and the grid."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import ops
from qdeploy.ir import Node, exact
from qdeploy.proof import curves
from qdeploy.proof.dyadic import Interval, ceil_to_grid, floor_to_grid, stored
from support.activations import NEURONS, PIECEWISE, SMOOTH, curve_of, named, steepness

GRIDS = (20, 32, 64)
NODES = {**named(12, PIECEWISE), **named(4, SMOOTH)}
STEPS = 24


def node_of(op, parameters):
    return Node("n", op, ("a",), "b", {k: exact(v) for k, v in parameters.items()})


def intervals(grid, seed=0, count=40):
    """Narrow and wide ones, near 0 and far out, some without width, some with an end at 0."""
    rng = np.random.default_rng(seed)
    lo = rng.normal(size=(count, NEURONS)) * rng.choice([0.01, 1, 10, 60], size=(count, 1))
    width = np.abs(rng.normal(size=(count, NEURONS)))
    width *= rng.choice([0, 1e-3, 0.1, 1, 10, 60], size=(count, 1))
    hi = lo + width
    hi[:2], lo[2:4] = np.maximum(lo[:2], 0), np.minimum(hi[2:4], 0)
    low = [[floor_to_grid(Fraction(v), grid) for v in row] for row in lo]
    high = [[ceil_to_grid(Fraction(v), grid) for v in row] for row in hi]
    return Interval(*(stored(np.array(side, dtype=object), grid) for side in (low, high)))


def points_in(t, grid):
    """Exact points [steps, boxes, neurons] of the grid, ends included."""
    for k in range(STEPS + 1):
        raw = t.lo.astype(object) + (t.hi.astype(object) - t.lo) * k // STEPS
        yield raw, exact([[Fraction(int(v), 1 << grid) for v in row] for row in raw])


def violations(curve, node, grid, t):
    """Which promises some exact point breaks, by more than the rounding of the parameters."""
    op, unit = ops.known_ops()[node.op], Fraction(1, 1 << grid)
    range_, slopes = curve.range(t), curve.slopes_over(t)
    above, below = curve.above(t), curve.below(t)
    broken, last = set(), None
    for raw, x in points_in(t, grid):
        low, high = op.enclose(node, x, x)
        spare = curve.moved(np.abs(raw)) * unit + unit * 0
        bent = (above.slope.astype(object) * raw) * unit * unit + above.offset * unit
        sunk = (below.slope.astype(object) * raw) * unit * unit + below.offset * unit
        checks = {
            "range": (low + spare >= range_.lo * unit) & (high - spare <= range_.hi * unit),
            "above": low - spare <= bent,
            "below": high + spare >= sunk,
        }
        if last is not None:
            rise, run = (high - last[0], low - last[1]), (raw - last[2]) * unit
            room = 2 * spare + 2 * last[3]
            checks["slope"] = (rise[0] + room >= slopes.lo * unit * run) & (
                rise[1] - room <= slopes.hi * unit * run
            )
        broken |= {name for name, good in checks.items() if not np.all(good)}
        last = low, high, raw, spare
    return broken


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", NODES)
def test_no_exact_point_breaks_what_is_claimed(name, grid):
    node = NODES[name]
    curve = curves.on_grid(curve_of(node), grid)
    assert violations(curve, node, grid, intervals(grid)) == set()


@pytest.mark.parametrize("op", ["tanh", "softsign"])
def test_a_grid_on_which_no_constant_fits_64_bits_is_as_good(op):
    """Programs with weights of 1e-15 have such grids."""
    curve = curves.on_grid(ops.known_ops()[op].curve(node_of(op, {})), 120)
    assert curve.sag >= 1 << 63
    assert violations(curve, node_of(op, {}), 120, intervals(120, count=10)) == set()


@pytest.mark.parametrize("name", [name for name in NODES if steepness(NODES[name]) <= 8])
def test_lines_touch_the_curve_where_it_is_all_inside_the_table(name):
    """Loose lines are no defect of soundness; this keeps them from becoming useless unseen."""
    grid, node = 32, NODES[name]
    curve = curves.on_grid(curve_of(node), grid)
    unit = 1 << grid
    ends = np.array([[-3 * unit] * NEURONS, [-unit] * NEURONS, [unit // 4] * NEURONS])
    t = Interval(ends, ends + 2 * unit)
    above, below = curve.above(t), curve.below(t)
    gaps = {"above": [], "below": []}
    for raw, x in points_in(t, grid):
        low, high = (v * unit for v in ops.known_ops()[node.op].enclose(node, x, x))
        gaps["above"].append((above.slope.astype(object) * raw >> grid) + above.offset - high)
        gaps["below"].append(low - (below.slope.astype(object) * raw >> grid) - below.offset)
    for side, found in gaps.items():
        assert np.max(np.min(found, axis=0)) < unit / 64, side


def with_knots_too_far_apart(curve):
    return dataclasses.replace(curve, sag=0)


def with_a_value_below_the_curve(curve):
    lo, hi = curve.value
    return dataclasses.replace(curve, value=(lo, np.roll(hi, 3)))


def with_too_flat_slopes(curve):
    lo, hi = curve.slope
    return dataclasses.replace(curve, slope=(lo, hi - (hi >> 6)))


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (with_a_value_below_the_curve, "range"),
        (with_too_flat_slopes, "slope"),
        (with_knots_too_far_apart, "range"),
    ],
)
def test_a_wrong_table_is_caught(wrong, promise):
    grid, node = 64, node_of("tanh", {})
    curve = wrong(curves.on_grid(ops.known_ops()["tanh"].curve(node), grid))
    assert promise in violations(curve, node, grid, intervals(grid, count=60))


def test_a_chord_that_is_too_low_is_caught(monkeypatch):
    true = curves._edge
    monkeypatch.setattr(
        curves,
        "_edge",
        lambda *a: curves.Line(true(*a).slope, true(*a).offset - (1 << 10)),
    )
    node = node_of("clip", {"lo": [0.0], "hi": [6.0]})
    curve = curves.on_grid(ops.known_ops()["clip"].curve(node), 32)
    assert {"above", "below"} <= violations(curve, node, 32, intervals(32))


@pytest.mark.parametrize("grid", [20, 26, 32])
def test_extreme_numbers_give_the_same_lines_in_any_integers(grid):
    """int64 must never wrap: huge places and slopes agree with unbounded integers."""
    rng = np.random.default_rng(3)
    for scale in (1, 1 << 20, 1 << (44 - grid)):
        node = node_of("clip", {"lo": [-3.0 * scale], "hi": [2.0 * scale]})
        steep = node_of("leaky_relu", {"slope": [float(scale)]})
        ends = np.sort(rng.integers(-(1 << 44), 1 << 44, size=(2, 30, NEURONS)), axis=0)
        for each in (node, steep):
            facts = ops.known_ops()[each.op].curve(each)
            narrow = curves.on_grid(facts, grid)
            wide = dataclasses.replace(
                narrow,
                **{
                    k: getattr(narrow, k).astype(object) for k in ("breakpoints", "slopes", "first")
                },
            )
            for kind in ("range", "slopes_over", "above", "below"):
                a = getattr(narrow, kind)(Interval(ends[0], ends[1]))
                b = getattr(wide, kind)(Interval(ends[0].astype(object), ends[1].astype(object)))
                for part in (f.name for f in dataclasses.fields(a)):
                    assert np.array_equal(getattr(a, part), getattr(b, part)), (kind, part, scale)


def test_too_many_pieces_are_refused():
    facts = ops.PiecewiseLinear(
        exact([[k] for k in range(9)]), exact([[k] for k in range(10)]), exact([0])
    )
    with pytest.raises(ValueError, match="too many pieces"):
        curves.on_grid(facts, 32)
