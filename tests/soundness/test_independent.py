"""The kernel against a second check that shares no code with it (`support.independent`).

Matrices: exact elimination and the characteristic polynomial against the kernel's factor. Facts:
evaluated at exact points, where none may be negative. Trees: read, cut and enumerated again. What
is damaged on purpose must be seen.
"""

import base64
import dataclasses
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize, reduce
from qdeploy.certifier import CertifyRequest
from qdeploy.certifier.semidefinite import Facts, repair
from qdeploy.certifier.solvers import Candidate
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import Certificate, cone, kernel, sides, tree, tuned
from qdeploy.proof.certificate import SplitPart, TunedPart
from qdeploy.proof.cone import Complement, Cone, DualError, Forms
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.enclosure import Signal
from qdeploy.proof.pair import align
from qdeploy.proof.ranges import boxes_on_grid
from qdeploy.reduce import Amount, PruneRequest
from support import independent
from support.independent import Device, Dual, Step
from support.networks import build_network, paper_network

UNIT = Box((Fraction(-1),), (Fraction(1),))
POINTS = 60
RANDOM = 3


@dataclass(frozen=True)
class Case:
    """A network, its box, and the text of a certificate."""

    network: Network
    box: Box
    text: bytes

    def known(self) -> kernel.Analysis:
        program = proof.read(self.text).certificate.program
        return kernel.analysis(self.network, program, self.box)

    def points(self, count: int = POINTS) -> list[list[Fraction]]:
        """Corners of the box and random dyadic points of it."""
        draw = random.Random(0)
        corners = [list(c) for c in itertools.product(*zip(self.box.lo, self.box.hi, strict=True))]
        inside = [
            [
                lo + (hi - lo) * Fraction(draw.getrandbits(30), 1 << 30)
                for lo, hi in zip(self.box.lo, self.box.hi, strict=True)
            ]
            for _ in range(count)
        ]
        return corners + inside


def dense(seed: int, *widths: int) -> Network:
    rng = np.random.default_rng((seed, 31))
    steps: list[object] = []
    for n_in, n_out in itertools.pairwise(widths):
        weight = rng.normal(size=(n_out, n_in)).astype(np.float32)
        steps += [(weight, rng.normal(size=n_out).astype(np.float32)), "relu"]
    return build_network(widths[0], steps[:-1])


SETTINGS: dict[str, tuple[Callable[[], Network], Rounding]] = {
    "one input, trunc": (lambda: paper_network(3, 1), Rounding.TRUNC),
    "two outputs, nearest": (lambda: dense(1, 2, 5, 2), Rounding.NEAREST),
    "two layers, floor": (lambda: dense(2, 2, 3, 3, 1), Rounding.FLOOR),
}


@cache
def case(name: str) -> Case:
    make, rounding = SETTINGS[name]
    network = make()
    size = network.inputs[0].size
    box = Box((Fraction(-1),) * size, (Fraction(1),) * size)
    # The input saturates: 1 has no code of its own.
    request = QuantizeRequest((box,), bits=8, rounding=rounding, input_format=QFormat(1, 5))
    program = quantize.run(network, request)
    spend = CertifyRequest(work=4.0, attack_budget=500, methods=frozenset({"sdp"}))
    certificate = certifier.run(network, program, (box,), spend)
    return Case(network, box, proof.write(proof.attest(certificate)))


# --- matrices --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A cone, a matrix to bound over it, and the numbers that claim to do so."""

    cone: Cone
    objective: np.ndarray
    dual: Dual

    def kernel_accepts(self) -> bool:
        dual = cone.Dual(
            self.dual.t,
            self.dual.tau,
            tuple((i, j, m) for (i, j), m in self.dual.products.items()),
            tuple(self.dual.complements.items()),
            tuple(map(tuple, self.dual.factor)),
        )
        try:
            cone.dual_bound(self.cone, self.objective, dual)
        except DualError:
            return False
        return True

    def holds(self) -> bool:
        matrix = independent.slack(self.cone, self.objective, self.dual)
        found = independent.is_semidefinite(matrix)
        assert found == independent.has_no_negative_root(matrix)
        return found


@cache
def problems(name: str) -> list[Problem]:
    """What the certificate proves, read by other code."""
    here = case(name)
    data = independent.part(here.text, "sdp")["data"]
    facts = here.known().cone(slacks=data["slacks"])
    found = [
        Problem(facts, sides.side_objective(facts, s["output"], s["sign"])[0], Dual.of(s["dual"]))
        for s in data["sides"]
    ]
    if data["norm"] is not None:
        found.append(Problem(facts, kernel.norm_objective(facts)[0], Dual.of(data["norm"])))
    return found


