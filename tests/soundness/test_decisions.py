"""Decisions: what is proven unchanged is so for every code and exact input; nothing else passes.

Tiny networks of two inputs and three outputs are decided in all boxes; every input code is run, and
the network is evaluated without rounding on corners, borders of codes and a mesh. Formats are so
coarse that ties and saturation are common. Kernels that are wrong on purpose must be caught.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, ops, proof, quantize
from qdeploy.certifier import CertifyRequest, DecideRequest
from qdeploy.certifier.decide import _cut_up, _winners
from qdeploy.certifier.tasks import Scene
from qdeploy.diagnostics import RefusedError, UsageError
from qdeploy.fixedpoint import QFormat, Rounding, round_fraction
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest, exact
from qdeploy.proof import DecisionKind, DecisionStatus, chain, decision
from qdeploy.proof import statement as statements
from qdeploy.proof.budget import Budget
from qdeploy.proof.certificate import Attacked, DecisionClaim, Unchanged
from qdeploy.proof.pair import Pairs, align, coarse_grid
from qdeploy.proof.ranges import boxes_on_grid
from support.networks import build_network, random_network, random_request

FULL = bytes([decision.FULL_LEAF])
RUN = bytes([decision.CODES_LEAF])
KINDS = list(DecisionKind)
BOXES = 30
ROUNDINGS = list(Rounding)


def tiny(seed: int, *, last_relu: bool = False) -> tuple[Network, FixedNetwork]:
    rng = np.random.default_rng((seed, 11))
    layers = [(rng.normal(size=(4, 2)), rng.normal(size=4)), "relu"]
    layers += [(rng.normal(size=(3, 4)), rng.normal(size=3) * 0.5)] + ["relu"] * last_relu
    steps = [
        s if isinstance(s, str) else tuple((np.round(a * 16) / 16).astype(np.float32) for a in s)
        for s in layers
    ]
    network = build_network(2, steps, f"tiny_{seed}")
    rounding = ROUNDINGS[seed % 3]
    request = QuantizeRequest(
        (Box((Fraction(-1),) * 2, (Fraction(1),) * 2),),
        weights=QFormat(5, 3),
        activations=QFormat(3 if seed % 2 else 2, 1),
        input_format=QFormat(2, 3),
        rounding=rounding,
        quantizer=rounding,
    )
    return network, quantize.run(network, request)


def small_boxes(seed: int, count: int) -> tuple[Box, ...]:
    rng = np.random.default_rng((seed, 12))
    centres, radii = rng.uniform(-1, 1, size=(count, 2)), rng.choice([0.03, 0.1, 0.25], size=count)
    return tuple(
        Box.enclosing(*(tuple(Fraction(v) for v in (c + s * r)) for s in (-1, 1)))
        for c, r in zip(centres, radii, strict=True)
    )


def device_decisions(program: FixedNetwork, box: Box, kind: DecisionKind) -> set[int]:
    """The decisions of every code that an input of the box can have."""
    fmt, mode = program.input.format, program.input.rounding
    ends = [
        (statements_code(lo, fmt, mode), statements_code(hi, fmt, mode))
        for lo, hi in zip(box.lo, box.hi, strict=True)
    ]
    codes = np.array(list(itertools.product(*(range(a, b + 1) for a, b in ends))), dtype=np.int64)
    answers = ops.execute(program, codes)
    return set((answers if kind is DecisionKind.ARGMAX else -answers).argmax(axis=1).tolist())


def statements_code(value: Fraction, fmt: QFormat, mode: Rounding) -> int:
    return min(max(round_fraction(value / fmt.step, mode), fmt.raw_min), fmt.raw_max)


def network_decisions(network: Network, box: Box, kind: DecisionKind) -> set[int | None]:
    """The decisions on a mesh of the box, corners included; None for a tie."""
    sides = [
        [lo + (hi - lo) * k / 6 for k in range(7)] for lo, hi in zip(box.lo, box.hi, strict=True)
    ]
    values = ops.evaluate_exact(network, exact([list(x) for x in itertools.product(*sides)]))
    if kind is DecisionKind.ARGMIN:
        values = -values
    found: set[int | None] = set()
    for row in values.tolist():
        best = max(row)
        found.add(row.index(best) if row.count(best) == 1 else None)
    return found


@functools.cache
def truth(seed: int, kind: DecisionKind) -> list[tuple[set[int], set[int | None]]]:
    """What device and network decide in every small box."""
    network, program = tiny(seed, last_relu=seed % 5 == 0)
    return [
        (device_decisions(program, box, kind), network_decisions(network, box, kind))
        for box in small_boxes(seed, BOXES)
    ]


def wrongly_sure(seeds: range) -> Iterator[tuple[int, int]]:
    """Yield where a winner is called sure, of the device or the network, that is not."""
    for seed, kind in itertools.product(seeds, KINDS):
        network, program = tiny(seed, last_relu=seed % 5 == 0)
        pair = decision.decision_pair(Pairs(network, program), coarse_grid(program))
        raw = boxes_on_grid(small_boxes(seed, BOXES), pair.grid)
        codes = decision.device_values(pair, decision.code_boxes(pair, raw))
        contests = (decision.device_contest(pair, kind), decision.network_contest(pair, kind))
        for winner, light in itertools.product(range(3), (False, True)):
            winners = np.full(BOXES, winner)
            sure = [
                decision.leads(contest, boxes, winners, light=light).sure
                for contest, boxes in zip(contests, (codes, raw), strict=True)
            ]
            for index, decisions in enumerate(truth(seed, kind)):
                for side in range(2):
                    if sure[side][index] and decisions[side] != {winner}:
                        yield seed, index


def test_nothing_is_called_sure_that_some_code_or_input_contradicts():
    assert list(wrongly_sure(range(12))) == []


def flipped_ties(stairs, lead, rivals, grid):
    return REAL_DEVICE(stairs, lead, dataclasses.replace(rivals, strict=~rivals.strict), grid)


def step_too_little(stairs, lead, rivals, grid):
    return REAL_DEVICE(stairs, lead + (1 << (grid - stairs.format.fb)), rivals, grid)


def without_saturation(stairs, lead, rivals, grid):
    wide = QFormat(stairs.format.ib + 6, stairs.format.fb)
    return REAL_DEVICE(
        chain.Stairs(wide, stairs.rounding, wide.raw_min, wide.raw_max), lead, rivals, grid
    )


def one_step_for_trunc(stairs, lead, rivals, grid):
    floor = dataclasses.replace(stairs, rounding=Rounding.FLOOR)
    return REAL_DEVICE(floor if stairs.rounding is Rounding.TRUNC else stairs, lead, rivals, grid)


def without_last_relu(last, lead, rivals):
    return REAL_NETWORK(dataclasses.replace(last, curve=None), lead, rivals)


def steps_as_lines(stairs, v, grid):
    """As if rounding lost nothing."""
    lines, leaving = REAL_STAIRS(stairs, v, grid)
    unit = np.full_like(lines.low, 1 << grid)
    exact_line = dataclasses.replace(
        lines, low_slope=unit, low=0 * unit, high_slope=unit, high=0 * unit
    )
    return exact_line, leaving


REAL_DEVICE, REAL_NETWORK, REAL_STAIRS = (
    decision._device_lead,
    decision._network_lead,
    chain._stair_lines,
)


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (decision, "_device_lead", flipped_ties),
        (decision, "_device_lead", step_too_little),
        (decision, "_device_lead", without_saturation),
        (decision, "_device_lead", one_step_for_trunc),
        (decision, "_network_lead", without_last_relu),
        (chain, "_stair_lines", steps_as_lines),
    ],
)
def test_a_wrong_kernel_is_caught(monkeypatch, module, name, wrong):
    monkeypatch.setattr(module, name, wrong)
    assert next(wrongly_sure(range(12)), None) is not None


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_lines_enclose_outputs_of_network_and_program(seed, activated):
    """Random networks, formats and roundings: what is computed lies within what is enclosed."""
    network = random_network(seed, activated=activated)
    program = quantize.run(network, random_request(seed, network))
    pair = align(network, program, max(coarse_grid(program), 20 + 9 * (seed % 3)))
    rng = np.random.default_rng(seed)
    n_in = network.inputs[0].size
    centre = rng.normal(size=n_in)
    x = centre + rng.uniform(-0.1, 0.1, size=(20, n_in))
    box = Box(*(tuple(Fraction(v) for v in end(x, axis=0).tolist()) for end in (np.min, np.max)))
    raw = boxes_on_grid([box], pair.grid)
    codes = decision.device_values(pair, decision.code_boxes(pair, raw))
    scale = Fraction(1, 1 << pair.grid)
    sent = np.array(
        [
            [
                statements_code(Fraction(v), program.input.format, program.input.rounding)
                for v in row
            ]
            for row in x.tolist()
        ],
        dtype=np.int64,
    )
    device = ops.execute(program, sent)
    real = ops.enclose(network, exact(x))
    step = program.output.format.step
    for links, boxes, values in (
        (chain.network_links(pair), raw, real),
        (chain.program_links(pair), codes, (exact(device) * step,) * 2),
    ):
        rows = np.array(
            [
                [
                    [1 << pair.grid if i == j else 0 for j in range(len(links[-1].bias))]
                    for i in range(len(links[-1].bias))
                ]
            ],
            dtype=object,
        )
        for lines in (0, len(links)):
            passed = chain.enclose(links, boxes, pair.grid, lines)
            high = chain.upper_bound(links, passed, rows, boxes, pair.grid)[0]
            low = -chain.upper_bound(links, passed, -rows, boxes, pair.grid)[0]
            for output in range(len(high)):
                least, most = int(low[output]) * scale, int(high[output]) * scale
                assert all(least <= v for v in values[1][:, output])
                assert all(v <= most for v in values[0][:, output])


# --- search, certificate, check --------------------------------------------------------------


def decided(seed: int, kind: DecisionKind, count: int = 12) -> tuple[Network, proof.Certificate]:
    network, program = tiny(seed)
    boxes = small_boxes(seed, count)
    spend = CertifyRequest(work=0.01, attack_budget=100, methods=frozenset())
    certificate = certifier.run(network, program, boxes, spend)
    claim = certifier.decide(network, program, boxes, DecideRequest(kind, 0.5), lambda _: None)
    return network, dataclasses.replace(certificate, decision=claim)


@pytest.mark.parametrize("kind", KINDS)
def test_every_status_agrees_with_enumeration(kind):
    seen = set()
    for seed in range(6):
        network, certificate = decided(seed, kind)
        again = proof.read(proof.write(proof.attest(certificate))).certificate
        for bound in proof.check(network, again):
            seen.add(bound.decision)
            device = device_decisions(certificate.program, bound.box, kind)
            real = network_decisions(network, bound.box, kind)
            if bound.decision is DecisionStatus.UNCHANGED:
                assert device == real
                assert len(real) == 1
    assert seen >= {DecisionStatus.UNCHANGED, DecisionStatus.ATTACKED}


def test_pairs_hold_at_every_input_tried():
    network, certificate = decided(3, DecisionKind.ARGMAX)
    program, claim = certificate.program, certificate.decision
    rng = np.random.default_rng(5)
    for region, bounds in zip(certificate.regions, claim.pairs, strict=True):
        lo, hi = (np.array([float(v) for v in side]) for side in (region.box.lo, region.box.hi))
        x = exact(np.clip(rng.uniform(lo, hi, size=(40, 2)), lo, hi))
        sent = [
            [statements_code(v, program.input.format, program.input.rounding) for v in row]
            for row in x.tolist()
        ]
        device = exact(ops.execute(program, np.array(sent))) * program.output.format.step
        e = device - ops.evaluate_exact(network, x)
        for (i, j), bound in zip(itertools.combinations(range(3), 2), bounds, strict=True):
            assert max(abs(e[:, i] - e[:, j])) <= Fraction(bound)


def test_cutting_decides_what_the_whole_region_does_not():
    """One box, wide enough that lines alone leave it open, is decided by its pieces."""
    for seed in range(40):
        network, program = tiny(seed)
        box = Box((Fraction(-1, 4),) * 2, (Fraction(1, 4),) * 2)
        asked = DecideRequest(DecisionKind.ARGMAX, 5.0)
        claim = certifier.decide(network, program, (box,), asked, lambda _: None)
        (case,) = claim.cases
        if isinstance(case, Unchanged) and case.device != FULL:
            assert decision.check(Pairs(network, program), claim, (box,), Budget()) == (
                DecisionStatus.UNCHANGED,
            )
            assert device_decisions(program, box, DecisionKind.ARGMAX) == {case.winner}
            return
    raise AssertionError("no network needed cutting")


def open_cases(network: Network, program: FixedNetwork, seconds: float, jobs: int) -> DecisionClaim:
    boxes = small_boxes(4, 40)
    asked = DecideRequest(DecisionKind.ARGMAX, seconds)
    return certifier.decide(network, program, boxes, asked, lambda _: None, certifier.Crew(jobs))


def test_decisions_do_not_depend_on_who_computes_them():
    network, program = tiny(4)
    assert open_cases(network, program, 4.0, 2) == open_cases(network, program, 4.0, 1)


def test_more_work_leaves_no_case_open_that_less_had_settled():
    network, program = tiny(4)
    settled: set[int] = set()
    for seconds in (0.0, 0.001, 0.01, 0.1, 1.0):
        cases = open_cases(network, program, seconds, 1).cases
        now = {index for index, case in enumerate(cases) if case is not None}
        assert settled <= now
        settled = now
    assert settled


def test_a_piece_that_cannot_be_won_shows_an_input_decided_differently():
    """Without any attack, cutting alone finds the inputs at which some regions are lost."""
    met = 0
    for seed in range(6):
        network, program = tiny(seed)
        for box in small_boxes(seed, 6):
            kind = DecisionKind.ARGMAX
            winner = int(_winners(network, [box], kind)[0])
            cut = _cut_up(Scene(network, program), box, kind, winner, 1e8, (None, None))
            if cut.point is not None:
                assert box.holds(cut.point)
                assert decision.differs(network, program, [cut.point], kind) == [True]
                met += 1
    assert met


@pytest.mark.parametrize("kind", KINDS)
def test_running_every_code_of_a_region_is_enumeration(kind):
    """Where lines decide nothing and where the device's answers differ, ties among them."""
    seen = set()
    for seed in range(8):
        network, program = tiny(seed)
        boxes = small_boxes(seed, 6)
        pair = decision.decision_pair(Pairs(network, program), coarse_grid(program))
        codes = decision.code_boxes(pair, boxes_on_grid(boxes, pair.grid))
        for winner in range(3):
            won = decision.run_wins(program, codes, np.full(len(boxes), winner), kind)
            counts = (codes.hi - codes.lo).prod(axis=1)
            for index, box in enumerate(boxes):
                answers = device_decisions(program, box, kind)
                assert (won[index] == counts[index]) == (answers == {winner})
                assert (won[index] == 0) == (winner not in answers)
                seen.add(len(answers))
    assert seen >= {1, 2}


