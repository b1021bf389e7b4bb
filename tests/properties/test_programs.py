"""Laws of quantised programs, over random networks, regions and formats."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy import quantize
from qdeploy.fixedpoint import Rounding
from qdeploy.ir import (
    Activations,
    Box,
    FixedNetwork,
    QuantizeRequest,
    decode_program,
    encode_program,
    exact,
    program_digest,
)
from qdeploy.ops import (
    enclose,
    evaluate,
    evaluate_exact,
    execute,
    execute_all,
    integer_sums,
    known_ops,
)
from qdeploy.ops._sums import largest_sum, narrow_sums
from support.networks import SMOOTH, Act, build_network, random_network, random_request
from support.slow import activated, quantised, rounded, run_slowly, some_inputs, sums, unclamped

SEEDS = st.integers(0, 1 << 32)
LAW = settings(max_examples=120, deadline=None)


def random_program(seed):
    """A third of them has activations other than ReLU."""
    network = random_network(seed, activated=seed % 3 == 0)
    request = random_request(seed, network)
    return network, request, quantize.run(network, request)


def codes_for(program, rng, count):
    """Codes anywhere in the input format, its extremes among them."""
    fmt = program.input.format
    size = (count, program.input.tensor.size)
    codes = rng.integers(fmt.raw_min, fmt.raw_max + 1, size=size)
    codes[0], codes[1] = fmt.raw_min, fmt.raw_max
    codes[2::3] = np.where(rng.random(codes[2::3].shape) < 0.5, fmt.raw_min, fmt.raw_max)
    return codes


@given(SEEDS)
@LAW
def test_the_executor_is_the_slow_definition(seed):
    _, _, program = random_program(seed)
    codes = codes_for(program, np.random.default_rng(seed), 12)
    fast = execute_all(program, codes)
    for index, row in enumerate(codes.tolist()):
        slow = run_slowly(program, row)
        assert {k: v[index].tolist() for k, v in fast.items()} == slow


@given(SEEDS)
@LAW
def test_equal_requests_give_equal_programs_and_the_codec_keeps_them(seed):
    network, request, program = random_program(seed)
    assert program_digest(quantize.run(network, request)) == program_digest(program)
    assert program_digest(decode_program(encode_program(program))) == program_digest(program)


@given(SEEDS)
@LAW
def test_formats_the_user_gave_are_taken_and_the_others_have_the_asked_width(seed):
    _, request, program = random_program(seed)
    assert program.input.format == (request.input_format or program.input.format)
    if request.input_format is None:
        assert program.input.format.bits == request.bits
    for node in program.nodes:
        if node.op != "dense":
            continue
        weight = node.arrays["weight"].format
        assert weight == request.weights or (
            request.weights is None and weight.bits == request.bits
        )
        output = program.tensor(node.output).format
        if request.activations is Activations.AUTO:
            assert output.bits == request.bits  # 16 at most where tables are, as is asked here
        elif request.activations is Activations.EXACT:
            assert output.fb == node.accumulator.fb
        else:
            assert output == request.activations


@given(SEEDS)
@LAW
def test_the_numbers_of_a_dense_node_belong_together(seed):
    network, request, program = random_program(seed)
    for node in program.nodes:
        if node.op != "dense":
            continue
        source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
        fb = node.arrays["weight"].format.fb + source.format.fb
        assert node.accumulator.fb == fb == node.arrays["bias"].format.fb
        assert node.integers["shift"] == fb - target.format.fb
        low, high = (quantised(v, target.format, target.rounding) for v in limits(network, node))
        assert (node.integers["clamp_lo"], node.integers["clamp_hi"]) == (low, high)
        assert target.rounding is request.rounding


def limits(network, fixed):
    """The reals that the relu or clip behind a dense layer lets through; huge ones without any."""
    huge = Fraction(1 << 400)
    node = next(node for node in network.nodes if node.name == fixed.name)
    behind = next((n for n in network.nodes if n.inputs == (node.output,)), node)
    if behind.op == "relu":
        return Fraction(0), huge
    if behind.op != "clip":
        return -huge, huge
    ends = {"lo": -huge, "hi": huge} | {k: a[0] for k, a in behind.parameters.items()}
    return ends["lo"], ends["hi"]


def limits_of(program):
    """Every code a tensor can hold, from the clamps alone."""
    fmt = program.input.format
    limits = {program.inputs[0]: (fmt.raw_min, fmt.raw_max)}
    for node in program.nodes:
        if node.op == "dense":
            limits[node.output] = (node.integers["clamp_lo"], node.integers["clamp_hi"])
        else:
            low, high = limits[node.inputs[0]]
            ends = [low, min(max(0, low), high), high]
            size = program.tensor(node.output).tensor.size
            codes = [c for end in ends for c in activated(program, node, [end] * size)]
            limits[node.output] = (min(codes), max(codes))
    return limits


@given(SEEDS)
@LAW
def test_the_accumulator_holds_every_partial_sum_in_any_order(seed):
    """Worst codes per neuron, and random ones; bias first, products in random order."""
    _, request, program = random_program(seed)
    rng = np.random.default_rng(seed)
    limits = limits_of(program)
    for node in program.nodes:
        if node.op != "dense":
            continue
        low, high = limits[node.inputs[0]]
        shift, bound = node.integers["shift"], node.accumulator.bound
        assert bound < 1 << (node.accumulator.bits - 1)
        for row, offset in zip(
            node.arrays["weight"].raw.tolist(), node.arrays["bias"].raw.tolist(), strict=True
        ):
            worst = [low if w < 0 else high for w in row]
            least = [high if w < 0 else low for w in row]
            random = rng.integers(low, high + 1, size=len(row)).tolist()
            for codes in (worst, least, random):
                order = rng.permutation(len(row)).tolist()
                partial = itertools.accumulate((row[i] * codes[i] for i in order), initial=offset)
                for total in partial:
                    assert abs(total) <= bound
                    assert abs(total << max(-shift, 0)) <= bound
                    if request.rounding.value == "nearest" and 0 < shift < 64:
                        assert abs(total + (1 << (shift - 1))) <= bound


@given(SEEDS)
@LAW
def test_the_accumulator_is_not_wider_than_the_sums_ask_for(seed):
    """The bound is at most the sum of absolute products and what the shift adds."""
    _, request, program = random_program(seed)
    limits = limits_of(program)
    for node in program.nodes:
        if node.op != "dense":
            continue
        largest = max(abs(v) for v in limits[node.inputs[0]])
        weight, bias = node.arrays["weight"].raw, node.arrays["bias"].raw
        rows = zip(weight.tolist(), bias.tolist(), strict=True)
        need = max(abs(b) + sum(abs(w) for w in row) * largest for row, b in rows)
        shift = node.integers["shift"]
        need <<= max(-shift, 0)
        if request.rounding.value == "nearest" and 0 < shift < 64:
            need += 1 << (shift - 1)
        assert node.accumulator.bound == need
        assert node.accumulator.bits == (32 if need < 1 << 31 else 64)


def region_codes(program, request, rng, count=6):
    mode, fmt = program.input.rounding, program.input.format
    for box in request.regions:
        for x in some_inputs(box, rng, count):
            yield x, [quantised(v, fmt, mode) for v in x]


@given(SEEDS, st.sampled_from([4, 5, 8, 11, 16]))
@LAW
def test_auto_formats_never_saturate_inside_the_regions(seed, bits):
    network = random_network(seed, activated=seed % 9 == 0)
    given_ = random_request(seed, network)
    request = QuantizeRequest(
        given_.regions,
        bits=bits,
        rounding=given_.rounding,
        quantizer=given_.quantizer,
        work=0.02 if seed % 20 else 0.5,
    )
    program = quantize.run(network, request)
    fmt = program.input.format
    for x, codes in region_codes(program, request, np.random.default_rng(seed)):
        plain = [rounded(v / fmt.step, program.input.rounding) for v in x]
        assert plain == codes, "the input saturated"
        values = run_slowly(program, codes)
        read_by_tables = {node.inputs[0] for node in program.nodes if node.op in SMOOTH}
        for node in program.nodes:
            if node.op == "dense" and node.output not in read_by_tables:
                target = program.tensor(node.output)
                low, high = limits(network, node)
                step = target.format.step
                for code in unclamped(program, node, values[node.inputs[0]]):
                    kept = min(max(code, low / step), high / step)
                    assert target.format.raw_min <= rounded(kept, target.rounding)
                    assert rounded(kept, target.rounding) <= target.format.raw_max


@given(SEEDS, st.sampled_from([4, 8, 13, 16]))
@LAW
def test_auto_takes_the_smallest_integer_bits(seed, bits):
    """One layer's extremes lie at corners of the box, so there the choice can be checked."""
    rng = np.random.default_rng(seed)
    weight = (rng.normal(size=(3, 2)) * rng.choice([0.01, 1, 50])).astype(np.float32)
    network = build_network(2, [(weight, rng.normal(size=3).astype(np.float32))])
    lo = [Fraction(v) for v in np.round(rng.normal(size=2), 3).tolist()]
    box = Box.enclosing(tuple(lo), tuple(v + Fraction(1, 2) for v in lo))
    request = QuantizeRequest((box,), bits=bits)
    program = quantize.run(network, request)
    node, target = program.nodes[0], program.output
    corners = itertools.product(*zip(box.lo, box.hi, strict=True))
    mode = target.rounding
    totals = [
        total
        for x in corners
        for total in sums(node, [quantised(v, program.input.format, mode) for v in x])
    ]
    narrower = Fraction(2) ** -(node.integers["shift"] - 1)
    codes = [rounded(t * narrower, mode) for t in totals]
    saturates = max(codes) > target.format.raw_max or min(codes) < target.format.raw_min
    assert saturates or target.format.fb == node.accumulator.fb


