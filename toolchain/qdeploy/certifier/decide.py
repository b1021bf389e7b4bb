"""Search for what decides: winners proven over whole regions, or inputs decided differently.

All regions go through the cheap proof together; what it leaves is attacked, and what resists is cut
into pieces, in rounds of growing effort. Regions are independent tasks, and effort is counted in
operations: equal requests give equal certificates, whoever computes them. `qdeploy.proof.decision`
alone decides what holds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.cutting import grow, sides
from qdeploy.certifier.differing import hunt
from qdeploy.certifier.executors import Crew, Executor, open_executor
from qdeploy.certifier.tasks import Scene, Task, in_pieces
from qdeploy.diagnostics import UsageError
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.ops import evaluate
from qdeploy.proof import decision
from qdeploy.proof.certificate import Attacked, DecisionClaim, DecisionKind, Unchanged
from qdeploy.proof.decision import FULL_LEAF
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import MismatchError, Pair, Pairs, coarse_grid
from qdeploy.proof.ranges import boxes_on_grid

_OPERATIONS_PER_SECOND = 1e9
_TRIES_PER_SECOND = 200_000
_MOST_TRIES = 400_000
_ATTACK_SHARE = 0.3
_ATTACKED_TOGETHER = 8
"""Regions of one task."""
_FIRST_SHARE = 0.25
"""Of what is left for cuts: the first round, which finds out who needs the rest."""
_WORTH_AGAIN = 1.5
"""Factor of effort for which a region is cut again from the start."""
_PAIRS_SHARE = 0.2
_MOST_PAIRS = 100_000
"""Bounds of pairs that a certificate is to hold."""

Point = tuple[Fraction, ...]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """What is decided, and how much to spend on it."""

    kind: DecisionKind
    seconds: float
    """Predicted seconds for attacks and cuts; equal requests give equal certificates."""


class Undecided(KeyboardInterrupt):
    """Somebody ended the search; what was known about decisions until then is complete."""

    def __init__(self, claim: DecisionClaim) -> None:
        super().__init__()
        self.claim = claim


def decide(
    network: Network,
    program: FixedNetwork,
    regions: Sequence[Box],
    request: DecideRequest,
    progress: Progress,
    crew: Crew = Crew(),  # noqa: B008  frozen
) -> DecisionClaim:
    """Find what is known about the decisions in every region.

    Raises:
        UsageError: nothing can be said about decisions of such a network.
        MissingToolError: the cluster does not answer.
        Undecided: by Ctrl-C, once the cheap proof had gone through all regions.
    """
    try:
        pair = decision.decision_pair(Pairs(network, program), coarse_grid(program))
    except MismatchError as problem:
        raise UsageError(
            f"--decision {request.kind.value}: {problem}",
            fix="leave --decision out; the bounds on the outputs do not need it",
        ) from problem
    progress(f"decisions of {len(regions)} regions")
    boxes = boxes_on_grid(regions, pair.grid)
    scene = Scene(network, program)
    with open_executor(scene, crew) as executor:
        known = _Cases(executor, regions, request, progress)
        known.begin(scene, pair, boxes)
        try:
            known.go_on()
        except KeyboardInterrupt:
            claim = DecisionClaim(request.kind, pair.grid, known.cases(), None)
            raise Undecided(claim) from None
        cases = known.cases()
    return DecisionClaim(request.kind, pair.grid, cases, _pairs(pair, boxes, request))


_Trees = tuple[bytes | None, bytes | None]
"""Of the network and of the device."""


class _Cases:
    """What becomes of every region: its winner's trees, or an input, or nothing."""

    def __init__(
        self,
        executor: Executor,
        regions: Sequence[Box],
        request: DecideRequest,
        progress: Progress,
    ) -> None:
        self._executor = executor
        self._regions = regions
        self._request = request
        self._progress = progress
        self._asked = 0
        self._spent = 0.0
        self._points: dict[int, Point] = {}
        self._trees: dict[int, _Trees] = {}
        self._winners: list[int] = []

    def begin(self, scene: Scene, pair: Pair, boxes: Interval) -> None:
        """Settle what the cheap proof settles."""
        winners = _winners(scene.network, self._regions, self._request.kind)
        self._winners = winners.tolist()
        contests = sides(pair, scene.program, self._request.kind, boxes)
        leads = [side.lead(side.roots, winners, light=False) for side in contests]
        root = bytes([FULL_LEAF])
        for i, sure in enumerate(zip(*(lead.sure.tolist() for lead in leads), strict=True)):
            self._trees[i] = (root if sure[0] else None, root if sure[1] else None)

    def go_on(self) -> None:
        """Go through all that may settle the others."""
        self._attack(self._open())
        self._cut(self._open())

    def cases(self) -> tuple[Unchanged | Attacked | None, ...]:
        """Return what is known of every region."""
        return tuple(map(self._case, range(len(self._regions)), self._winners))

    def _open(self) -> list[int]:
        return [i for i, found in self._trees.items() if None in found and i not in self._points]

    def _case(self, region: int, winner: int) -> Unchanged | Attacked | None:
        if region in self._points:
            return Attacked(self._points[region])
        network, device = self._trees[region]
        return None if network is None or device is None else Unchanged(winner, network, device)

    def _attack(self, left: Sequence[int]) -> None:
        if not left:
            return
        self._progress(f"decisions of {len(left)} regions attacked")
        kind, seconds = self._request.kind, self._request.seconds * _ATTACK_SHARE
        tries = min(int(seconds * _TRIES_PER_SECOND / len(left)), _MOST_TRIES)
        self._spent = len(left) * tries / _TRIES_PER_SECOND
        groups = [left[part] for part in in_pieces(len(left), _ATTACKED_TOGETHER)]
        tasks = [
            Task(
                _struck,
                (tuple(self._regions[i] for i in group), kind, tries),
                len(group) * tries / _TRIES_PER_SECOND,
            )
            for group in groups
        ]
        for place, points in self._answers(tasks):
            struck = zip(groups[place], points, strict=True)
            self._points |= {i: x for i, x in struck if x is not None}

    def _cut(self, left: Sequence[int]) -> None:
        """Cut regions in rounds: what one does not need is for those that are left."""
        budget = (self._request.seconds - self._spent) * _OPERATIONS_PER_SECOND
        limit = _FIRST_SHARE * budget / max(len(left), 1)
        while left:
            self._progress(f"decisions: cutting {len(left)} regions")
            tasks = [self._cutting(i, self._winners[i], limit) for i in left]
            answers: dict[int, _Cut] = {}
            for place, answer in self._answers(tasks):
                answers[place] = answer
                self._trees[left[place]] = answer.trees
                if answer.point is not None:
                    self._points[left[place]] = answer.point
            # In order: a sum of doubles must not depend on who was faster.
            budget -= sum(answers[place].spent for place in range(len(left)))
            left = [i for place, i in enumerate(left) if not answers[place].settled]
            if not left or budget / len(left) < _WORTH_AGAIN * limit:
                return
            limit = budget / len(left)

    def _cutting(self, region: int, winner: int, limit: float) -> Task:
        arguments = (self._regions[region], self._request.kind, winner, limit)
        return Task(_cut_up, (*arguments, self._trees[region]), limit / _OPERATIONS_PER_SECOND)

    def _answers(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        """Compute tasks; yield the place of each and its answer as they come."""
        self._asked += 1
        for place, task in enumerate(tasks):
            self._executor.submit((self._asked, place), task)
        missing = len(tasks)
        while missing:
            got = self._executor.receive(None)
            if got is not None:
                missing -= 1
                yield got[0][1], got[1]


def _winners(network: Network, regions: Sequence[Box], kind: DecisionKind) -> NDArray[np.int64]:
    """Return what the network decides in the middle of each region."""
    middle = np.array(
        [[float((a + b) / 2) for a, b in zip(r.lo, r.hi, strict=True)] for r in regions]
    )
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.nan_to_num(evaluate(network, middle))
    return np.asarray((values if kind is DecisionKind.ARGMAX else -values).argmax(axis=1))


def _struck(
    scene: Scene, regions: Sequence[Box], kind: DecisionKind, tries: int
) -> list[Point | None]:
    """Return for every region an input that is decided differently, exactly, or None."""
    points = hunt(scene.network, scene.program, regions, kind, tries)
    where = [i for i, x in enumerate(points) if x is not None]
    candidates = [points[i] or () for i in where]
    right = decision.differs(scene.network, scene.program, candidates, kind)
    confirmed = {i for i, true in zip(where, right, strict=True) if true}
    return [x if i in confirmed else None for i, x in enumerate(points)]


@dataclass(frozen=True, slots=True)
class _Cut:
    """What cutting a region came to."""

    trees: _Trees
    spent: float
    settled: bool
    """Whether more effort would change nothing."""
    point: Point | None = None
    """An input that is decided differently, met on the way."""


def _cut_up(
    scene: Scene, region: Box, kind: DecisionKind, winner: int, limit: float, trees: _Trees
) -> _Cut:
    """Cut a region for whichever function its winner is not proven yet."""
    pair = scene.pair(coarse_grid(scene.program))
    found, spent = list(trees), 0.0
    for place, side in enumerate(
        sides(pair, scene.program, kind, boxes_on_grid((region,), pair.grid))
    ):
        if found[place] is not None:
            continue
        growth = grow(side, winner, limit - spent)
        found[place], spent = growth.tree, spent + growth.spent
        if growth.lost is not None:
            point = _decided_differently(scene, region, kind, side.inputs(growth.lost))
            return _Cut(trees, spent, settled=True, point=point)
        if growth.tree is None:
            break
    return _Cut((found[0], found[1]), spent, settled=None not in found)


def _decided_differently(
    scene: Scene, region: Box, kind: DecisionKind, points: Sequence[Point]
) -> Point | None:
    """Return an input, near those of a piece that cannot be won, that is decided differently."""
    inside = [
        tuple(min(max(v, lo), hi) for v, lo, hi in zip(x, region.lo, region.hi, strict=True))
        for x in points
    ]
    right = decision.differs(scene.network, scene.program, inside, kind)
    return next((x for x, true in zip(inside, right, strict=True) if true), None)


def _pairs(
    pair: Pair, boxes: Interval, request: DecideRequest
) -> tuple[tuple[Decimal, ...], ...] | None:
    outputs = pair.layers[-1].width
    if len(boxes.lo) * outputs * (outputs - 1) // 2 > _MOST_PAIRS:
        return None
    limit = int(max(request.seconds, 1.0) * _PAIRS_SHARE * _OPERATIONS_PER_SECOND)
    if not decision.affordable_pairs(pair, len(boxes.lo), limit):
        return None
    return tuple(decision.pair_bounds(pair, boxes))
