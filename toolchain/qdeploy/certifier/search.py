"""The search for the best proof of every region: many regions, many cores, one budget.

With a budget of work the certificate depends on the request alone. With a time limit it depends
on the machine too, and is the best that was reached when the clock struck.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qdeploy.certifier import many
from qdeploy.certifier.clock import Deadline
from qdeploy.certifier.executors import Crew, Executor, open_executor
from qdeploy.certifier.plan import DEFAULT_WORK, CertifyRequest, Plan, make_plan
from qdeploy.certifier.region import Assignment, Budget, Pause, Reached, Search, search
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.proof.certificate import Certificate

_FIRST_ROUND = 0.25
"""Work of all regions in the first round towards a time limit; every further one doubles it."""
_MOST_ROUNDS = 40
"""Until the work is beyond a thousand years."""


Progress = Callable[[str], None]


class Interrupted(KeyboardInterrupt):
    """Somebody ended the search; what it had reached is complete and checks."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__()
        self.certificate = certificate


def _silent(message: str) -> None:
    del message


def run(
    network: Network,
    program: FixedNetwork,
    regions: Sequence[Box],
    request: CertifyRequest,
    progress: Progress = _silent,
    crew: Crew = Crew(),  # noqa: B008  frozen
) -> Certificate:
    """Find and prove bounds on |device - network| over every region.

    `progress` is told in words what has been reached.

    Raises:
        RefusedError: network and program do not belong together.
        MissingToolError: the cluster does not answer.
        Interrupted: by Ctrl-C, when every region had a claim already.
    """
    plan = make_plan(network, program, regions, request, crew.jobs)
    if plan.together:
        claims = many.together(network, program, regions)
        if claims is not None:
            source, work = network.source, _recorded(request)
            return Certificate(source.name, source.sha256, program, claims, work, cut=network.cut)
    scene = Scene(network, program)
    with open_executor(scene, replace(crew, jobs=plan.jobs)) as executor:
        hunt = _Hunt(scene, (regions, plan), request, executor, progress)
        try:
            hunt.run()
        except KeyboardInterrupt:
            if not hunt.complete:
                raise
            raise Interrupted(hunt.certificate(None)) from None
    return hunt.certificate(hunt.recorded_work)


def _recorded(request: CertifyRequest) -> float | None:
    """Return the budget with which the same is found again, unless the clock had a say."""
    timed = request.time_limit is not None
    return DEFAULT_WORK if request.work is None and not timed else request.work


class _Allowance(Budget):
    """What a region may spend: work in rounds, and time."""

    def __init__(self, deadline: Deadline, width: int) -> None:
        super().__init__(0.0)
        self._deadline = deadline
        self._width = width
        self.refused = False
        """Whether some step was not begun for want of time."""

    def leaves_room(self, seconds: float) -> bool:
        """Whether a step would end before the clock strikes."""
        suffices = self._deadline.leaves_room(seconds / self._width)
        self.refused |= not suffices
        return suffices


@dataclass(slots=True)
class _Talk:
    """A region's search, and the answers it is waiting for."""

    search: Search
    answers: list[Any]
    missing: int = 0
    over: bool = False
    reached: Reached | None = None


