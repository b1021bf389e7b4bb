"""Every operator's facts about its curve are facts: of each file in the folder, listed nowhere.

They are held against its own exact enclosure, against its doubles, and against each other, with
parameters that the operator draws itself.
"""

from fractions import Fraction
from functools import partial
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy import quantize
from qdeploy.diagnostics import InputError
from qdeploy.ir import Box, Node, QuantizeRequest, exact
from qdeploy.ops import Activation, known_ops
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import align
from qdeploy.quantize.spans import Span, node_span
from qdeploy.quantize.uses import CLAMPS
from support.activations import (
    ACTIVATIONS,
    NEURONS,
    PIECEWISE,
    SMOOTH,
    curve_of,
    drawn,
    named,
    steepness,
)
from support.curve_laws import piecewise_value, violations
from support.networks import Act, build_network

LAW = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 1 << 32)
LARGEST = np.finfo(np.float64).max
EXTREMES = (0.0, 5e-324, 1e-300, 1.0, 2.0**31, 1e300, LARGEST)
PLACES = st.one_of(
    st.fractions(-30, 30),
    st.integers(-6, 6).map(lambda k: Fraction(k, 2)),
    st.sampled_from([Fraction(s * v) for s in (-1, 1) for v in EXTREMES]),
)
HALF = Fraction(1, 1 << 44)
REGION = Box((Fraction(-4),) * NEURONS, (Fraction(4),) * NEURONS)


def random_node(op, seed):
    return Node("n", op, ("a",), "b", known_ops()[op].draw(np.random.default_rng(seed), NEURONS))


def row(x):
    return exact([[x] * NEURONS])


@pytest.mark.parametrize("op", known_ops())
def test_an_operator_with_a_curve_says_all_of_an_activation(op):
    """Without parameters to draw none of its facts would be tried."""
    operator = known_ops()[op]
    some = any(hasattr(operator, method) for method in ("curve", "draw"))
    assert isinstance(operator, Activation) == some


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_it_draws_different_parameters_if_it_has_any(op):
    nodes = drawn(op, 30)
    names = {name for node in nodes for name in node.parameters}
    assert len(nodes) > 10 if names else len(nodes) == 1
    sizes = {array.shape for node in nodes for array in node.parameters.values()}
    assert sizes <= {(1,), (NEURONS,)}


SMOOTH_NODES = named(8, SMOOTH)


@pytest.mark.parametrize("name", SMOOTH_NODES)
def test_a_smooth_curve_is_as_it_says(name):
    node = SMOOTH_NODES[name]
    double = partial(known_ops()[node.op].evaluate, node)
    assert violations(curve_of(node), double) == set()


@pytest.mark.parametrize("op", PIECEWISE)
@given(seed=SEEDS, x=PLACES)
@LAW
def test_pieces_are_the_exact_values(op, seed, x):
    node = random_node(op, seed)
    facts, at = curve_of(node), row(x)
    lo, hi = known_ops()[op].enclose(node, at, at)
    assert lo is hi
    assert lo[0].tolist() == piecewise_value(facts, at[0]).tolist()


@pytest.mark.parametrize("op", PIECEWISE)
@given(seed=SEEDS)
@LAW
def test_pieces_are_the_exact_values_where_they_meet(op, seed):
    node = random_node(op, seed)
    facts = curve_of(node)
    for near in (-1, 0, 1):
        for point in facts.breakpoints:
            at = exact([np.broadcast_to(point + Fraction(near, 1 << 200), NEURONS)])
            value = known_ops()[op].enclose(node, at, at)[0][0]
            assert value.tolist() == piecewise_value(facts, at[0]).tolist()


@pytest.mark.parametrize("op", ACTIVATIONS)
@given(seed=SEEDS, ends=st.tuples(PLACES, PLACES), part=st.fractions(0, 1))
@LAW
def test_an_enclosure_of_an_interval_holds_what_lies_between(op, seed, ends, part):
    node, member = random_node(op, seed), known_ops()[op]
    lo, hi = row(min(ends)), row(max(ends))
    inside = exact(lo + part * (hi - lo))
    low, high = member.enclose(node, lo, hi)
    least, most = member.enclose(node, inside, inside)
    assert (low <= least).all()
    assert (least <= most).all()
    assert (most <= high).all()


