"""The cones of a region: output after output, round after round, cheap cones first.

When all outputs have been bounded, ranges inside the network are: layer after layer, over cones of
the layers before. With them the outputs have another turn.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from qdeploy.certifier import rounds
from qdeploy.certifier.method import Reached, Standing
from qdeploy.certifier.rounds import Menu, Pairs
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.ir import Box
from qdeploy.proof import cone, kernel, sides
from qdeploy.proof.certificate import ConePart, InnerStage, Part, SignedDual
from qdeploy.proof.cone import Dual
from qdeploy.proof.dyadic import Interval, two_to
from qdeploy.proof.enclosure import Ranges
from qdeploy.proof.kernel import Analysis

_LARGEST_CONE = 300
"""Components of chi beyond which not even the facts are laid out."""
_FORMS_PER_COMPONENT, _PRODUCTS_PER_COMPONENT = 7, 8
"""Typically, in a first round; a price has to be known before the forms are built."""
_WORTH_A_TRY = 2.0
"""A smaller cone comes first if the larger one costs more than so many times its price."""
_MOST_ROUNDS = 12
_GAINS = 1e-3
"""A round that gains less, relative to the bound, is the last one of its side."""
_INNER_ROUNDS = 4
_INNER_PRODUCTS_PER_COMPONENT = 16
_INNER_GAINS = 0.02
"""An end of a range that moves by less, relative to the range, is not worth its proof."""
_LAYOUTS = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to set up the cone."""

    slacks: bool
    size: int

    def price(self, products: int | None = None) -> float:
        """Predict the seconds of one round; None: the first one."""
        forms = _FORMS_PER_COMPONENT * self.size
        many = _PRODUCTS_PER_COMPONENT * self.size if products is None else products
        return rounds.predicted_seconds(self.size, forms, many)