def one_case(program: FixedNetwork, case: Unchanged) -> DecisionClaim:
    return DecisionClaim(DecisionKind.ARGMAX, coarse_grid(program), (case,), None)


def test_only_regions_whose_every_code_is_won_pass_by_being_run():
    """The network has one winner there; the device agrees in some regions, and not in others."""
    verdicts = set()
    for seed in range(12):
        network, program = tiny(seed)
        for box in small_boxes(seed, 6):
            winner = int(_winners(network, [box], DecisionKind.ARGMAX)[0])
            if network_decisions(network, box, DecisionKind.ARGMAX) != {winner}:
                continue
            claim = one_case(program, Unchanged(winner, FULL, RUN))
            agrees = device_decisions(program, box, DecisionKind.ARGMAX) == {winner}
            try:
                decision.check(Pairs(network, program), claim, (box,), Budget())
            except RefusedError:
                verdicts.add((agrees, False))
            else:
                verdicts.add((agrees, True))
    assert (False, True) not in verdicts
    assert {(True, True), (False, False)} <= verdicts


def test_a_leaf_that_would_run_for_long_is_refused():
    network, _ = handmade((0.25, 0.0), QFormat(6, 0))
    box = Box((Fraction(0),), (Fraction(1),))
    request = QuantizeRequest((box,), weights=QFormat(3, 6), input_format=QFormat(3, 13), bits=16)
    program = quantize.run(network, request)
    claim = one_case(program, Unchanged(0, FULL, RUN))
    with pytest.raises(RefusedError, match="8193 codes is too large to be run"):
        decision.check(Pairs(network, program), claim, (box,), Budget())