@pytest.mark.parametrize("op", ACTIVATIONS)
@given(seed=SEEDS, x=PLACES.map(float))
@LAW
def test_doubles_are_near_the_exact_values(op, seed, x):
    """As near as the product of two doubles can be, where one can hold it at all."""
    node, member = random_node(op, seed), known_ops()[op]
    low, high = member.enclose(node, row(Fraction(x)), row(Fraction(x)))
    if steepness(node) * abs(Fraction(x)) > Fraction(LARGEST):
        return
    doubles = exact(member.evaluate(node, np.full((1, NEURONS), x)))
    room = HALF * np.maximum(1, abs(high))
    assert (low - room <= doubles).all()
    assert (doubles <= high + room).all()


# --- behind a layer -----------------------------------------------------------------------------


LAYER = (np.eye(NEURONS, dtype=np.float32), np.zeros(NEURONS, np.float32))


def programs(op, bits, before):
    """Return some networks that end with this activation, and their programs."""
    return islice(_programs(op, bits, before), 4)


def _programs(op, bits, before):
    for node in drawn(op, 40):
        network = build_network(NEURONS, [*before, Act(op, node.parameters)])
        try:
            yield network, quantize.run(network, QuantizeRequest((REGION,), bits=bits))
        except InputError:
            continue  # such parameters fit no format


@pytest.mark.parametrize("bits", [5, 9])
@pytest.mark.parametrize("op", ACTIVATIONS)
def test_what_a_program_looks_up_is_off_by_no_more_than_proofs_take(op, bits):
    """Code by code, and over ranges of codes."""
    tried = 0
    for network, program in programs(op, bits, [LAYER]):
        pair = align(network, program)
        lookup = pair.layers[-1].lookup
        if lookup is None:
            continue
        tried += 1
        fixed, before = program.nodes[-1], lookup.before
        codes = np.arange(before.raw_min, before.raw_max + 1)[:, None].repeat(NEURONS, axis=1)
        device = known_ops()[op].execute(fixed, program, codes) * program.output.format.step
        x, unit = exact(codes * before.step), Fraction(1, 1 << pair.grid)
        reach = np.full(NEURONS, int(-before.min * (1 << pair.grid)), dtype=object)
        spare = pair.layers[-1].curve.moved(reach) * unit
        low, high = known_ops()[op].enclose(network.nodes[-1], x, x)
        rng = np.random.default_rng(tried)
        for first, last in np.sort(rng.integers(0, len(codes), (40, 2)), axis=1):
            z = [codes[k : k + 1].astype(object) << (pair.grid - before.fb) for k in (first, last)]
            error, here = lookup.errors(Interval(*z)), slice(first, last + 1)
            assert (error.lo[0] * unit <= (device - low)[here].min(axis=0) + spare).all()
            assert (error.hi[0] * unit >= (device - high)[here].max(axis=0) - spare).all()
    assert tried > 0 or op in CLAMPS


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_codes_between_two_are_no_further_out_than_the_ends_and_zero(op):
    """What formats are chosen by: quantize.spans."""
    tried = 0
    for tried, (_, program) in enumerate(programs(op, 7, []), 1):
        (fixed,) = program.nodes
        source, target = program.tensor(fixed.inputs[0]), program.tensor(fixed.output)
        ends = np.sort(
            np.random.default_rng(tried).integers(
                source.format.raw_min, source.format.raw_max + 1, (2, NEURONS)
            ),
            axis=0,
        )
        read = Span(source, ends[:1], ends[1:], int(ends.min()), int(ends.max()), ends)
        span = node_span(fixed, read, target)
        for share in np.linspace(0, 1, 60):
            codes = np.floor(ends[0] + share * (ends[1] - ends[0])).astype(np.int64)
            emitted = known_ops()[op].execute(fixed, program, codes[None])
            assert (span.lo <= emitted).all()
            assert (emitted <= span.hi).all()
    assert tried > 0