@given(SEEDS)
@LAW
def test_exact_activations_lose_no_bit(seed):
    """Inside the regions the device computes the network with rounded parameters, exactly."""
    network, request = next(
        (network, request)
        for network in (random_network(s, activated=s % 3 == 0) for s in itertools.count(seed))
        for request in [random_request(int(network.name.removeprefix("random_")), network)]
        if request.activations is Activations.EXACT
    )
    program = quantize.run(network, request)
    for _, codes in region_codes(program, request, np.random.default_rng(seed), 3):
        values = {program.inputs[0]: [c * program.input.format.step for c in codes]}
        for node in program.nodes:
            values[node.output] = in_rationals(program, node, values[node.inputs[0]])
        step = program.output.format.step
        device = [c * step for c in run_slowly(program, codes)[program.outputs[0]]]
        assert device == values[program.outputs[0]]


def in_rationals(program, node, x):
    """What a node with exact activations computes: no code is rounded, clips end at codes."""
    if node.op == "relu":
        return [max(v, Fraction(0)) for v in x]
    step = program.tensor(node.output).format.step
    low, high = (node.integers[end] * step for end in ("clamp_lo", "clamp_hi"))
    if node.op == "clip":
        return [min(max(v, low), high) for v in x]
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    y = [
        b * bias.format.step + sum(w * weight.format.step * v for w, v in zip(row, x, strict=True))
        for row, b in zip(weight.raw.tolist(), bias.raw.tolist(), strict=True)
    ]
    return [min(max(v, low), high) for v in y]