@pytest.mark.parametrize("box", [((0, 5), (1, 6)), ((0, -2, 7), (2, 1, 8)), ((-1,), (3,))])
def test_every_code_of_a_box_comes_once(box):
    codes = decision.every_code(*box)
    ranges = (range(a, b) for a, b in zip(*box, strict=True))
    assert [tuple(row) for row in codes.tolist()] == list(itertools.product(*ranges))


@pytest.fixture(scope="module")
def certified() -> tuple[Network, proof.Certificate]:
    network, certificate = decided(1, DecisionKind.ARGMAX)
    statuses = {type(case) for case in certificate.decision.cases}
    assert {Unchanged, Attacked} <= statuses
    return network, certificate


def first(claim: DecisionClaim, kind: type) -> int:
    return next(i for i, case in enumerate(claim.cases) if isinstance(case, kind))


def with_case(claim: DecisionClaim, index: int, case: Unchanged | Attacked | None) -> DecisionClaim:
    cases = list(claim.cases)
    cases[index] = case
    return dataclasses.replace(claim, cases=tuple(cases))


def mutations(certificate: proof.Certificate) -> Iterator[tuple[str, DecisionClaim]]:
    claim = certificate.decision
    good, bad = first(claim, Unchanged), first(claim, Attacked)
    case, found, box = claim.cases[good], claim.cases[bad], certificate.regions[bad].box
    change = dataclasses.replace
    yield "not proven", with_case(claim, good, change(case, winner=(case.winner + 1) % 3))
    yield "none of the outputs", with_case(claim, good, change(case, winner=3))
    yield "none of the outputs", with_case(claim, good, change(case, winner=-1))
    yield "not proven", with_case(claim, bad, Unchanged(0, FULL, FULL))
    yield "before its leaves", with_case(claim, good, change(case, device=b""))
    yield "after its leaves", with_case(claim, good, change(case, network=FULL * 2))
    yield "axis", with_case(claim, good, change(case, network=bytes([2]) + FULL * 2))
    deep = b"".join(bytes([0]) * 2**k for k in range(6)) + FULL * 64
    yield "no code", with_case(claim, good, change(case, device=deep))
    yield "no known kind", with_case(claim, good, change(case, network=RUN))
    yield "no known kind", with_case(claim, good, change(case, device=bytes([252])))
    yield (
        "not proven",
        with_case(claim, good, change(case, winner=(case.winner + 1) % 3, device=RUN)),
    )
    yield "too many", with_case(claim, good, change(case, device=bytes([0]) * (1 << 22)))
    outside = (box.hi[0] + 1, *found.x[1:])
    yield "outside", with_case(claim, bad, Attacked(outside))
    yield "outside", with_case(claim, bad, Attacked(found.x[:1]))
    alike = certificate.regions[good].box.lo
    yield "decided alike", with_case(claim, good, Attacked(alike))
    yield "another number", change(claim, cases=claim.cases[1:])
    yield (
        "region 0",
        change(claim, pairs=((claim.pairs[0][0] * 2, *claim.pairs[0][1:]), *claim.pairs[1:])),
    )
    ulp = Decimal((0, (1,), claim.pairs[0][0].as_tuple().exponent))
    yield (
        "region 0",
        change(claim, pairs=((claim.pairs[0][0] - ulp, *claim.pairs[0][1:]), *claim.pairs[1:])),
    )
    yield "another number", change(claim, pairs=claim.pairs[1:])
    yield "grid", change(claim, grid=3)
    yield "grid", change(claim, grid=5000)


