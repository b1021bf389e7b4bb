"""Which output wins: the exact check that device and network decide alike over a region.

Where the network has one winner at every input of a box, that winner is the same everywhere, as its
outputs are continuous. So a region is *unchanged* if one output leads all others throughout, in the
network by more than nothing, on the device by codes, the lowest index winning a tie. Both are shown
apart, each on its own chain of lines (`chain`), over leaves of a tree:

* the network's tree halves the region itself (`tree.expand`);
* the device's tree halves boxes of input codes, lower half [lo, (lo + hi + 1) // 2), so that what
  the input's rounding does is not relaxed at all.

A leaf is 254 (lines through every layer) or 255 (lines through the last layer, intervals before);
one of the device may be 253: every code in it is run.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy import ops
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import Rounding
from qdeploy.ir import Box, FixedNetwork, Network, exact
from qdeploy.proof import chain, linear, tree
from qdeploy.proof.budget import Budget
from qdeploy.proof.certificate import (
    Attacked,
    DecisionClaim,
    DecisionKind,
    DecisionStatus,
    Unchanged,
)
from qdeploy.proof.chain import Link, Stairs
from qdeploy.proof.dyadic import NARROW_GRIDS, Interval, Raw, constant, stored, zeros
from qdeploy.proof.pair import Layer, MismatchError, Pair, Pairs, outputs_at
from qdeploy.proof.ranges import analyse, analysis_operations, boxes_on_grid, reference_error
from qdeploy.proof.rounded import quotient_above
from qdeploy.proof.tree import TreeError, code_range

FULL_LEAF = tree.LINEAR_LEAF
LIGHT_LEAF = tree.EXACT_LEAF
CODES_LEAF = 253
LARGEST_RUN = 4096
"""Codes that one leaf may run."""
LARGEST_WORK = 2_000_000_000_000
"""Operations that all leaves, or all pairs, may take; most of an hour."""
LARGEST_LEAVES = 1 << 20
"""Leaves of all regions together, of either function."""
LARGEST_PAIRED = 64
"""Outputs whose pairs may be bounded."""
_WIDE_FACTOR = 50
"""How much slower Python's integers are."""
_OPERATIONS_AT_ONCE = 5
"""Operations of many small leaves that take as long as one of a check's budget."""
_STEPS_PER_NEURON = 100
_BATCH = 256
_BATCH_NUMBERS = 1 << 23
"""Coefficients, of all boxes of a batch, that stand in memory at once."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A chain of f or g, the grid, and what wins."""

    links: tuple[Link, ...]
    grid: int
    kind: DecisionKind

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.links[-1].bias)

    @property
    def batch(self) -> int:
        """Boxes to look at together."""
        widest: int = max(max(link.matrix.shape) for link in self.links)
        return max(1, min(_BATCH, _BATCH_NUMBERS // (2 * widest * widest)))


def network_contest(pair: Pair, kind: DecisionKind) -> Contest:
    """Return the contest of the network's outputs."""
    return Contest(chain.network_links(pair), pair.grid, kind)


def device_contest(pair: Pair, kind: DecisionKind) -> Contest:
    """Return the contest of the device's output codes."""
    return Contest(chain.program_links(pair), pair.grid, kind)


@dataclass(frozen=True, slots=True)
class Lead:
    """By how much every winner leads over its box, and whether it surely wins there."""

    least: Raw
    """Of the last sums before any rounding, over all others, less what is needed: [boxes]."""
    sure: NDArray[np.bool_]


def leads(contest: Contest, boxes: Interval, winners: NDArray[np.int64], *, light: bool) -> Lead:
    """Bound the lead of each box's winner from below."""
    links, grid = contest.links, contest.grid
    hidden, last = links[:-1], links[-1]
    passed = chain.enclose(links, boxes, grid, 0 if light else len(hidden))
    v, error = passed[-1].v, passed[-1].error
    others = _others(winners, contest.outputs)
    # An earlier output would win a tie, a later one would lose it.
    strict = others < winners[:, None]
    ahead, behind = np.broadcast_to(winners[:, None], others.shape), others
    if contest.kind is DecisionKind.ARGMIN:
        ahead, behind = behind, ahead
    rows = last.matrix[behind] - last.matrix[ahead]
    reach = chain.upper_bound(hidden, passed[:-1], rows, boxes, grid)
    lead = last.bias[ahead] - last.bias[behind] - reach
    lead = lead + _at(error.lo, ahead) - _at(error.hi, behind)
    lead = np.asarray(np.maximum(lead, _at(v.lo, ahead) - _at(v.hi, behind)))
    rivals = _Rivals(v, ahead, behind, strict)
    if last.stairs is None:
        return _network_lead(last, lead, rivals)
    return _device_lead(last.stairs, lead, rivals, grid)


@dataclass(frozen=True, slots=True)
class _Rivals:
    """The last sums [boxes, outputs], and who must stand before whom [boxes, others]."""

    v: Interval
    ahead: NDArray[np.int64]
    behind: NDArray[np.int64]
    strict: NDArray[np.bool_]


def _others(winners: NDArray[np.int64], outputs: int) -> NDArray[np.int64]:
    """Return all indices but the winner's, [boxes, outputs - 1]."""
    index = np.arange(outputs - 1)[None]
    return np.asarray(index + (index >= winners[:, None]))


def _at(values: Raw, index: NDArray[np.int64]) -> Raw:
    return np.asarray(np.take_along_axis(values, index, axis=1))


def _network_lead(last: Link, lead: Raw, rivals: _Rivals) -> Lead:
    """The network must have one winner: a tie is nobody's."""
    need = np.ones((1, 1), dtype=np.int64)
    if last.curve is not None:
        # It is the ReLU, and relu(s) > relu(t) asks for s > t and s > 0.
        lead = np.asarray(np.minimum(lead, _at(rivals.v.lo, rivals.ahead)))
    least = np.asarray((lead - need).min(axis=1))
    return Lead(least, np.asarray(least >= 0, dtype=np.bool_))


def _device_lead(stairs: Stairs, lead: Raw, rivals: _Rivals, grid: int) -> Lead:
    """Codes are compared, not sums: rounding and saturation keep order, but not distance.

    Sums one step apart have different codes unless both are clipped alike; `trunc` takes two steps
    across zero.
    """
    steps = 2 if stairs.rounding is Rounding.TRUNC else 1
    need = constant(steps << (grid - stairs.format.fb), (1, 1), grid) * rivals.strict
    low = _at(stairs.codes(rivals.v.lo, grid), rivals.ahead)
    high = _at(stairs.codes(rivals.v.hi, grid), rivals.behind)
    inside = (high < stairs.highest) & (low > stairs.lowest)
    by_lead = (lead >= need) & (inside | ~rivals.strict)
    by_codes = np.where(rivals.strict, low > high, low >= high)
    sure = np.asarray(np.asarray(by_lead | by_codes, dtype=np.bool_).all(axis=1))
    return Lead(np.asarray((lead - need).min(axis=1)), sure)


def run_wins(
    program: FixedNetwork, codes: Interval, winners: NDArray[np.int64], kind: DecisionKind
) -> NDArray[np.int64]:
    """Run every code of boxes [lo, hi); return how many of each box its winner wins."""
    won = []
    for lo, hi, winner in zip(codes.lo.tolist(), codes.hi.tolist(), winners.tolist(), strict=True):
        best = winners_of(ops.execute(program, every_code(lo, hi)), kind)
        won.append(np.count_nonzero(best == winner))
    return np.array(won, dtype=np.int64)


def winners_of(answers: NDArray[np.int64], kind: DecisionKind) -> NDArray[np.int64]:
    """Return the decision over each row of codes: the lowest index on a tie."""
    best = answers.argmax(axis=1) if kind is DecisionKind.ARGMAX else answers.argmin(axis=1)
    return np.asarray(best)


def every_code(lo: Sequence[int], hi: Sequence[int]) -> NDArray[np.int64]:
    """Return all codes [codes, n] of a box [lo, hi), the last axis turning fastest."""
    counts = np.subtract(hi, lo)
    wide = np.flatnonzero(counts != 1)
    codes = np.tile(np.array(lo, dtype=np.int64), (int(counts.prod()), 1))
    turned = np.indices(tuple(counts[wide].tolist())).reshape(len(wide), len(codes))
    codes[:, wide] += turned.T
    return codes


def code_operations(contest: Contest) -> int:
    """Estimate what running one code costs, in the operations of `leaf_operations`."""
    sizes = [link.matrix.shape for link in contest.links]
    return sum(rows * columns // 2 + 10 * rows for rows, columns in sizes)


# --- regions and their trees -----------------------------------------------------------------


def code_boxes(pair: Pair, boxes: Interval) -> Interval:
    """Return the input codes [lo, hi) that each box can produce."""
    low, high = code_range(pair.input, pair.input_rounding, boxes, pair.grid)
    return Interval(low, high + 1)


def device_values(pair: Pair, codes: Interval) -> Interval:
    """Return the values of the codes [lo, hi), closed, on the pair's grid."""
    step = 1 << (pair.grid - pair.input.fb)
    lo, hi = (stored(end.astype(object) * step, pair.grid) for end in (codes.lo, codes.hi - 1))
    return Interval(lo, hi)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Boxes [pieces, n] into which regions are cut, the kind of leaf and the region of each."""

    boxes: Interval
    kinds: NDArray[np.int64]
    owner: NDArray[np.int64]

    def of_kind(self, kind: int) -> NDArray[np.int64]:
        """Return which of them are of one kind."""
        return np.flatnonzero(self.kinds == kind)

    def boxes_of(self, rows: NDArray[np.int64]) -> Interval:
        """Return some of the boxes."""
        return Interval(self.boxes.lo[rows], self.boxes.hi[rows])


def _pieces(trees: Sequence[bytes], roots: Interval, allowed: Sequence[int]) -> Pieces:
    """Return the leaves of all regions' trees.

    Raises:
        TreeError: a tree is malformed, or all together are too large.
    """
    leaves = sum((len(t) + 1) // 2 for t in trees)
    if leaves > LARGEST_LEAVES or leaves * roots.lo.shape[1] > tree.LARGEST_CORNERS:
        raise TreeError(f"{leaves} leaves are too many")
    parts = [
        tree.pieces(t, Interval(roots.lo[i : i + 1], roots.hi[i : i + 1]), allowed)
        for i, t in enumerate(trees)
    ]
    owner = np.repeat(np.arange(len(parts)), [len(kinds) for _, kinds in parts])
    lo, hi = (np.concatenate([getattr(boxes, s) for boxes, _ in parts]) for s in ("lo", "hi"))
    return Pieces(Interval(lo, hi), np.concatenate([kinds for _, kinds in parts]), owner)


def wins(
    contest: Contest,
    pieces: Pieces,
    winners: NDArray[np.int64],
    values: Callable[[Interval], Interval],
) -> NDArray[np.bool_]:
    """Return for every piece but those to be run whether its region's winner wins all over it.

    `values` makes values on the grid of the boxes.
    """
    sure = np.zeros(len(pieces.kinds), dtype=bool)
    for kind in (FULL_LEAF, LIGHT_LEAF):
        chosen = pieces.of_kind(kind)
        for start in range(0, len(chosen), contest.batch):
            rows = chosen[start : start + contest.batch]
            boxes = values(pieces.boxes_of(rows))
            winning = winners[pieces.owner[rows]]
            sure[rows] = leads(contest, boxes, winning, light=kind == LIGHT_LEAF).sure
    return sure


def leaf_operations(contest: Contest, *, light: bool) -> int:
    """Estimate what one leaf costs."""
    sizes = [link.matrix.shape for link in contest.links]
    passing = [2 * rows * columns + _STEPS_PER_NEURON * rows for rows, columns in sizes]
    operations = 2 * sum(passing) + contest.outputs * sum(passing)
    if not light:
        for index in range(1, len(sizes) - 1):
            operations += (
                2
                * sizes[index][0]
                * sum(
                    rows * columns + _STEPS_PER_NEURON // 10 * rows
                    for rows, columns in sizes[:index]
                )
            )
    wide = 1 if contest.grid in NARROW_GRIDS else _WIDE_FACTOR
    return int(operations * wide)


def affordable_operations(contest: Contest, pieces: Pieces) -> int:
    """Return the operations of all leaves; refuse what nobody would wait for.

    Raises:
        TreeError: the leaves are too many, or one is too large.
    """
    work = len(pieces.of_kind(LIGHT_LEAF)) * leaf_operations(contest, light=True)
    work += len(pieces.of_kind(FULL_LEAF)) * leaf_operations(contest, light=False)
    boxes = pieces.boxes_of(pieces.of_kind(CODES_LEAF))
    counts = (boxes.hi - boxes.lo).astype(object).prod(axis=1)
    largest = max(counts.tolist(), default=0)
    if largest > LARGEST_RUN or largest * boxes.lo.shape[1] > tree.LARGEST_CORNERS:
        raise TreeError(f"a leaf of {largest} codes is too large to be run")
    work += int(counts.sum()) * code_operations(contest)
    work += len(counts) * leaf_operations(contest, light=True)
    if work > LARGEST_WORK:
        raise TreeError(f"{len(pieces.kinds)} leaves are too much work")
    return work


# --- what was found, exactly -----------------------------------------------------------------


def decide(values: Sequence[int], kind: DecisionKind) -> int:
    """Return the decision over exact numbers: the lowest index on a tie."""
    best = max(values) if kind is DecisionKind.ARGMAX else min(values)
    return list(values).index(best)


def differs(
    network: Network,
    program: FixedNetwork,
    points: Sequence[Sequence[Fraction]],
    kind: DecisionKind,
) -> list[bool]:
    """Return for real inputs whether the network has one winner and the device another one."""
    if not points:
        return []
    device = outputs_at(program, points).tolist()
    low, high = (end.tolist() for end in ops.enclose(network, exact([list(x) for x in points])))
    return [
        _winner(lo, hi, kind) not in (None, decide(answer, kind))
        for lo, hi, answer in zip(low, high, device, strict=True)
    ]


def _winner(low: Sequence[Fraction], high: Sequence[Fraction], kind: DecisionKind) -> int | None:
    """Return the only possible winner among enclosed numbers, None if there may be two."""
    if kind is DecisionKind.ARGMIN:
        low, high = [-v for v in high], [-v for v in low]
    best = max(range(len(low)), key=low.__getitem__)
    rest = [v for index, v in enumerate(high) if index != best]
    return best if all(low[best] > v for v in rest) else None


def pair_bounds(pair: Pair, boxes: Interval) -> list[tuple[Decimal, ...]]:
    """Bound |(device_i - device_j) - (network_i - network_j)| over each box, for all i < j."""
    outputs = pair.layers[-1].width
    first, second = np.array(list(itertools.combinations(range(outputs), 2))).T
    widest = max(max(layer.w.shape) for layer in pair.layers)
    size = max(1, min(_BATCH, _PAIR_NUMBERS // (2 * len(first) * widest)))
    bounds: list[tuple[Decimal, ...]] = []
    for start in range(0, len(boxes.lo), size):
        part = Interval(boxes.lo[start : start + size], boxes.hi[start : start + size])
        found = analyse(pair, part, use_linear=True)
        known = linear.before(pair, found)
        e = found.layers[-1].out.e
        apart = np.maximum(e.hi[:, first] - e.lo[:, second], e.hi[:, second] - e.lo[:, first])
        some = max(1, _PAIR_NUMBERS // (2 * widest * len(part.lo)))
        reach = np.concatenate(
            [
                _reach(pair, known, first[k : k + some], second[k : k + some])
                for k in range(0, len(first), some)
            ],
            axis=1,
        )
        extra = reference_error(pair, found)
        worst = np.minimum(reach, apart) + extra[:, first] + extra[:, second]
        bounds += [tuple(quotient_above(int(b), 1 << pair.grid) for b in row) for row in worst]
    return bounds


def _reach(
    pair: Pair,
    known: linear.Before,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> Raw:
    """Bound the deviations of some outputs' differences by lines, [boxes, pairs]."""
    here, unit = np.arange(len(first)), 1 << pair.grid
    rows = zeros((2 * len(first), pair.layers[-1].width), pair.grid)
    for index, sign in ((here, 1), (here + len(first), -1)):
        rows[index, first], rows[index, second] = sign * unit, -sign * unit
    reach = linear.upper_bound(known, np.zeros_like(rows)[None], rows[None])
    return np.maximum(reach[:, : len(first)], reach[:, len(first) :])


_PAIR_NUMBERS = 1 << 20
"""Rows of pairs times neurons times regions that are passed back together."""


def pair_operations(pair: Pair, regions: int) -> int:
    """Estimate what `pair_bounds` takes."""
    outputs = pair.layers[-1].width
    rows = outputs * (outputs - 1)
    weights = sum(int(layer.w.size) for layer in pair.layers)
    operations = analysis_operations(pair, regions) + 3 * rows * weights * regions
    return operations * (1 if pair.grid in NARROW_GRIDS else _WIDE_FACTOR)


def affordable_pairs(pair: Pair, regions: int, limit: int = LARGEST_WORK) -> bool:
    """Whether `pair_bounds` stays within `limit` operations, as estimated, and within memory."""
    return pair.layers[-1].width <= LARGEST_PAIRED and pair_operations(pair, regions) <= limit


# --- the check -------------------------------------------------------------------------------


def decision_pair(pairs: Pairs, grid: int) -> Pair:
    """Put network and program side by side for a decision.

    Raises:
        MismatchError: they do not fit, or there is nothing to decide between.
    """
    pair = pairs.on(grid)
    if pair.layers[-1].width < 2:  # noqa: PLR2004  a decision is one between two
        raise MismatchError("one output decides nothing")
    if not _ends_plainly(pair.layers[-1]):
        raise MismatchError("decisions behind a last activation other than ReLU are not covered")
    return pair


def _ends_plainly(last: Layer) -> bool:
    """Whether the outputs are sums, or the ReLU of sums."""
    if last.curve is None:
        return last.lookup is None
    floor, ceiling = last.ends
    at_zero = floor is not None and floor.place == 0 and ceiling is None
    clamped = last.clamp is not None and last.clamp[0] == 0
    return at_zero and last.lookup is None and not last.curve.inexact and clamped


def check(
    pairs: Pairs, claim: DecisionClaim, regions: Sequence[Box], budget: Budget
) -> tuple[DecisionStatus, ...]:
    """Prove the claim about decisions again.

    Raises:
        RefusedError: something does not hold, or is beyond the budget; the text names it.
    """
    if len(claim.cases) != len(regions):
        raise RefusedError("decision: it speaks of another number of regions")
    try:
        pair = decision_pair(pairs, claim.grid)
        boxes = boxes_on_grid(regions, pair.grid)
        _check_unchanged((pair, pairs.program), claim, boxes, budget)
    except (MismatchError, TreeError) as problem:
        raise RefusedError(f"decision: {problem}") from problem
    _check_attacked(pairs, claim, regions)
    _check_pairs(pair, claim, boxes, budget)
    return tuple(map(status, claim.cases))


def status(case: Unchanged | Attacked | None) -> DecisionStatus:
    """Return what a case claims."""
    match case:
        case Unchanged():
            return DecisionStatus.UNCHANGED
        case Attacked():
            return DecisionStatus.ATTACKED
        case None:
            return DecisionStatus.OPEN


def _check_unchanged(
    sides: tuple[Pair, FixedNetwork], claim: DecisionClaim, boxes: Interval, budget: Budget
) -> None:
    pair, program = sides
    cases = [(i, case) for i, case in enumerate(claim.cases) if isinstance(case, Unchanged)]
    if not cases:
        return
    where = np.array([i for i, _ in cases])
    winners = np.array([case.winner for _, case in cases], dtype=object)
    if not all(0 <= winner < pair.layers[-1].width for winner in winners):
        raise TreeError("a winner is none of the outputs")
    won = winners.astype(np.int64)
    part = Interval(boxes.lo[where], boxes.hi[where])
    asked = _Asked(claim.kind, part, won, budget)
    network = _network_pieces(pair, asked, [case.network for _, case in cases])
    device = _device_pieces(pair, program, asked, [case.device for _, case in cases])
    for owner, sure in (network, device):
        if not sure.all():
            lost = where[owner[~sure][0]]
            raise RefusedError(f"region {lost}: the decision is not proven unchanged")


_Shown = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""The region of every piece, and whether its winner wins all over it."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The regions in which an output is said to win, and what the check may take."""

    kind: DecisionKind
    regions: Interval
    winners: NDArray[np.int64]
    budget: Budget

    def pay_for(self, contest: Contest, pieces: Pieces) -> None:
        """Charge for leaves.

        Raises:
            TreeError, RefusedError: they are too much work.
        """
        self.budget.charge(
            affordable_operations(contest, pieces) // _OPERATIONS_AT_ONCE, "decision"
        )


def _network_pieces(pair: Pair, asked: _Asked, trees: Sequence[bytes]) -> _Shown:
    contest = network_contest(pair, asked.kind)
    pieces = _pieces(trees, asked.regions, (FULL_LEAF, LIGHT_LEAF))
    asked.pay_for(contest, pieces)
    return pieces.owner, wins(contest, pieces, asked.winners, lambda boxes: boxes)


def _device_pieces(
    pair: Pair, program: FixedNetwork, asked: _Asked, trees: Sequence[bytes]
) -> _Shown:
    kind, winners = asked.kind, asked.winners
    contest = device_contest(pair, kind)
    boxes = code_boxes(pair, asked.regions)
    pieces = _pieces(trees, boxes, (FULL_LEAF, LIGHT_LEAF, CODES_LEAF))
    if (pieces.boxes.lo >= pieces.boxes.hi).any():
        raise TreeError("a leaf of the device holds no code")
    asked.pay_for(contest, pieces)
    sure = wins(contest, pieces, winners, lambda boxes: device_values(pair, boxes))
    run = pieces.of_kind(CODES_LEAF)
    boxes = pieces.boxes_of(run)
    won = run_wins(program, boxes, winners[pieces.owner[run]], kind)
    sure[run] = won == (boxes.hi - boxes.lo).prod(axis=1)
    return pieces.owner, sure


def _check_attacked(pairs: Pairs, claim: DecisionClaim, regions: Sequence[Box]) -> None:
    cases = [(i, case.x) for i, case in enumerate(claim.cases) if isinstance(case, Attacked)]
    for index, x in cases:
        if not regions[index].holds(x):
            raise RefusedError(f"region {index}: the decision's input lies outside the region")
    found = differs(pairs.network, pairs.program, [x for _, x in cases], claim.kind)
    for (index, _), different in zip(cases, found, strict=True):
        if not different:
            raise RefusedError(f"region {index}: the decision's input is decided alike")


def _check_pairs(pair: Pair, claim: DecisionClaim, boxes: Interval, budget: Budget) -> None:
    if claim.pairs is None:
        return
    operations = pair_operations(pair, len(boxes.lo))
    if pair.layers[-1].width > LARGEST_PAIRED or operations > LARGEST_WORK:
        raise RefusedError("decision: the bounds of pairs are too much work")
    budget.charge(operations // _OPERATIONS_AT_ONCE, "decision")
    again = pair_bounds(pair, boxes)
    if len(claim.pairs) != len(again):
        raise RefusedError("decision: pairs are stated for another number of regions")
    for index, (stated, found) in enumerate(zip(claim.pairs, again, strict=True)):
        if stated != found:
            raise RefusedError(f"region {index}: the stated bounds of pairs are not the recomputed")