@cache
def random_problem(seed: int) -> Problem:
    """Random multipliers, made to prove something by a large tau; the last is the paper's."""
    known, rng = case("two outputs, nearest").known(), np.random.default_rng(seed)
    facts = known.paper_cone if seed == RANDOM - 1 else known.cone(slacks=bool(seed % 2))
    pairs = tuple(itertools.combinations(range(len(facts.forms)), 2))[:: seed + 1]
    count = len(pairs) + len(facts.complements)
    offered = Facts(facts, pairs, np.empty((0, count)), np.ones(count))
    objective = sides.side_objective(facts, seed % 2, 1)[0]
    dual = repair(offered, objective, Candidate("", 1.0, rng.exponential(0.1, size=count), 0))
    assert dual is not None
    products = {(i, j): m for i, j, m in dual.products}
    factor = [list(row) for row in dual.factor]
    return Problem(
        facts, objective, Dual(dual.t, dual.tau, products, dict(dual.complements), factor)
    )


def all_problems() -> list[Problem]:
    found = [problem for name in SETTINGS for problem in problems(name)]
    return found + [random_problem(seed) for seed in range(RANDOM)]


def test_what_the_kernel_accepts_is_semidefinite_by_elimination() -> None:
    checked = all_problems()
    for problem in checked:
        assert problem.kernel_accepts()
        assert problem.holds()
    assert len(checked) > len(SETTINGS)


def largest(multipliers: dict) -> object:
    return max(multipliers, key=lambda k: multipliers[k])


def without_tau(dual: Dual) -> Dual:
    return dataclasses.replace(dual, tau=0)


def with_less(dual: Dual) -> Dual:
    """As if the bound were smaller."""
    return dataclasses.replace(dual, t=dual.t - (abs(dual.t) >> 2) - (1 << 34))


def with_a_multiplier_doubled(dual: Dual) -> Dual:
    key = largest(dual.products)
    return dataclasses.replace(dual, products=dual.products | {key: 2 * dual.products[key]})


def with_another_form(dual: Dual) -> Dual:
    i, j = key = largest(dual.products)
    products = dict(dual.products)
    multiplier = products.pop(key)
    return dataclasses.replace(
        dual, products=products | {(i + 1 if i != j - 1 else 0, j): multiplier}
    )


def without_complements(dual: Dual) -> Dual:
    return dataclasses.replace(dual, complements={})


def with_a_small_change(dual: Dual) -> Dual:
    """Too small to matter, which both have to find."""
    return dataclasses.replace(dual, t=dual.t + 1)


HARMFUL = (without_tau, with_less, with_a_multiplier_doubled, with_another_form)
CHANGES = (*HARMFUL, without_complements, with_a_small_change)


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_the_kernel_accepts_nothing_that_elimination_refutes(change) -> None:
    verdicts = []
    for problem in all_problems():
        changed = dataclasses.replace(problem, dual=change(problem.dual))
        verdicts.append((changed.kernel_accepts(), changed.holds()))
    assert (True, False) not in verdicts
    if change in HARMFUL:
        assert (False, False) in verdicts
    if change is with_a_small_change:
        assert set(verdicts) == {(True, True)}