def test_every_change_is_refused(certified):
    network, certificate = certified
    for reason, claim in mutations(certificate):
        changed = dataclasses.replace(certificate, decision=claim)
        with pytest.raises(RefusedError, match=reason):
            proof.check(network, proof.read(proof.write(proof.attest(changed))).certificate)


def test_the_other_kind_is_refused(certified):
    network, certificate = certified
    claim = dataclasses.replace(certificate.decision, kind=DecisionKind.ARGMIN, pairs=None)
    with pytest.raises(RefusedError, match="not proven"):
        proof.check(network, dataclasses.replace(certificate, decision=claim))


def test_open_may_always_be_claimed(certified):
    network, certificate = certified
    claim = certificate.decision
    nothing = dataclasses.replace(claim, cases=(None,) * len(claim.cases), pairs=None)
    proven = proof.check(network, dataclasses.replace(certificate, decision=nothing))
    assert {bound.decision for bound in proven} == {DecisionStatus.OPEN}


def test_the_seal_names_the_part(certified):
    _, certificate = certified
    text = json.loads(proof.write(proof.attest(certificate)))
    text["predicate"]["decision"]["cases"][0] = None
    with pytest.raises(RefusedError, match="decision cases: this part was changed"):
        proof.read(json.dumps(text).encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "argmid"),
        ("grid", "20"),
        ("cases", [{"winner": 0}]),
        ("cases", [{"winner": True, "network": "/g==", "device": "/g=="}]),
        ("cases", ["x"]),
        ("pairs", [["-1"]]),
        ("more", 1),
    ],
)
def test_strange_spellings_are_refused(certified, key, value):
    _, certificate = certified
    data = json.loads(proof.write(proof.attest(certificate)))
    predicate = data["predicate"]
    predicate["decision"][key] = value
    predicate["seal"] = statements._seal(predicate, data["subject"])
    with pytest.raises(RefusedError):
        proof.read((statements._canonical(data) + "\n").encode())


