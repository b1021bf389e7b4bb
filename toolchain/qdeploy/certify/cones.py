"""The cones of a region: output after output, round after round, cheap cones first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from qdeploy.certify import rounds
from qdeploy.certify.method import Reached, Standing
from qdeploy.certify.rounds import Menu, Pairs
from qdeploy.certify.tasks import Scene, Task
from qdeploy.ir import Box
from qdeploy.proof import kernel
from qdeploy.proof.certificate import ConePart, Part, SignedDual
from qdeploy.proof.cone import Dual
from qdeploy.proof.dyadic import two_to
from qdeploy.proof.kernel import Analysis

_LARGEST_CONE = 300
"""Components of chi beyond which not even the facts are laid out."""
_FORMS_PER_COMPONENT, _PRODUCTS_PER_COMPONENT = 6, 8
"""Typically, in a first round; a price has to be known before the forms are built."""
_WORTH_A_TRY = 2.0
"""A smaller cone comes first if the larger one costs more than so many times its price."""
_MOST_ROUNDS = 12
_GAINS = 1e-3
"""A round that gains less, relative to the bound, is the last one of its side."""
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
class Plan:
    """The cones that are worth a try, cheap ones first, and what their bounds need in addition."""

    variants: tuple[Variant, ...]
    outputs: tuple[int, ...]
    """Those with the largest bounds so far first."""
    reference: tuple[Fraction, ...]
    """Error per output of having the network's parameters on the proof's grid."""


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
    return Plan(tuple(found), outputs, tuple(int(r) * scale for r in known.reference))


# --- tasks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProvenSide:
    """A round's dual that the kernel accepted, the bound it found, and the next round's products."""

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
    scene: Scene, where: tuple[Box, bool], output: int, sign: int, pairs: Pairs | None
) -> ProvenSide:
    """Bound sign * deviation of one output; `pairs` None: begin."""
    offered = _menu(scene, *where)
    if offered is None:
        return ProvenSide(None, None, ())
    matrix, _, _ = kernel.side_objective(offered.cone, output, sign)
    found = rounds.play(offered, matrix, pairs or rounds.opening(offered))
    if found.dual is None:
        return ProvenSide(None, None, found.following)
    side = SignedDual(output, sign, found.dual)
    return ProvenSide(side, kernel.side_bound(offered.cone, side), found.following)


def bound_norm(scene: Scene, where: tuple[Box, bool], pairs: Pairs | None) -> ProvenNorm:
    """Bound the 2-norm of the outputs; `pairs` None: begin."""
    offered = _menu(scene, *where)
    if offered is None:
        return ProvenNorm(None, None, ())
    matrix, _ = kernel.norm_objective(offered.cone)
    found = rounds.play(offered, matrix, pairs or rounds.opening(offered))
    if found.dual is None:
        return ProvenNorm(None, None, found.following)
    part = kernel.prove_part(scene.analysis(where[0]), "sdp", ConePart(where[1], (), found.dual))
    return ProvenNorm(found.dual, part.l2, found.following)


@lru_cache(_LAYOUTS)
def _menu(scene: Scene, box: Box, slacks: bool) -> Menu | None:  # noqa: FBT001
    return rounds.menu(scene.analysis(box).cone(slacks=slacks))


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

    def task(self, box: Box, variant: Variant) -> Task:
        """Return the next round."""
        where = (box, variant.slacks)
        price = variant.price(None if self.pairs is None else len(self.pairs))
        if self.output < 0:
            return Task(bound_norm, (where, self.pairs), price)
        return Task(bound_side, (where, self.output, self.sign, self.pairs), price)

    def take(self, answer: ProvenSide | ProvenNorm) -> None:
        """Keep what is better, and decide whether another round pays."""
        before, now = self.height, _height(answer)
        self.rounds, self.pairs = self.rounds + 1, answer.following
        gained = now < before - _GAINS * abs(before) or math.isinf(before)
        self.over = not answer.following or not gained or self.rounds >= _MOST_ROUNDS
        if now < before:
            self.best = answer


def _height(answer: ProvenSide | ProvenNorm) -> float:
    bound = answer.bound if isinstance(answer, ProvenSide) else answer.l2
    return math.inf if bound is None else float(bound)


@dataclass(slots=True)
class _Turn:
    """Outputs that are bounded together under one variant, or, if there are none, their norm."""

    variant: Variant
    goals: list[_Goal] = field(default_factory=list)
    complete: bool = False
    """Whether every output has had its turn when this is done."""

    def open(self) -> list[_Goal]:
        """Return the goals that may still lower an output's bound: the larger side of each."""
        found = []
        for goal in self.goals:
            larger = max((g for g in self.goals if g.output == goal.output), key=_first_larger)
            if goal.rounds == 0 or (goal is larger and not goal.over):
                found.append(goal)
        return found