class _Hunt:
    """All regions' searches, and who computes for them."""

    def __init__(
        self,
        scene: Scene,
        planned: tuple[Sequence[Box], Plan],
        request: CertifyRequest,
        executor: Executor,
        progress: Progress,
    ) -> None:
        regions, plan = planned
        self._scene = scene
        self._executor = executor
        self._progress = progress
        self._deadline = Deadline(request.time_limit)
        self._budget = _Allowance(self._deadline, executor.width)
        self._timed = request.time_limit is not None
        self._work = _recorded(request)
        self._cut_short = False
        """Whether the clock, not the work, has ended the search."""
        self._talks = [
            _Talk(search(scene, Assignment(box, plan, request.seed), self._budget), [])
            for box in regions
        ]

    @property
    def complete(self) -> bool:
        """Whether every region has a claim."""
        return all(talk.reached is not None for talk in self._talks)

    @property
    def recorded_work(self) -> float | None:
        """Return the work with which the same is found again; None if the clock had a say."""
        return None if self._cut_short or self._budget.refused else self._work

    def certificate(self, work: float | None) -> Certificate:
        """Put the claims together."""
        network, program = self._scene.network, self._scene.program
        source = network.source
        claims = tuple(talk.reached.claim for talk in self._talks if talk.reached is not None)
        return Certificate(source.name, source.sha256, program, claims, work, cut=network.cut)

    def run(self) -> None:
        """Search until the work is done or the clock strikes."""
        for work in self._rounds():
            self._budget.work = work / len(self._talks)
            self._round()
            if self._cut_short:
                self._write_down()
            if self._cut_short or all(talk.over for talk in self._talks):
                return

    def _rounds(self) -> Iterator[float]:
        """Yield the work of all regions after each round.

        Without a clock one round does: regions then come and go one by one. With one, all get
        their first bounds first, and then share what time there is.
        """
        last = math.inf if self._work is None else self._work
        if self._timed:
            growing = (_FIRST_ROUND * 2.0**k for k in range(_MOST_ROUNDS))
            yield from itertools.takewhile(lambda work: work < last, (0.0, *growing))
        yield last

    def _round(self) -> None:
        """Let every search go on until it pauses or ends."""
        ready = deque(index for index, talk in enumerate(self._talks) if not talk.over)
        under_way = 0
        while ready or under_way:
            while ready and under_way < 2 * self._executor.width:
                under_way += self._advance(ready.popleft())
            if self._struck():
                self._cut_short = True
                return
            if under_way:
                under_way += self._receive()

    def _struck(self) -> bool:
        """Whether it is time to stop; a first claim is always waited for."""
        return self._deadline.over and self.complete

    def _receive(self) -> int:
        """Wait for one answer; return how many more tasks are under way after it."""
        got = self._executor.receive(self._deadline.left() if self.complete else None)
        if got is None:
            return 0
        ticket, answer = got
        talk = self._talks[ticket[0]]
        talk.answers[ticket[1]] = answer
        talk.missing -= 1
        return -1 + (0 if talk.missing else self._advance(ticket[0]))

    def _advance(self, index: int) -> int:
        """Give a search its answers and do what it says; return how many tasks it asks for."""
        talk = self._talks[index]
        answers, talk.answers = tuple(talk.answers) or None, []
        while True:
            try:
                said = talk.search.send(answers)
            except StopIteration:
                talk.over = True
                return 0
            answers = None
            match said:
                case Pause():
                    self._pause(talk)
                    return 0
                case Reached():
                    talk.reached = said
                    self._tell()
                case _:
                    return self._ask(index, said)

    def _pause(self, talk: _Talk) -> None:
        """Forget what a search knows, unless there may be another round."""
        if not self._timed:
            talk.over = True
            talk.search.close()

    def _ask(self, index: int, tasks: Sequence[Task]) -> int:
        talk = self._talks[index]
        talk.answers, talk.missing = [None] * len(tasks), len(tasks)
        for place, task in enumerate(tasks):
            self._executor.submit((index, place), task)
        return len(tasks)

    def _write_down(self) -> None:
        """Ask searches that wait for answers, which will not come, what they have reached."""
        for talk in self._talks:
            if talk.missing:
                said = talk.search.send(None)
                talk.reached = said if isinstance(said, Reached) else talk.reached

    def _tell(self) -> None:
        """Say how far the bound is, and how far from the attack."""
        claims = [talk.reached.claim for talk in self._talks if talk.reached is not None]
        if len(claims) < len(self._talks):
            self._progress(f"first bounds, region {len(claims)} of {len(self._talks)}")
            return
        bound, found = (max(c.linf for c in claims), max(c.attack.linf for c in claims))
        gap = f", {float(bound / found):.3g} times the deviation found" if found else ""
        self._progress(f"bound so far {float(bound):.4g}{gap}")