@given(SEEDS)
@LAW
def test_parameters_are_their_real_values_rounded_once(seed):
    network, request, program = random_program(seed)
    nodes = {node.name: node for node in network.nodes}
    for fixed in program.nodes:
        if fixed.op != "dense":
            continue
        real = nodes[fixed.name].parameters
        weight, bias, mode = fixed.arrays["weight"], fixed.arrays["bias"], request.quantizer
        assert weight.raw.ravel().tolist() == [
            rounded(v / weight.format.step, mode) for v in real["weight"].ravel().tolist()
        ]
        coarse = bias.format.step
        if request.biases is not None:
            coarse = max(coarse, request.biases.step)
        assert [b * bias.format.step for b in bias.raw.tolist()] == [
            rounded(v / coarse, mode) * coarse for v in real["bias"].tolist()
        ]


@given(SEEDS)
@LAW
def test_real_semantics_in_doubles_and_in_rationals_agree(seed):
    network = random_network(seed, activated=seed % 3 == 0)
    x = np.random.default_rng(seed).normal(size=(4, network.inputs[0].size))
    doubles, (lo, hi) = evaluate(network, x), enclose(network, exact(x))
    scale = 1.0 + np.abs(doubles).max()
    assert np.abs(doubles - lo.astype(np.float64)).max() <= 1e-11 * scale * 1e3
    assert np.all(lo <= hi)
    assert (hi - lo).max() <= 1e-11 * scale
    if all(node.op not in SMOOTH for node in network.nodes):
        assert np.array_equal(evaluate_exact(network, exact(x)), lo)