def _first_larger(goal: _Goal) -> tuple[float, int]:
    return goal.height, goal.sign


def _turns(chosen: Plan) -> list[_Turn]:
    """One output at first, then as many again as have been bounded: so cores have work."""
    found = []
    for variant in chosen.variants:
        done, outputs = 0, chosen.outputs
        while done < len(outputs):
            now = outputs[done : 2 * done or 1]
            done += len(now)
            goals = [_Goal(output, sign) for output in now for sign in (1, -1)]
            found.append(_Turn(variant, goals, done == len(outputs)))
        if len(outputs) > 1:
            found.append(_Turn(variant, [_Goal(-1, 1)], complete=True))
    return found


class Cones:
    """The cones of one region: of each variant every output in turn, then the 2-norm."""

    def __init__(self, box: Box, chosen: Plan) -> None:
        self._box = box
        self._plan = chosen
        self._left = _turns(chosen)
        self._done: list[_Turn] = []
        self._standing: Part | None = None

    def price(self) -> float | None:
        """Predict the next round."""
        return sum(task.price for task in self.tasks()) if self._left else None

    def tasks(self) -> tuple[Task, ...]:
        """Return one task a side."""
        if not self._left:
            return ()
        turn = self._left[0]
        return tuple(goal.task(self._box, turn.variant) for goal in turn.open())

    def take(self, answers: Sequence[ProvenSide | ProvenNorm]) -> None:
        """Add what was proven; a second variant replaces the first when it is complete."""
        turn = self._left[0]
        for goal, answer in zip(turn.open(), answers, strict=True):
            goal.take(answer)
        over = not turn.open()
        if over:
            self._done.append(self._left.pop(0))
        if turn.variant == self._plan.variants[0] or (turn.complete and over):
            self._standing = self._part(turn) or self._standing

    def standing(self) -> Standing | None:
        """Return the outputs bounded so far."""
        return None if self._standing is None else Reached(self._standing)

    def _part(self, now: _Turn) -> Part | None:
        """Put together what one variant has proven, both sides of an output or neither."""
        turns = [t for t in self._done if t.variant == now.variant and t is not now]
        goals = [goal for turn in (*turns, now) for goal in turn.goals]
        data = ConePart(now.variant.slacks, (), None)
        bounds: dict[int, Fraction] = {}
        l2 = None
        for output in sorted({goal.output for goal in goals}):
            best = [g.best for g in goals if g.output == output]
            if isinstance(best[0], ProvenNorm):
                l2, data = best[0].l2, replace(data, norm=best[0].dual)
            sides = [b for b in best if isinstance(b, ProvenSide)]
            if len(sides) == 2:
                duals = tuple(s.dual for s in sides if s.dual is not None)
                data = replace(data, sides=(*data.sides, *duals))
                bounds[output] = max(s.bound for s in sides if s.bound is not None)
        if not bounds and l2 is None:
            return None
        reference = enumerate(self._plan.reference)
        stated = [kernel.output_bound(bounds[o], e) if o in bounds else None for o, e in reference]
        return Part("sdp", tuple(stated), l2, data)
