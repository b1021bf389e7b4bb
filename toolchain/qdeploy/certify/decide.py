"""Search for what decides: winners proven over whole regions, or inputs decided differently.

All regions go through the cheap proof together; what it leaves is attacked, and what resists is cut
into pieces, nearest to success first. Effort is counted in operations, so that equal requests
give equal certificates; `qdeploy.proof.decision` alone decides what holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.certify.differing import hunt
from qdeploy.diagnostics import UsageError
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.ops import evaluate
from qdeploy.proof import chain, decision
from qdeploy.proof.certificate import Attacked, DecisionClaim, DecisionKind, Unchanged
from qdeploy.proof.decision import FULL_LEAF, LIGHT_LEAF, Contest
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import MismatchError, Pair, coarse_grid
from qdeploy.proof.ranges import boxes_on_grid
from qdeploy.proof.tree import LARGEST_AXIS, halves

_OPERATIONS_PER_SECOND = 1e9
_TRIES_PER_SECOND = 200_000
_MOST_TRIES = 400_000
_ATTACK_SHARE = 0.3
_FEW = 64
"""Pieces that are few enough for lines through every layer."""
_PAIRS_SHARE = 0.2
_MOST_PAIRS = 100_000
"""Bounds of pairs that a certificate is to hold."""
_ROUND = 512
"""Pieces of one region that are looked at together."""


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """What is decided, and how much to spend on it."""

    kind: DecisionKind
    seconds: float
    """Predicted seconds for attacks and cuts; equal requests give equal certificates."""


@dataclass(frozen=True, slots=True)
class _Side:
    """The network or the device: its contest, its boxes to cut, and how to read them."""

    contest: Contest
    roots: Interval
    values: Callable[[Interval], Interval]
    least: int
    """Width, in units of the grid or codes, that is not cut any further."""

    def lead(self, boxes: Interval, winners: NDArray[np.int64], *, light: bool) -> decision.Lead:
        """Bound the lead of the winners over boxes, batch by batch."""
        size, parts = self.contest.batch, []
        for start in range(0, len(boxes.lo), size):
            part = Interval(boxes.lo[start : start + size], boxes.hi[start : start + size])
            chosen = winners[start : start + size]
            parts.append(decision.leads(self.contest, self.values(part), chosen, light=light))
        least, sure = zip(*((p.least, p.sure) for p in parts), strict=True)
        return decision.Lead(np.concatenate(least), np.concatenate(sure))


def decide(
    network: Network,
    program: FixedNetwork,
    regions: Sequence[Box],
    request: DecideRequest,
    progress: Callable[[str], None],
) -> DecisionClaim:
    """Find what is known about the decisions in every region.

    Raises:
        UsageError: nothing can be said about decisions of such a network.
    """
    try:
        pair = decision.decision_pair(network, program, coarse_grid(program))
    except MismatchError as problem:
        raise UsageError(
            f"--decision {request.kind.value}: {problem}",
            fix="leave --decision out; the bounds on the outputs do not need it",
        ) from problem
    progress(f"decisions of {len(regions)} regions")
    boxes = boxes_on_grid(regions, pair.grid)
    winners = _winners(network, regions, request.kind)
    sides = _sides(pair, request.kind, boxes)
    leads = [side.lead(side.roots, winners, light=False) for side in sides]
    root = bytes([FULL_LEAF])
    trees = [[root if sure else None for sure in lead.sure.tolist()] for lead in leads]
    left = [i for i in range(len(regions)) if any(t[i] is None for t in trees)]
    progress(f"decisions of {len(left)} regions attacked")
    points = _attack(network, program, [regions[i] for i in left], request)
    cases: dict[int, Attacked] = {
        i: Attacked(x) for i, x in zip(left, points, strict=True) if x is not None
    }
    hard = [i for i in left if i not in cases]
    # What lacks least, in steps of its own lead, is tried first.
    hard.sort(key=lambda i: (-float(min(lead.least[i] for lead in leads)), i))
    budget = request.seconds * (1 - _ATTACK_SHARE) * _OPERATIONS_PER_SECOND
    for done, index in enumerate(hard):
        progress(f"decisions: cutting region {done + 1} of {len(hard)}")
        share = budget / (len(hard) - done)
        for side, found in zip(sides, trees, strict=True):
            if found[index] is None and share > 0:
                growth = _grow(side, index, int(winners[index]), share)
                found[index] = growth.tree
                budget, share = budget - growth.spent, share - growth.spent
                if growth.tree is None:
                    break
    claims = [
        cases.get(i, _unchanged(int(winners[i]), trees[0][i], trees[1][i]))
        for i in range(len(regions))
    ]
    return DecisionClaim(request.kind, pair.grid, tuple(claims), _pairs(pair, boxes, request))


def _winners(network: Network, regions: Sequence[Box], kind: DecisionKind) -> NDArray[np.int64]:
    """Return what the network decides in the middle of each region."""
    middle = np.array(
        [[float((a + b) / 2) for a, b in zip(r.lo, r.hi, strict=True)] for r in regions]
    )
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.nan_to_num(evaluate(network, middle))
    return np.asarray((values if kind is DecisionKind.ARGMAX else -values).argmax(axis=1))


def _sides(pair: Pair, kind: DecisionKind, boxes: Interval) -> tuple[_Side, _Side]:
    network, device = decision.network_contest(pair, kind), decision.device_contest(pair, kind)
    codes = decision.code_boxes(pair, boxes)
    return (
        _Side(network, boxes, lambda part: part, 2),
        _Side(device, codes, lambda part: decision.device_values(pair, part), 1),
    )


def _attack(
    network: Network, program: FixedNetwork, regions: Sequence[Box], request: DecideRequest
) -> list[tuple[Fraction, ...] | None]:
    """Return for every region an input that is decided differently, exactly, or None."""
    if not regions:
        return []
    tries = int(request.seconds * _ATTACK_SHARE * _TRIES_PER_SECOND / len(regions))
    points = hunt(network, program, regions, request.kind, min(tries, _MOST_TRIES))
    where = [i for i, x in enumerate(points) if x is not None]
    right = decision.differs(network, program, [points[i] or () for i in where], request.kind)
    confirmed = {i for i, true in zip(where, right, strict=True) if true}
    return [x if i in confirmed else None for i, x in enumerate(points)]


def _unchanged(winner: int, network: bytes | None, device: bytes | None) -> Unchanged | None:
    return None if network is None or device is None else Unchanged(winner, network, device)


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


# --- cutting ---------------------------------------------------------------------------------


class _Cuts:
    """A tree while it grows, written level by level at the end."""

    def __init__(self) -> None:
        self.codes = [FULL_LEAF]
        self.children: dict[int, int] = {}

    def split(self, node: int, axis: int) -> int:
        """Cut a leaf; return its lower child, the upper one follows it."""
        self.codes[node] = axis
        self.children[node] = len(self.codes)
        self.codes += [FULL_LEAF, FULL_LEAF]
        return self.children[node]

    def written(self) -> bytes:
        """Return the tree level by level."""
        out, level = bytearray(), [0]
        while level:
            out += bytes(self.codes[node] for node in level)
            first = (self.children[node] for node in level if node in self.children)
            level = [child for start in first for child in (start, start + 1)]
        return bytes(out)


@dataclass(frozen=True, slots=True)
class _Growth:
    """What cutting one region came to: a tree that decides it, or a piece that is not to be won."""

    tree: bytes | None
    spent: float
    lost: Interval | None = None


def _grow(side: _Side, index: int, winner: int, limit: float) -> _Growth:
    """Cut one region until its winner wins in every piece, and say what that took.

    The worst pieces are looked at first, a crowd at a time: so one that cannot be won is met soon.
    """
    if side.roots.lo.shape[1] > LARGEST_AXIS:
        return _Growth(None, 0.0)
    cuts, spent = _Cuts(), 0.0
    weights = _influence(side, index)
    price = decision.leaf_operations(side.contest, light=True)
    stack = _Stack(np.array([0]), _rows(side.roots, slice(index, index + 1)))
    while len(stack.nodes):
        stack, nodes, boxes = stack.popped(_ROUND)
        light = len(nodes) > _FEW
        spent += len(nodes) * decision.leaf_operations(side.contest, light=light)
        lead = side.lead(boxes, np.full(len(nodes), winner), light=light)
        for node in nodes[lead.sure].tolist():
            cuts.codes[node] = LIGHT_LEAF if light else FULL_LEAF
        worst = np.argsort(-lead.least[~lead.sure].astype(np.float64), kind="stable")
        failed = np.flatnonzero(~lead.sure)[worst]
        left = _rows(boxes, failed)
        widths = (left.hi - left.lo).astype(np.float64)
        done = np.flatnonzero(widths.max(axis=1, initial=0) <= side.least)
        if len(done):
            return _Growth(None, spent, _rows(left, done[-1:]))
        if spent + (len(stack.nodes) + 2 * len(failed)) * price > limit:
            return _Growth(None, spent)
        axes = np.where(widths > side.least, widths * weights, -1.0).argmax(axis=1)
        first = [
            cuts.split(*cut) for cut in zip(nodes[failed].tolist(), axes.tolist(), strict=True)
        ]
        fresh = np.array([n for start in first for n in (start, start + 1)], dtype=np.int64)
        stack = stack.pushed(fresh, halves(left, axes))
    return _Growth(cuts.written(), spent)


def _rows(boxes: Interval, rows: NDArray[np.int64] | slice) -> Interval:
    return Interval(boxes.lo[rows], boxes.hi[rows])


@dataclass(frozen=True, slots=True)
class _Stack:
    """Pieces that wait, the next ones last."""

    nodes: NDArray[np.int64]
    boxes: Interval

    def popped(self, most: int) -> "tuple[_Stack, NDArray[np.int64], Interval]":
        """Return what remains without the last `most`, and those."""
        rest, top = slice(None, -most), slice(-most, None)
        remaining = _Stack(self.nodes[rest], _rows(self.boxes, rest))
        return remaining, self.nodes[top], _rows(self.boxes, top)

    def pushed(self, nodes: NDArray[np.int64], boxes: Interval) -> "_Stack":
        """Return the stack with more pieces on top."""
        lo, hi = (np.concatenate([getattr(self.boxes, s), getattr(boxes, s)]) for s in ("lo", "hi"))
        return _Stack(np.concatenate([self.nodes, nodes]), Interval(lo, hi))


def _influence(side: _Side, index: int) -> NDArray[np.float64]:
    """Estimate how much each input moves the outputs: weights passed back in magnitude."""
    root = side.values(_rows(side.roots, slice(index, index + 1)))
    links = side.contest.links
    passed = chain.enclose(links, root, side.contest.grid, 0)
    moved = np.abs(links[-1].matrix.astype(np.float64)).sum(axis=0)
    for link, at in zip(reversed(links[:-1]), reversed(passed[:-1]), strict=True):
        awake = at.lines.high_slope[0].astype(np.float64) * 2.0**-side.contest.grid
        moved = (moved * awake) @ np.abs(link.matrix.astype(np.float64)) * 2.0**-side.contest.grid
    return np.asarray(moved + moved.max() * 1e-9 + np.finfo(np.float64).tiny)