@given(SEEDS)
@LAW
def test_rational_semantics_are_sums_of_products(seed):
    """With parameters that are no binary fractions, as folding a division leaves them."""
    rng = np.random.default_rng(seed)

    def rationals(*shape):
        flat = [
            Fraction(int(rng.integers(-99, 99)), int(rng.integers(1, 30)))
            for _ in range(int(np.prod(shape)))
        ]
        return exact(np.array(flat, dtype=object).reshape(shape))

    weight, bias, x = rationals(3, 2), rationals(3), rationals(4, 2)
    network = build_network(2, [(np.ones((3, 2), np.float32), np.ones(3, np.float32)), "relu"])
    dense = replace(network.nodes[0], parameters={"weight": weight, "bias": bias})
    network = replace(network, nodes=(dense, network.nodes[1]))
    expected = [
        [
            max(b + sum(w * v for w, v in zip(row, point, strict=True)), Fraction(0))
            for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
        ]
        for point in x.tolist()
    ]
    assert evaluate_exact(network, x).tolist() == expected


@pytest.mark.parametrize("bits", [8, 26, 40, 62])
@given(data=st.data())
def test_integer_sums_are_exact_at_every_size(bits, data):
    """In doubles, in int64, and beyond both."""
    limit = 1 << min(bits // 2, 31)
    entries = st.integers(-limit, limit - 1)
    rows = st.lists(st.lists(entries, min_size=3, max_size=3), min_size=1, max_size=3)
    weight, codes = data.draw(rows), data.draw(rows)
    huge = st.integers(-(1 << bits), 1 << bits)
    bias = data.draw(st.lists(huge, min_size=len(weight), max_size=len(weight)))
    out = integer_sums(*(np.array(v, dtype=np.int64) for v in (codes, weight, bias)))
    assert [[int(v) for v in row] for row in out.tolist()] == [
        [
            b + sum(w * c for w, c in zip(r, row, strict=True))
            for r, b in zip(weight, bias, strict=True)
        ]
        for row in codes
    ]


@given(SEEDS, st.integers(1, 33), st.sampled_from([63, 64, 200]))
@LAW
def test_narrow_sums_are_the_sums(seed, bits, rows):
    """On both sides of what 32 bits hold, whatever columns stand still."""
    rng = np.random.default_rng(seed)
    outputs, inputs = rng.integers(1, 6, size=2)
    weight = rng.integers(-7, 8, size=(outputs, inputs))
    codes = rng.integers(-(1 << bits) // 16, (1 << bits) // 16 + 1, size=(rows, inputs))
    codes[:, rng.random(inputs) < 0.5] = codes[0, 0]
    bias = rng.integers(-(1 << bits) // 4, (1 << bits) // 4 + 1, size=outputs)
    out = narrow_sums(codes, weight, bias)
    assert out.astype(np.int64).tolist() == integer_sums(codes, weight, bias).tolist()
    fits = largest_sum(weight, bias, int(np.abs(codes).max())) < 1 << 31
    assert out.dtype == (np.int32 if rows >= 64 and fits else np.int64)


def test_the_random_requests_cover_what_they_promise():
    """Both accumulators, shifts of every direction, negative IB and FB, saturating and not."""
    seen = set()
    for seed in range(150):
        _, _, program = random_program(seed)
        execute(program, codes_for(program, np.random.default_rng(seed), 4))
        seen.add(("ops", tuple(sorted({node.op for node in program.nodes}))))
        for tensor in program.tensors:
            seen |= {("rounding", tensor.rounding.value), ("negative fb", tensor.format.fb < 0)}
            seen |= {("ib", tensor.format.ib <= 0), ("container", tensor.format.container_bits)}
        for node in program.nodes:
            if node.op == "dense":
                shift = node.integers["shift"]
                seen |= {("accumulator", node.accumulator.bits), ("shift", np.sign(shift))}
    assert {("accumulator", 32), ("accumulator", 64), ("shift", -1), ("shift", 0)} <= seen
    assert {("shift", 1), ("negative fb", True), ("ib", True), ("ops", ("dense", "relu"))} <= seen
    assert {("container", 8), ("container", 16), ("container", 32)} <= seen
    assert {("rounding", mode) for mode in ("nearest", "floor", "trunc")} <= seen


def table_of(program, node):
    """Every code a table can read, and what it makes of it."""
    tensors = [program.tensor(t) for t in (node.inputs[0], node.output)]
    source = tensors[0].format
    codes = np.arange(source.raw_min, source.raw_max + 1)
    one = tuple(replace(t, tensor=replace(t.tensor, shape=(1,))) for t in tensors)
    alone = FixedNetwork("table", node.inputs, (node.output,), one, (node,))
    return codes, execute(alone, codes[:, None])[:, 0]


@given(SEEDS, st.sampled_from(sorted(SMOOTH)), st.sampled_from([4, 8, 10, 11, 13, 16]))
@settings(max_examples=30, deadline=None)
def test_a_table_never_falls_and_is_as_near_to_the_curve_as_lines_are(seed, op, bits):
    """For every code: one step for rounding, one for values, and what a line leaves of a curve."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([0.05, 1.0, 8.0])
    weight = (rng.normal(size=(2, 1)) * scale).astype(np.float32)
    act = Act(op, {"alpha": rng.choice([0.3, 1.0, 2.0])} if op == "elu" else {})
    network = build_network(1, [(weight, rng.normal(size=2).astype(np.float32)), act])
    box = Box((Fraction(-1),), (Fraction(1),))
    mode = list(Rounding)[rng.integers(3)]
    program = quantize.run(network, QuantizeRequest((box,), bits=bits, rounding=mode))
    node = program.nodes[1]
    source, target = program.tensor(node.inputs[0]).format, program.output.format
    codes, out = table_of(program, node)
    assert np.all(np.diff(out) >= 0)
    curve = known_ops()[op].curve(network.nodes[1])
    lo, hi = curve.value(codes, source.fb, 64)
    ends = [
        np.clip(v / 2**64 / float(target.step), target.raw_min, target.raw_max)
        for v in (lo.astype(np.float64), hi.astype(np.float64))
    ]
    width = float(source.step) * 2 ** node.integers["shift"]
    bent = width**2 / 8 * float(curve.curvature) / float(target.step)
    allowed = 2.0 + bent if node.integers["shift"] else 1.0 + 1e-9
    assert np.all(out >= ends[0] - allowed)
    assert np.all(out <= ends[1] + allowed)