@dataclass(frozen=True, slots=True)
class InnerPlan:
    """What is to be bounded inside one layer, and how large the cones for it are."""

    layer: int
    size: int
    neurons: tuple[tuple[tuple[int, int], ...], ...]
    """Of every neuron that matters, (value, sign) as in `InnerStage`."""

    @property
    def price(self) -> float:
        """Predict the seconds of one end."""
        many = _INNER_PRODUCTS_PER_COMPONENT * self.size
        forms = _FORMS_PER_COMPONENT * self.size
        return _INNER_ROUNDS * rounds.predicted_seconds(self.size, forms, many)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cones that are worth a try, cheap ones first, and what their bounds need in addition."""

    variants: tuple[Variant, ...]
    outputs: tuple[int, ...]
    """Those with the largest bounds so far first."""
    reference: tuple[Fraction, ...]
    """Error per output of having the network's parameters on the proof's grid."""
    inner: tuple[InnerPlan, ...]
    """For the last variant."""


def plan(known: Analysis) -> Plan | None:
    """Count the variables of the cones; None where not even the smallest could be laid out."""
    sizes = [(slacks, known.cone_size(slacks=slacks)) for slacks in (False, True)]
    found = [Variant(slacks, size) for slacks, size in sizes if 1 < size <= _LARGEST_CONE]
    if len(found) > 1 and found[1].price() <= _WORTH_A_TRY * found[0].price():
        found = found[1:]
    if not found:
        return None
    reach = known.tight.layers[-1].out.e.magnitude[0].tolist()
    outputs = tuple(sorted(range(len(reach)), key=lambda output: (-reach[output], output)))
    scale = two_to(-known.pair.grid)
    reference = tuple(int(r) * scale for r in known.reference)
    inner = tuple(_inner_plans(known, slacks=found[-1].slacks))
    return Plan(tuple(found), outputs, reference, inner)


def _inner_plans(known: Analysis, *, slacks: bool) -> Iterator[InnerPlan]:
    """Choose d of neurons that are not off, and y and z of those that are neither on nor off."""
    pair, ranges = known.pair, known.tight.row(0)
    for layer in range(1, len(pair.layers) - 1):
        found, curve = ranges.layers[layer], pair.layers[layer].curve
        if curve is None:
            continue
        slopes = curve.slopes_over(_column(found.y.hull(found.z)))
        width = pair.layers[layer].width
        bent = [bool(low != high) for low, high in zip(slopes.lo[0], slopes.hi[0], strict=True)]
        flat = [
            bool(low == high == 0) for low, high in zip(slopes.lo[0], slopes.hi[0], strict=True)
        ]
        neurons = tuple(
            tuple(
                (quantity * width + i, sign)
                for quantity in ((2, 0, 1) if bent[i] else (2,))
                for sign in (1, -1)
            )
            for i in range(width)
            if not flat[i]
        )
        size = cone.count_variables(pair, ranges, slacks=slacks, depth=layer)
        if neurons and size > 1:
            yield InnerPlan(layer, size, neurons)


def _column(box: Interval) -> Interval:
    return Interval(box.lo[None], box.hi[None])


# --- tasks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a cone stands: the region, whether roundings are variables, and what was proven."""

    box: Box
    slacks: bool
    inner: tuple[InnerStage, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvenSide:
    """A dual that the kernel accepted, the bound it found, and the products of the next round."""

    dual: SignedDual | None
    bound: Fraction | None
    following: Pairs


@dataclass(frozen=True, slots=True)
class ProvenNorm:
    """The same for the 2-norm."""

    dual: Dual | None
    l2: Decimal | None
    following: Pairs


def bound_side(
    scene: Scene, setting: Setting, output: int, sign: int, pairs: Pairs | None
) -> ProvenSide:
    """Bound sign * deviation of one output; `pairs` None: begin."""
    offered = _menu(scene, setting)
    if offered is None:
        return ProvenSide(None, None, ())
    return _side(offered, output, sign, pairs)


def _side(offered: Menu, output: int, sign: int, pairs: Pairs | None) -> ProvenSide:
    matrix, _, _ = sides.side_objective(offered.cone, output, sign)
    found = rounds.play(offered, matrix, pairs or rounds.opening(offered))
    if found.dual is None:
        return ProvenSide(None, None, found.following)
    side = SignedDual(output, sign, found.dual)
    return ProvenSide(side, sides.side_bound(offered.cone, side), found.following)


def bound_norm(scene: Scene, setting: Setting, pairs: Pairs | None) -> ProvenNorm:
    """Bound the 2-norm of the outputs; `pairs` None: begin."""
    offered = _menu(scene, setting)
    if offered is None:
        return ProvenNorm(None, None, ())
    matrix, _ = kernel.norm_objective(offered.cone)
    found = rounds.play(offered, matrix, pairs or rounds.opening(offered))
    if found.dual is None:
        return ProvenNorm(None, None, found.following)
    data = ConePart(setting.slacks, (), found.dual, setting.inner)
    part = kernel.prove_part(scene.analysis(setting.box), "sdp", data)
    return ProvenNorm(found.dual, part.l2, found.following)


def bound_inner(
    scene: Scene, setting: Setting, layer: int, value: int, sign: int
) -> SignedDual | None:
    """Prove an end of a range inside; None where it does not move by much."""
    offered, ranges = _inner_menu(scene, setting, layer)
    if offered is None:
        return None
    best, pairs = ProvenSide(None, None, ()), None
    for _ in range(_INNER_ROUNDS):
        found = _side(offered, value, sign, pairs)
        if found.bound is not None and (best.bound is None or found.bound < best.bound):
            best = found
        pairs = found.following
        if not pairs:
            break
    low, high = _known_ends(ranges, layer, value)
    before = high if sign > 0 else -low
    scale = two_to(-offered.cone.grid)
    if best.bound is None or best.bound > (before - _INNER_GAINS * (high - low)) * scale:
        return None
    return best.dual


def _known_ends(ranges: Ranges, layer: int, value: int) -> tuple[int, int]:
    found = ranges.layers[layer]
    quantity, i = divmod(value, len(found.y.lo))
    box = (found.y, found.sums, found.d)[quantity]
    return int(box.lo[i]), int(box.hi[i])


@lru_cache(_LAYOUTS)
def _menu(scene: Scene, setting: Setting) -> Menu | None:
    known = scene.analysis(setting.box)
    return rounds.menu(known.cone(slacks=setting.slacks, inner=setting.inner))


@lru_cache(_LAYOUTS)
def _inner_menu(scene: Scene, setting: Setting, layer: int) -> tuple[Menu | None, Ranges]:
    known = scene.analysis(setting.box)
    ranges = known.tightened(setting.inner, slacks=setting.slacks).row(0)
    facts = cone.build_inner(known.pair, ranges, layer, slacks=setting.slacks)
    return rounds.menu(facts), ranges


# --- the pursuit -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Goal:
    """One side of an output, or the 2-norm: the best so far, and whether to go on."""

    output: int
    """-1: the norm."""
    sign: int
    best: ProvenSide | ProvenNorm | None = None
    pairs: Pairs | None = None
    rounds: int = 0
    over: bool = False

    @property
    def height(self) -> float:
        """Return the bound so far."""
        return math.inf if self.best is None else _height(self.best)

    def task(self, setting: Setting, variant: Variant) -> Task:
        """Return the next round."""
        price = variant.price(None if self.pairs is None else len(self.pairs))
        if self.output < 0:
            return Task(bound_norm, (setting, self.pairs), price)
        return Task(bound_side, (setting, self.output, self.sign, self.pairs), price)

    def take(self, answer: ProvenSide | ProvenNorm) -> None:
        """Keep what is better, and decide whether another round pays."""
        before, now = self.height, _height(answer)
        self.rounds, self.pairs = self.rounds + 1, answer.following
        gained = math.isinf(before) or now < before - _GAINS * abs(before)
        self.over = not answer.following or not gained or self.rounds >= _MOST_ROUNDS
        if now < before:
            self.best = answer


def _height(answer: ProvenSide | ProvenNorm) -> float:
    bound = answer.bound if isinstance(answer, ProvenSide) else answer.l2
    return math.inf if bound is None else float(bound)


class _Run:
    """One variant: every output in turn, then the 2-norm."""

    def __init__(self, variant: Variant, outputs: Sequence[int], setting: Setting) -> None:
        self._variant = variant
        self.setting = setting
        self._waiting = list(_batches(outputs))
        self._done: list[_Goal] = []
        self._now = self._waiting.pop(0)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._waiting and not self._open()

    def _open(self) -> list[_Goal]:
        """Return the goals that may still lower an output's bound: the larger side of each."""
        ordered = sorted(self._now, key=lambda g: (g.height, g.sign))
        larger = {goal.output: goal for goal in ordered}
        return [
            goal
            for goal in self._now
            if goal.rounds == 0 or (goal is larger[goal.output] and not goal.over)
        ]

    def tasks(self) -> tuple[Task, ...]:
        """Return the next round of every goal that is open."""
        return tuple(goal.task(self.setting, self._variant) for goal in self._open())

    def take(self, answers: Sequence[ProvenSide | ProvenNorm]) -> None:
        """Add what was proven."""
        for goal, answer in zip(self._open(), answers, strict=True):
            goal.take(answer)
        if not self._open() and self._waiting:
            self._done += self._now
            self._now = self._waiting.pop(0)

    def part(self, reference: Sequence[Fraction]) -> Part | None:
        """Put together what was proven, both sides of an output or neither."""
        data = ConePart(self.setting.slacks, (), None, self.setting.inner)
        l2, bounds = None, {}
        goals = sorted([*self._done, *self._now], key=lambda goal: (goal.output, -goal.sign))
        for output, group in itertools.groupby(goals, key=lambda goal: goal.output):
            best = [goal.best for goal in group]
            if isinstance(best[0], ProvenNorm):
                l2, data = best[0].l2, replace(data, norm=best[0].dual)
            match best:
                case [ProvenSide(up, high), ProvenSide(down, low)] if (
                    up and down and high is not None and low is not None
                ):
                    data = replace(data, sides=(*data.sides, up, down))
                    bounds[output] = max(high, low)
        if not bounds and l2 is None:
            return None
        stated = tuple(
            kernel.output_bound(bounds[o], e) if o in bounds else None
            for o, e in enumerate(reference)
        )
        return Part("sdp", stated, l2, data)


def _batches(outputs: Sequence[int]) -> Iterator[list[_Goal]]:
    """One output at first, then as many again as have been bounded: so cores have work."""
    done = 0
    while done < len(outputs):
        now = outputs[done : 2 * done or 1]
        done += len(now)
        yield [_Goal(output, sign) for output in now for sign in (1, -1)]
    if len(outputs) > 1:
        yield [_Goal(-1, 1)]


class _InnerRun:
    """Ranges inside, neuron after neuron of one layer after the other."""

    def __init__(self, plans: Sequence[InnerPlan], setting: Setting) -> None:
        self.setting = setting
        self._plans = list(plans)
        self._neurons = list(plans[0].neurons)
        self._found: list[SignedDual] = []

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._plans

    def tasks(self) -> tuple[Task, ...]:
        """Return the ends of one neuron's ranges."""
        here = self._plans[0]
        return tuple(
            Task(bound_inner, (self.setting, here.layer, value, sign), here.price)
            for value, sign in self._neurons[0]
        )

    def take(self, answers: Sequence[SignedDual | None]) -> None:
        """Add the ends that moved; a layer that is done counts for those behind it."""
        self._found += [answer for answer in answers if answer is not None]
        self._neurons.pop(0)
        if self._neurons:
            return
        layer = self._plans.pop(0).layer
        if self._found:
            ordered = sorted(self._found, key=lambda side: (side.output, -side.sign))
            stage = InnerStage(layer, tuple(ordered))
            self.setting = replace(self.setting, inner=(*self.setting.inner, stage))
        self._found = []
        if self._plans:
            self._neurons = list(self._plans[0].neurons)


class Cones:
    """The cones of one region: of each variant every output in turn, then the 2-norm."""

    def __init__(self, box: Box, chosen: Plan) -> None:
        self._plan = chosen
        self._waiting = [
            _Run(variant, chosen.outputs, Setting(box, variant.slacks))
            for variant in chosen.variants
        ]
        self._now: _Run | _InnerRun = self._waiting.pop(0)
        self._first = True
        self._standing: Part | None = None

    def price(self) -> float | None:
        """Predict the next round."""
        tasks = self.tasks()
        return sum(task.price for task in tasks) if tasks else None

    def tasks(self) -> tuple[Task, ...]:
        """Return one task a side."""
        return () if self._now.complete else self._now.tasks()

    def take(self, answers: Sequence[ProvenSide | ProvenNorm | SignedDual | None]) -> None:
        """Add what was proven; another run replaces the first when it is complete."""
        run = self._now
        if isinstance(run, _InnerRun):
            run.take([a for a in answers if not isinstance(a, ProvenSide | ProvenNorm)])
        else:
            run.take([a for a in answers if isinstance(a, ProvenSide | ProvenNorm)])
            if self._first or run.complete:
                self._standing = run.part(self._plan.reference) or self._standing
        if run.complete:
            self._go_on()

    def standing(self) -> Standing | None:
        """Return the outputs bounded so far."""
        return None if self._standing is None else Reached(self._standing)

    def _go_on(self) -> None:
        """Begin the next variant, or ranges inside, or the outputs once more with them."""
        run, last = self._now, self._plan.variants[-1]
        self._first = False
        if self._waiting:
            self._now = self._waiting.pop(0)
        elif isinstance(run, _InnerRun) and run.setting.inner:
            self._now = _Run(last, self._plan.outputs, run.setting)
        elif isinstance(run, _Run) and not run.setting.inner and self._plan.inner:
            self._now = _InnerRun(self._plan.inner, run.setting)