def test_a_kernel_that_looks_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails for a kernel that takes any rest for diagonally dominant."""
    monkeypatch.setattr(cone, "check_factor", lambda *_: None)
    changed = [
        dataclasses.replace(problem, dual=with_less(problem.dual)) for problem in all_problems()
    ]
    assert any(c.kernel_accepts() and not c.holds() for c in changed)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0]], True),
        ([[-1]], False),
        ([[0, 1], [1, 5]], False),
        ([[1, 2], [2, 4]], True),
        ([[1, 2], [2, 3]], False),
        ([[0, 0, 0], [0, 2, -1], [0, -1, 1]], True),
        ([[2, -1, 0], [-1, 2, -2], [0, -2, 1]], False),
    ],
)
def test_both_exact_decisions_know_small_matrices(rows: list[list[int]], expected: bool) -> None:
    matrix = independent.flint.fmpz_mat(rows)
    assert independent.is_semidefinite(matrix) == expected
    assert independent.has_no_negative_root(matrix) == expected


# --- facts -----------------------------------------------------------------------------------


class _Components:
    """The components of chi at one point, in the order and scale of docs/CERTIFICATES.md."""

    def __init__(self, grid: int) -> None:
        self.grid = grid
        self.values = [Fraction(1)]

    def add(self, value: Fraction, low: int, high: int) -> None:
        """A value that is known to lie in [low, high], on the grid."""
        raw = value * (1 << self.grid)
        assert low <= raw <= high
        if low < high:
            middle = (low + high) >> 1
            radius = max(high - middle, middle - low)
            self.values.append((raw - middle) / (1 << radius.bit_length()))
            assert abs(self.values[-1]) <= 1


def components(
    known: kernel.Analysis,
    slacks: bool,
    first: list[Fraction],
    x: list[Fraction],
    steps: list[Step],
) -> list[Fraction]:
    """Return chi at one input; on the way every enclosure is looked at."""
    ranges, chi = known.tight.row(0), _Components(known.pair.grid)

    def each(values: list[Fraction], box: Interval) -> None:
        for value, low, high in zip(values, box.lo, box.hi, strict=True):
            chi.add(value, int(low), int(high))

    each(x, ranges.input.a)
    errors = [b - a for b, a in zip(first, x, strict=True)]
    each(errors, ranges.input.e)
    if known.pair.input_rounding is Rounding.TRUNC:
        _sides(chi, (x, errors), ranges.input)
    for index, (step, found) in enumerate(zip(steps, ranges.layers, strict=True)):
        phi = [max(v, Fraction(0)) if step.relu else v for v in step.z]
        errors = [b - v for b, v in zip(step.b, phi, strict=True)]
        if slacks and index < len(steps) - 1:
            each(errors, found.r)
        if step.relu:
            for i, (y, z) in enumerate(zip(step.y, step.z, strict=True)):
                _neuron(
                    chi, (y, z), [(int(b.lo[i]), int(b.hi[i])) for b in (found.y, found.z, found.d)]
                )
    return chi.values


def _sides(chi: _Components, values: tuple[list[Fraction], list[Fraction]], box: Signal) -> None:
    """The parts above zero of truncated inputs, and what is cut off from them."""
    for i, (value, error) in enumerate(zip(*values, strict=True)):
        chi.add(max(value, Fraction(0)), 0, int(box.a.hi[i]))
        chi.add(max(-error, Fraction(0)), 0, -int(box.e.lo[i]))


def _neuron(
    chi: _Components, values: tuple[Fraction, Fraction], ends: list[tuple[int, int]]
) -> None:
    zero = Fraction(0)
    (y, z), (y_ends, z_ends, d_ends) = values, ends
    if y_ends[0] < 0 < y_ends[1]:
        chi.add(max(y, zero), 0, y_ends[1])
    if z_ends[0] < 0 < z_ends[1]:
        low = max(min(d_ends[0], 0), max(z_ends[0], 0) - max(y_ends[1], 0))
        high = min(max(d_ends[1], 0), max(z_ends[1], 0) - max(y_ends[0], 0))
        chi.add(max(z, zero) - max(y, zero), low, high)


def contradictions(here: Case, slacks: bool) -> set[str]:
    """Return which kinds of facts some exact point contradicts."""
    known = here.known()
    facts = known.cone(slacks=slacks)
    layers = independent.network_layers(here.network)
    device = Device.of(independent.predicate(here.text)["program"])
    unit = Fraction(1, 1 << facts.grid)
    found = set()
    for x in here.points():
        first, steps = independent.run(layers, device, x)
        chi = components(known, slacks, first, x, steps)
        assert len(chi) == facts.size

        def at(row: np.ndarray, chi: list[Fraction] = chi) -> Fraction:
            return sum((int(c) * v for c, v in zip(row, chi, strict=True)), Fraction(0)) * unit

        negative = [at(row) < 0 for row in facts.forms]
        found |= {tag[0] for tag, wrong in zip(facts.tags, negative, strict=True) if wrong}
        for fact in facts.complements:
            if at(fact.phi) * at(fact.psi) + fact.slack * unit**2 < 0:
                found.add("complement")
        apart = [b - a for b, a in zip(steps[-1].b, steps[-1].a, strict=True)]
        for k, deviation in enumerate(apart):
            rest = deviation - at(facts.objective.rows[k])
            if not int(facts.objective.lo[k]) <= rest / unit <= int(facts.objective.hi[k]):
                found.add("objective")
    return found


@pytest.mark.parametrize("slacks", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_no_exact_point_contradicts_a_fact(name: str, slacks: bool) -> None:
    assert contradictions(case(name), slacks) == set()


def flipped_hull(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone.fan
    monkeypatch.setattr(cone, "fan", lambda *a: tuple(reversed(true(*a))))


def halved_upper_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone._Builder.at_most
    monkeypatch.setattr(cone._Builder, "at_most", lambda s, v, b, tag: true(s, v, b // 2, tag))


def turned_complements(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone.complement

    def turned(*args):
        fact = true(*args)
        return Complement(fact.phi, -fact.psi, fact.slack)

    monkeypatch.setattr(cone, "complement", turned)


def no_deviation_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone.affine

    def same_weights(layer, a, e, grid):
        return true(dataclasses.replace(layer, v=layer.w, v_bias=layer.c), a, e, grid)

    monkeypatch.setattr(cone, "affine", same_weights)


def no_residuals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cone._Builder,
        "constants",
        lambda self, box: Forms(
            *(cone.integers(s) for s in ((len(box.lo), self.size), *[len(box.lo)] * 2))
        ),
    )


def opposite_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone._record_truncation
    monkeypatch.setattr(
        cone,
        "_record_truncation",
        lambda b, a, e, box: true(b, a, Forms(-e.rows, -e.hi, -e.lo), box),
    )


def sides_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone._record_sides

    def changed(builder, values, box, i):
        x, e = values
        true(builder, (x, Forms(-e.rows, -e.hi, -e.lo)), box, i)

    monkeypatch.setattr(cone, "_record_sides", changed)


def narrow_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cone._record_ranges

    def narrow(builder, found, values, layer):
        half = Interval(found.d.lo // 4, found.d.hi // 4)
        true(builder, dataclasses.replace(found, d=half), values, layer)

    monkeypatch.setattr(cone, "_record_ranges", narrow)


WRONG = (
    flipped_hull,
    halved_upper_bounds,
    turned_complements,
    no_deviation_of_weights,
    no_residuals,
    opposite_input_error,
    sides_changed,
)


@pytest.mark.parametrize("damage", [*WRONG, narrow_ranges], ids=lambda f: f.__name__)
def test_a_wrong_fact_is_contradicted(damage, monkeypatch: pytest.MonkeyPatch) -> None:
    here = case("two layers, floor" if damage is narrow_ranges else "one input, trunc")
    assert contradictions(here, slacks=False) == set()
    damage(monkeypatch)
    assert contradictions(here, slacks=False) != set()


# --- leaves ----------------------------------------------------------------------------------


TREE = bytes([0, 0, 0, tree.LINEAR_LEAF, tree.EXACT_LEAF, 0, tree.LINEAR_LEAF])
TREE += bytes([tree.EXACT_LEAF, tree.LINEAR_LEAF])


@cache
def split_case(hidden: int, rounding: Rounding) -> Case:
    network, box = paper_network(4, hidden), UNIT
    request = QuantizeRequest((box,), bits=8, rounding=rounding, input_format=QFormat(1, 5))
    program = quantize.run(network, request)
    known = kernel.analysis(network, program, box)
    parts = [
        kernel.prove_part(known, "interval", None),
        kernel.prove_part(known, "split", SplitPart(28, TREE)),
    ]
    claim = kernel.combine(box, parts, kernel.witness(network, program, box.lo))
    certificate = Certificate("paper.onnx", network.source.sha256, program, (claim,))
    return Case(network, box, proof.write(proof.attest(certificate)))


def too_low(bounds: list[list[Fraction]], worst: list[list[Fraction]]) -> bool:
    pairs = [zip(b, w, strict=True) for b, w in zip(bounds, worst, strict=True)]
    return any(w > b for row in pairs for b, w in row)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("hidden", [1, 2])
def test_every_leaf_of_a_tree_holds_by_enumeration(hidden: int, rounding: Rounding) -> None:
    here = split_case(hidden, rounding)
    bounds, worst = leaf_by_leaf(here)
    assert not too_low(bounds, worst)
    (stated,) = independent.part(here.text, "split")["per_output"]
    assert max(w for (w,) in worst) <= Fraction(Decimal(stated))
    (found,) = independent.worst(
        independent.network_layers(here.network),
        Device.of(independent.predicate(here.text)["program"]),
        *here.box.lo,
        *here.box.hi,
    )
    assert found == max(w for (w,) in worst)


def leaf_by_leaf(here: Case):
    """Return the kernel's bound and the exact worst case of every leaf, by our own leaves."""
    data = independent.part(here.text, "split")["data"]
    cut = base64.b64decode(data["tree"])
    ours = independent.leaves(cut, list(here.box.lo), list(here.box.hi))
    program = proof.read(here.text).certificate.program
    pair = align(here.network, program, data["grid"])
    leaves = tree.expand(cut, boxes_on_grid([here.box], pair.grid))
    scale = Fraction(1, 1 << pair.grid)
    boxes = [
        ([int(v) * scale for v in lo], [int(v) * scale for v in hi], 255 if exact else 254)
        for lo, hi, exact in zip(leaves.boxes.lo, leaves.boxes.hi, leaves.exact, strict=True)
    ]
    assert boxes == ours
    bounds = [[int(b) * scale for b in row] for row in tree.leaf_bounds(pair, program, leaves)]
    layers = independent.network_layers(here.network)
    device = Device.of(independent.predicate(here.text)["program"])
    worst = [independent.worst(layers, device, lo[0], hi[0]) for lo, hi, _ in ours]
    return bounds, worst


