"""The search over one region: which method takes the next step, and the best parts so far.

A search is a generator. It yields the tasks it wants computed, or the claim it has reached, or a
`Pause` where its budget ends; it is sent the tasks' answers, or None if there will be none. Which
step comes next follows from the region and the answers alone: it is that of the method that will
have spent least, where work counts more that has gained nothing yet. So no method takes much more
than half of the work in vain, every larger budget only adds steps, and the best of all steps so
far never gets worse.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.attack import Sampled, attack
from qdeploy.certifier.method import Pursuit, Question, Standing
from qdeploy.certifier.methods import ON_REQUEST, known_methods
from qdeploy.certifier.plan import Plan
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.ir import Box
from qdeploy.proof import kernel
from qdeploy.proof.certificate import Part, RegionClaim, Witness

_TIGHT = 1.01
"""A bound so close to the attack that no method could gain much."""
_PATIENCE = 2.0
"""How much more the work of a method counts without which the bound would be the same."""
_SECONDS_PER_OUTPUT = 2e-5
"""Of writing a claim down, and of looking at all outputs again after a step."""
_WRITE_EVERY = 1.3
"""Factor of work after which the claim is written down again, for whoever interrupts."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The next step is beyond the budget."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The best claim so far, and the work it took."""

    claim: RegionClaim
    work: float


Search = Generator["tuple[Task, ...] | Reached | Pause", "tuple[Any, ...] | None", None]


class Budget:
    """How much work a region may take; it may be raised while the search pauses."""

    def __init__(self, work: float) -> None:
        self.work = work

    def leaves_room(self, seconds: float) -> bool:
        """Whether a step may be begun that takes so much real time; the clock knows."""
        del seconds
        return True


@dataclass(frozen=True, slots=True)
class Assignment:
    """A region, and how it is to be searched."""

    box: Box
    plan: Plan
    seed: int


def survey(scene: Scene, box: Box, methods: frozenset[str]) -> dict[str, object]:
    """Let methods look at a region; those that are of no use there are missing."""
    known = scene.analysis(box)
    looks = {
        name: method.survey(known) for name, method in known_methods().items() if name in methods
    }
    return {name: look for name, look in looks.items() if look is not None}


def strike(scene: Scene, box: Box, tries: int, seed: int) -> tuple[Sampled, Witness]:
    """Look for the largest deviation, and evaluate it exactly."""
    found = attack(scene.network, scene.program, box, budget=tries, seed=seed)
    return found, kernel.witness(scene.network, scene.program, found.x)


def search(scene: Scene, wanted: Assignment, budget: Budget) -> Search:
    """Bound one region as tightly as the budget allows."""
    surveys, (found, witness) = yield _opening(wanted)  # type: ignore[misc]
    question = Question(scene, wanted.box, found)
    course = _Course(question, _pursuits(question, surveys), witness)
    yield course.reached()
    written = 0.0
    while (name := course.next(budget)) is not None:
        while not course.affords(name, budget):
            yield course.reached()
            yield Pause()
        answers = yield course.pursuits[name].tasks()
        if answers is None:
            break
        course.take(name, answers)
        if course.work > _WRITE_EVERY * written:
            written = course.work
            yield course.reached()
    yield course.reached()


def _opening(wanted: Assignment) -> tuple[Task, ...]:
    plan = wanted.plan
    return (
        Task(survey, (wanted.box, plan.methods), plan.opening),
        Task(strike, (wanted.box, plan.tries, wanted.seed), plan.attack),
    )


def _pursuits(question: Question, surveys: Mapping[str, object]) -> dict[str, Pursuit]:
    begun = ((name, known_methods()[name].pursue(question, look)) for name, look in surveys.items())
    return {name: pursuit for name, pursuit in begun if pursuit is not None}


class _Course:
    """The pursuits of one region, what each has spent, and the best they reached together."""

    def __init__(self, question: Question, pursuits: dict[str, Pursuit], witness: Witness) -> None:
        self.pursuits = pursuits
        self._box = question.box
        self._writing = _SECONDS_PER_OUTPUT * len(question.found.per_output)
        self._witness = witness
        self._spent = dict.fromkeys(pursuits, 0.0)
        self._best: dict[str, Standing] = {}
        self._bound = np.inf
        self._useful: set[str] = set()
        self._look()

    @property
    def work(self) -> float:
        """Predicted seconds of all steps so far."""
        return sum(self._spent.values())

    def next(self, budget: Budget) -> str | None:
        """Return the method that will have spent least after its next step, as far as it is useful.

        None when every method has come to its end, or the attack shows that none could gain much.
        """
        if self._bound <= _TIGHT * float(self._witness.linf):
            return None
        prices = {name: pursuit.price() for name, pursuit in self.pursuits.items()}
        due = {
            name: (self._spent[name] + price) * (1.0 if name in self._useful else _PATIENCE)
            for name, price in prices.items()
            if price is not None
        }
        ordered = sorted(due, key=lambda name: due[name])
        return next((name for name in ordered if budget.leaves_room(prices[name] or 0.0)), None)

    def affords(self, name: str, budget: Budget) -> bool:
        """Whether a method's next step is within the budget, and writing down what it finds."""
        return self.work + (self.pursuits[name].price() or 0.0) + self._writing <= budget.work

    def take(self, name: str, answers: Sequence[Any]) -> None:
        """Let a method go on."""
        self._spent[name] += self.pursuits[name].price() or 0.0
        self.pursuits[name].take(answers)
        self._look()

    def reached(self) -> Reached:
        """Write down the best claim so far."""
        parts = [standing.part() for standing in self._best.values()]
        return Reached(_claim(self._box, parts, self._witness), self.work)

    def _look(self) -> None:
        """Keep what all methods have reached, unless it was better before."""
        now = {name: pursuit.standing() for name, pursuit in self.pursuits.items()}
        standings = {name: standing for name, standing in now.items() if standing is not None}
        bound = _worst([standing.bounds for standing in standings.values()])
        if bound <= self._bound:
            self._bound, self._best = bound, standings
        self._useful = {
            name
            for name in standings
            if bound < _worst([s.bounds for other, s in standings.items() if other != name])
        }


def _worst(bounds: Sequence[NDArray[np.float64]]) -> float:
    """Return the largest bound of an output, each bounded by the best of all methods."""
    return float(np.min(bounds, axis=0).max())


def _claim(box: Box, parts: list[Part], witness: Witness) -> RegionClaim:
    """State what the parts prove, without the data of those that add nothing.

    A method that somebody had to name stays: it was named to be looked at.
    """
    claim = kernel.combine(box, parts, witness)
    for part in [part for part in parts if part.data is not None]:
        if part.method.replace("-", "_") in ON_REQUEST:
            continue
        rest = [other for other in claim.parts if other is not part]
        without = kernel.combine(box, rest, witness)
        if (without.per_output, without.l2) == (claim.per_output, claim.l2):
            claim = without
    return claim
