"""Regions cut into pieces until one output wins in every one: what a decision's trees come from."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FixedNetwork
from qdeploy.ops import execute
from qdeploy.proof import chain, decision
from qdeploy.proof.certificate import DecisionKind
from qdeploy.proof.decision import CODES_LEAF, FULL_LEAF, LARGEST_RUN, LIGHT_LEAF, Contest
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import Pair
from qdeploy.proof.tree import LARGEST_AXIS, halves

Codes = NDArray[np.int64]

_PIECES_SAVED = 20
"""Pieces that cutting would cost at least, where lines do not win a piece of few codes."""
_FEW = 64
"""Pieces that are few enough for lines through every layer."""
_ROUND = 512
"""Pieces of one region that are looked at together."""


@dataclass(frozen=True, slots=True)
class Side:
    """The network or the device: its contest, its boxes to cut, and how to read them."""

    contest: Contest
    roots: Interval
    values: Callable[[Interval], Interval]
    least: int
    """Width, in units of the grid or codes, that is not cut any further."""
    most_run: int = 0
    """Codes of a piece that is run code by code rather than cut."""
    answers: Callable[[Codes], Codes] = lambda codes: codes
    """What the device answers to codes [codes, n]."""

    def lead(self, boxes: Interval, winners: NDArray[np.int64], *, light: bool) -> decision.Lead:
        """Bound the lead of the winners over boxes, batch by batch."""
        size, parts = self.contest.batch, []
        for start in range(0, len(boxes.lo), size):
            part = Interval(boxes.lo[start : start + size], boxes.hi[start : start + size])
            chosen = winners[start : start + size]
            parts.append(decision.leads(self.contest, self.values(part), chosen, light=light))
        least, sure = zip(*((p.least, p.sure) for p in parts), strict=True)
        return decision.Lead(np.concatenate(least), np.concatenate(sure))

    def run(self, boxes: Interval, winner: int) -> Interval | None:
        """Run all codes of some pieces; return one that is not won, None if all are."""
        for lo, hi in zip(boxes.lo.tolist(), boxes.hi.tolist(), strict=True):
            codes = decision.every_code(lo, hi)
            best = decision.winners_of(self.answers(codes), self.contest.kind)
            lost = codes[best != winner]
            if len(lost):
                return Interval(lost[:1], lost[:1] + 1)
        return None

    def inputs(self, piece: Interval) -> list[tuple[Fraction, ...]]:
        """Return some inputs of one piece: its ends, and the middle between them."""
        at = self.values(piece)
        unit = 2 << self.contest.grid
        return [
            tuple(Fraction(int(v), unit) for v in ends[0])
            for ends in (2 * at.lo, at.lo + at.hi, 2 * at.hi)
        ]


def sides(
    pair: Pair, program: FixedNetwork, kind: DecisionKind, boxes: Interval
) -> tuple[Side, Side]:
    """Return both contests over boxes of the grid [boxes, n]."""
    network, device = decision.network_contest(pair, kind), decision.device_contest(pair, kind)
    codes = decision.code_boxes(pair, boxes)
    piece = decision.leaf_operations(device, light=True)
    most_run = min(_PIECES_SAVED * piece // decision.code_operations(device), LARGEST_RUN)
    return (
        Side(network, boxes, lambda part: part, 2),
        Side(
            device,
            codes,
            lambda part: decision.device_values(pair, part),
            1,
            most_run,
            lambda codes: execute(program, codes),
        ),
    )


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
class Growth:
    """What cutting one region came to."""

    tree: bytes | None
    """Decides the region; None if that was not reached."""
    spent: float
    """Operations."""
    lost: Interval | None = None
    """A piece that is too small to be cut, and not won: no effort will win this region."""


def grow(side: Side, winner: int, limit: float) -> Growth:
    """Cut the one region of a side until its winner wins in every piece, and say what that took.

    The worst pieces are looked at first, a crowd at a time: so one that cannot be won is met soon.
    """
    if side.roots.lo.shape[1] > LARGEST_AXIS:
        return Growth(None, 0.0)
    cuts, spent = _Cuts(), 0.0
    weights = _influence(side)
    price = decision.leaf_operations(side.contest, light=True)
    stack = _Stack(np.array([0]), side.roots)
    while len(stack.nodes):
        stack, nodes, boxes = stack.popped(_ROUND)
        light = len(nodes) > _FEW
        spent += len(nodes) * decision.leaf_operations(side.contest, light=light)
        lead = side.lead(boxes, np.full(len(nodes), winner), light=light)
        for node in nodes[lead.sure].tolist():
            cuts.codes[node] = LIGHT_LEAF if light else FULL_LEAF
        worst = np.argsort(-lead.least[~lead.sure].astype(np.float64), kind="stable")
        failed = np.flatnonzero(~lead.sure)[worst]
        counts = (boxes.hi - boxes.lo)[failed].astype(np.float64).prod(axis=1)
        few = counts <= side.most_run
        spent += counts[few].sum() * decision.code_operations(side.contest)
        lost = side.run(_rows(boxes, failed[few]), winner)
        if lost is not None:
            return Growth(None, spent, lost)
        for node in nodes[failed[few]].tolist():
            cuts.codes[node] = CODES_LEAF
        failed = failed[~few]
        left = _rows(boxes, failed)
        widths = (left.hi - left.lo).astype(np.float64)
        done = np.flatnonzero(widths.max(axis=1, initial=0) <= side.least)
        if len(done):
            return Growth(None, spent, _rows(left, done[-1:]))
        if spent + (len(stack.nodes) + 2 * len(failed)) * price > limit:
            return Growth(None, spent)
        axes = np.where(widths > side.least, widths * weights, -1.0).argmax(axis=1)
        first = [
            cuts.split(*cut) for cut in zip(nodes[failed].tolist(), axes.tolist(), strict=True)
        ]
        fresh = np.array([n for start in first for n in (start, start + 1)], dtype=np.int64)
        stack = stack.pushed(fresh, halves(left, axes))
    return Growth(cuts.written(), spent)


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


def _influence(side: Side) -> NDArray[np.float64]:
    """Estimate how much each input moves the outputs: weights passed back in magnitude."""
    root = side.values(side.roots)
    links = side.contest.links
    passed = chain.enclose(links, root, side.contest.grid, 0)
    moved = np.abs(links[-1].matrix.astype(np.float64)).sum(axis=0)
    for link, at in zip(reversed(links[:-1]), reversed(passed[:-1]), strict=True):
        awake = at.lines.high_slope[0].astype(np.float64) * 2.0**-side.contest.grid
        moved = (moved * awake) @ np.abs(link.matrix.astype(np.float64)) * 2.0**-side.contest.grid
    return np.asarray(moved + moved.max() * 1e-9 + np.finfo(np.float64).tiny)