# --- tuned slopes, and programs with fewer neurons -------------------------------------------


def searched(network: Network, program: FixedNetwork, *methods: str, places=None) -> Case:
    beside = proof.side_by_side(network, program, places)
    spend = CertifyRequest(work=3.0, attack_budget=500, methods=frozenset(methods))
    found = certifier.run(*beside, (UNIT,), spend)
    written = dataclasses.replace(found, program=program, places=places)
    return Case(network, UNIT, proof.write(proof.attest(written)))


def small_program(network: Network, rounding: Rounding) -> FixedNetwork:
    request = QuantizeRequest((UNIT,), bits=10, rounding=rounding, input_format=QFormat(2, 5))
    return quantize.run(network, request)


@pytest.mark.parametrize("rounding", Rounding)
def test_slopes_never_go_below_what_enumeration_of_their_leaves_finds(rounding: Rounding) -> None:
    network = paper_network(7, 2)
    here = searched(network, small_program(network, rounding), "tuned")
    part = independent.part(here.text, "tuned")
    cut = base64.b64decode(part["data"]["tree"])
    ours = independent.leaves(cut, list(here.box.lo), list(here.box.hi))
    assert len(ours) == len(part["data"]["slopes"]) > 1
    bounds = bounds_of_slopes(here)
    layers = independent.network_layers(network)
    device = Device.of(independent.predicate(here.text)["program"])
    worst = [independent.worst(layers, device, lo[0], hi[0]) for lo, hi, _ in ours]
    assert not too_low(bounds, worst)
    assert max(w for (w,) in worst) <= Fraction(Decimal(part["per_output"][0]))
    assert max(b for (b,) in bounds) <= Fraction(Decimal(part["per_output"][0]))