def handmade(bias: tuple[float, float], fmt: QFormat) -> tuple[Network, FixedNetwork]:
    """Two outputs x + bias, in a coarse format."""
    weight = np.ones((2, 1), dtype=np.float32)
    network = build_network(1, [(weight, np.array(bias, dtype=np.float32))])
    box = Box((Fraction(0),), (Fraction(1),))
    request = QuantizeRequest(
        (box,), weights=QFormat(3, 6), activations=fmt, input_format=QFormat(3, 6)
    )
    return network, quantize.run(network, request)


@pytest.mark.parametrize(
    ("bias", "fmt", "winner", "unchanged"),
    [
        ((0.25, 0.0), QFormat(6, 0), 0, True),  # codes tie often: the lowest index, which is right
        ((0.0, 0.25), QFormat(6, 0), 1, False),
        ((0.0, 1.0), QFormat(6, 0), 1, True),  # a whole step apart
        ((3.0, 4.0), QFormat(3, 0), 1, False),  # both saturate
        ((4.0, 3.0), QFormat(3, 0), 0, True),
        ((0.5, 0.5), QFormat(6, 4), 0, False),  # the network ties
    ],
)
def test_ties_go_to_the_lowest_index_and_saturation_makes_ties(bias, fmt, winner, unchanged):
    network, program = handmade(bias, fmt)
    box = Box((Fraction(0),), (Fraction(1),))
    pair = decision.decision_pair(Pairs(network, program), coarse_grid(program))
    case = Unchanged(winner, FULL, FULL)
    claim = DecisionClaim(DecisionKind.ARGMAX, pair.grid, (case,), None)
    if unchanged:
        assert decision.check(Pairs(network, program), claim, (box,), Budget()) == (
            DecisionStatus.UNCHANGED,
        )
    else:
        with pytest.raises(RefusedError, match="not proven"):
            decision.check(Pairs(network, program), claim, (box,), Budget())


def test_a_tie_of_the_network_is_no_attack():
    network, program = handmade((0.5, 0.5), QFormat(6, 4))
    points = [[Fraction(k, 7)] for k in range(8)]
    assert decision.differs(network, program, points, DecisionKind.ARGMAX) == [False] * 8


def test_outputs_behind_another_activation_are_not_decided():
    weight, bias = np.ones((2, 1), dtype=np.float32), np.array([0.0, 1.0], dtype=np.float32)
    network = build_network(1, [(weight, bias), "tanh"])
    box = Box((Fraction(0),), (Fraction(1),))
    program = quantize.run(network, QuantizeRequest((box,), bits=8))
    asked = DecideRequest(DecisionKind.ARGMAX, 1.0)
    with pytest.raises(UsageError, match="last activation other than ReLU"):
        certifier.decide(network, program, (box,), asked, lambda _: None)