def bounds_of_slopes(here: Case) -> list[list[Fraction]]:
    """Return the kernel's bound of every leaf."""
    certificate = proof.read(here.text).certificate
    (data,) = (p.data for p in certificate.regions[0].parts if isinstance(p.data, TunedPart))
    pair = align(here.network, certificate.program, data.grid)
    leaves = tree.expand(data.tree, boxes_on_grid([here.box], pair.grid))
    found = tuned.leaf_bounds(pair, leaves, data.leaves)
    return [[Fraction(int(b), 1 << pair.grid) for b in row] for row in found]


@pytest.mark.parametrize("seed", range(3))
def test_a_program_without_some_neurons_holds_by_enumeration(seed: int) -> None:
    network = paper_network(seed, 2)
    asked = PruneRequest("neurons", Amount(Fraction(6), is_share=False), (UNIT,))
    reduction = reduce.run(network, asked)
    program = small_program(reduction.network, Rounding.TRUNC)
    here = searched(network, program, "split", places=reduction.kept)
    layers = independent.network_layers(network)
    device = Device.of(independent.predicate(here.text)["program"])
    assert sum(len(row.bias) for row, _ in device.layers) < sum(len(r.bias) for r in layers)
    (found,) = independent.worst(layers, device, *here.box.lo, *here.box.hi)
    (stated,) = proof.check(network, proof.read(here.text).certificate)
    assert found <= Fraction(stated.linf) <= 2 * found


def test_leaves_that_leave_a_gap_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    here = split_case(1, Rounding.TRUNC)
    true = tree.halves

    def gap(boxes, axes):
        found = true(boxes, axes)
        return Interval(found.lo, np.maximum(found.hi - 1, found.lo))

    monkeypatch.setattr(tree, "halves", gap)
    with pytest.raises(AssertionError):
        leaf_by_leaf(here)


def test_a_leaf_bounded_at_its_middle_alone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    here = split_case(1, Rounding.TRUNC)
    true = tree.analyse

    def middle(pair, boxes, **options):
        centre = (boxes.lo + boxes.hi) >> 1
        return true(pair, Interval(centre, centre), **options)

    monkeypatch.setattr(tree, "analyse", middle)
    bounds, worst = leaf_by_leaf(here)
    assert too_low(bounds, worst)
