"""Smaller integer parts for automatic activations, from ranges that are proven or seen.

Plain intervals grow from layer to layer, and every doubling costs a fraction bit. So the program is
made once with them, its sums are enclosed by back-substitution over pieces of the regions, and
formats are chosen again from these enclosures. The formats change the program, hence the
enclosures: they are derived again for the program that was chosen, and a layer that could saturate
gets its bit back.

In deep networks even these enclosures may be thousands of times too wide. A format that holds them
has hardly a step left for what really occurs: the device computes noise, and the bound is wider
than the output. There formats hold what samples show, and as much again; what lies beyond
saturates, which is part of the bound. Ranges are integers; floating point only says which inputs
are tried and where regions are cut, one IEEE 754 operation at a time. So every machine chooses
alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FixedNetwork, FixedTensor, Network, QuantizeRequest, Ranges
from qdeploy.proof.budget import LEAST_WORK, SECONDS_PER_OPERATION
from qdeploy.proof.dyadic import Interval
from qdeploy.proof.pair import MismatchError, Pair, align, sharp_grid
from qdeploy.proof.ranges import analyse, analysis_operations, boxes_on_grid
from qdeploy.proof.tree import halves, outgrows
from qdeploy.quantize.formats import code, word_length
from qdeploy.quantize.uses import Use, dense_uses

Proven = Mapping[str, tuple[Fraction, Fraction]]
"""By node: enclosure of its sums over all regions, in real units, before rounding."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the formats of activations have to hold."""

    proven: Proven = field(default_factory=dict)
    """What is missing is enclosed by intervals."""
    sampled: bool = False
    """Whether twice what samples show is enough."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A program, and the codes of every tensor that some inputs lead to."""

    program: FixedNetwork
    seen: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Look:
    """What is proven of a program over the regions."""

    sums: Proven
    deviation: Fraction
    """Of every output from the network, at most."""
    outgrown: bool
    """Whether numbers outgrew 64 bits."""
    by_lines: bool
    whole_sums: Proven
    """The sums as far as no region is cut into pieces, and the deviation likewise."""
    whole_deviation: Fraction


Assemble = Callable[[Wanted], Draft]

_ATTEMPTS = 5
_SHARE_OF_LOOKS = 2.5
"""Of the work, for looks at the regions as they are."""
_SHARE_OF_CUTS = 0.25
_LOOKS = 5
"""At pieces: one to choose formats by, and some at the programs that were chosen."""
_WORTH_SPLITTING = Fraction(7, 10)
"""Of the bound over whole regions: what pieces have to leave of it, for formats that need them."""
_WIDE_FACTOR = 3
"""How much slower a look is where numbers outgrow 64 bits: most time goes into its many steps."""
_WIDE_FACTOR_OF_MANY = 10
"""Likewise of many boxes at once, where Python's integers take nearly all of it."""
_MOST_CUTS = 10
_SECONDS_PER_NEURON = 2e-5
"""Of the lines of one box around an activation, on the sharp grid."""
_SECONDS_PER_LAYER = 1e-3
"""Of putting a program on a grid and enclosing it by intervals, however narrow it is."""
_PIECES_AT_ONCE = 256
_NUMBERS_AT_ONCE = 1 << 18
_WORTH_CUTTING = 1.2
"""Ranges that are no wider than what was seen, times this, are left alone."""
_STARVED, _FED = 16, 64
"""A tensor is starved of steps that was seen at fewer codes, and would have more by samples."""


def chosen(network: Network, request: QuantizeRequest, assemble: Assemble) -> FixedNetwork:
    """Return `assemble`'s program with the formats that the request's ranges ask for."""
    if request.ranges is Ranges.SAMPLED:
        return assemble(Wanted(sampled=True)).program
    draft, look = _proven(network, request, assemble)
    if request.ranges is Ranges.PROVEN or look is None:
        return draft.program
    by_samples = assemble(Wanted(sampled=True))
    output = by_samples.program.output
    width = _codes_seen(by_samples, output.id) * output.format.step
    starved = any(
        _codes_seen(draft, name) < _STARVED and _codes_seen(by_samples, name) >= _FED
        for name in draft.seen
    )
    return _told(by_samples.program) if starved and look.deviation > width else draft.program


def _told(program: FixedNetwork) -> FixedNetwork:
    return replace(program, notes=(*program.notes, _SAMPLED))


_SAMPLED = (
    "activations hold twice what sampled inputs reach: what is proven to occur is so much wider "
    "that hardly a step would be left; what lies beyond saturates, and counts in the bound "
    "(--ranges proven holds it all)"
)


def _codes_seen(draft: Draft, tensor: str) -> int:
    """Return between how many codes all elements of a tensor were seen."""
    codes = draft.seen[tensor]
    return int(codes.max()) - int(codes.min()) + 1


def _proven(
    network: Network, request: QuantizeRequest, assemble: Assemble
) -> tuple[Draft, _Look | None]:
    """Return the draft with the smallest formats that provably do not saturate.

    What only a proof by pieces shows is used where pieces lower the bound as well. Elsewhere no
    splitting will follow, and methods that look at whole regions would add a saturation to the
    bound that never occurs.
    """
    uses = dense_uses(network)
    draft = assemble(Wanted())
    view = _View(network, request)
    first = view.of(draft)
    if first is None or not first.by_lines:
        return draft, first
    settle = partial(_settled, view, uses, assemble)
    plain = settle(first.whole_sums, lambda look: look.whole_sums) or (draft, first)
    if first.sums == first.whole_sums:
        return plain
    fine = settle(first.sums, lambda look: look.sums)
    return fine if fine is not None and _pays_off(fine[1], plain[1]) else plain


def _settled(
    view: "_View",
    uses: Mapping[str, Use],
    assemble: Assemble,
    proven: Proven,
    known: Callable[[_Look], Proven],
) -> tuple[Draft, _Look] | None:
    """Choose formats by `proven` sums until what is `known` of their program fits into them."""
    for _ in range(_ATTEMPTS):
        candidate = assemble(Wanted(proven))
        look = view.of(candidate)
        if look is None:
            return None
        outputs = {n.name: candidate.program.tensor(n.output) for n in candidate.program.nodes}
        sums = known(look)
        saturating = {
            name
            for name, use in uses.items()
            if name in sums and not _fits(outputs[name], use, sums[name])
        }
        if not saturating:
            return candidate, look
        proven = {
            name: _doubled(span) if name in saturating else span for name, span in proven.items()
        }
    return None


def _pays_off(fine: _Look, plain: _Look) -> bool:
    """Whether pieces bound so much better than whole regions that formats may need them."""
    most = min(_WORTH_SPLITTING * plain.whole_deviation, plain.deviation)
    return fine.deviation <= most


class _View:
    """How closely programs of one network can be looked at, within the work that is allowed."""

    def __init__(self, network: Network, request: QuantizeRequest) -> None:
        self._network = network
        self._request = request
        self._left = _SHARE_OF_LOOKS * max(request.work, LEAST_WORK)
        self._left_for_cuts = _SHARE_OF_CUTS * request.work
        self._cuts: int | None = None
        """Of every region; all programs are looked at alike, once the first one was."""

    def of(self, draft: Draft) -> _Look | None:
        """Enclose a program's sums over the regions.

        None where it is none of the proof's, or too deep for the work.
        """
        program = draft.program
        if not self._pays(_SECONDS_PER_LAYER * len(program.nodes)):
            return None
        try:
            pair = align(self._network, program, sharp_grid(program))
        except MismatchError:
            return None
        boxes = boxes_on_grid(self._request.regions, pair.grid)
        intervals = _enclosed(pair, boxes, by_lines=False)
        slow = _WIDE_FACTOR if intervals.outgrown else 1
        neurons = _SECONDS_PER_NEURON * sum(layer.width for layer in pair.layers)
        seconds = SECONDS_PER_OPERATION * analysis_operations(pair, len(boxes.lo))
        if not self._pays(slow * seconds + neurons * len(boxes.lo)):
            return intervals
        look = _enclosed(pair, boxes, by_lines=True)
        slow = _WIDE_FACTOR_OF_MANY if look.outgrown else 1
        together = analysis_operations(pair, _PIECES_AT_ONCE) / _PIECES_AT_ONCE
        one = slow * SECONDS_PER_OPERATION * together + neurons
        if self._cuts is None:
            self._cuts = self._affordable_cuts(one * len(boxes.lo)) if _loose(look, draft) else 0
        seconds = one * len(boxes.lo) * (1 << self._cuts)
        if not self._cuts or seconds > self._left_for_cuts:
            return look
        self._left_for_cuts -= seconds
        return _met(look, _enclosed(pair, _pieces(pair, boxes, self._cuts), by_lines=True))

    def _pays(self, seconds: float) -> bool:
        """Whether there is time for something; if so, it is taken."""
        if seconds > self._left:
            return False
        self._left -= seconds
        return True

    def _affordable_cuts(self, seconds: float) -> int:
        """Return how often every region is cut, if a look at all takes so long and two follow."""
        cuts = 0
        while cuts < _MOST_CUTS and (2 << cuts) * seconds <= self._left_for_cuts / _LOOKS:
            cuts += 1
        return cuts


def _enclosed(pair: Pair, boxes: Interval, *, by_lines: bool) -> _Look:
    """Enclose the sums over boxes, few at a time."""
    neurons = pair.layers[0].w.shape[1] + sum(layer.width for layer in pair.layers)
    size = max(1, min(_PIECES_AT_ONCE, _NUMBERS_AT_ONCE // neurons))
    step = Fraction(1, 1 << pair.grid)
    sums: dict[str, tuple[Fraction, Fraction]] = {}
    deviation, outgrown = Fraction(0), False
    for start in range(0, len(boxes.lo), size):
        found = analyse(pair, boxes.some(slice(start, start + size)), use_linear=by_lines)
        outgrown |= outgrows(pair, found, pair.grid)
        for layer, ranges in zip(pair.layers, found.layers, strict=True):
            span = (int(ranges.sums.lo.min()) * step, (int(ranges.sums.hi.max()) + 1) * step)
            known = sums.get(layer.name, span)
            sums[layer.name] = min(known[0], span[0]), max(known[1], span[1])
        deviation = max(deviation, int(found.layers[-1].out.e.magnitude.max()) * step)
    return _Look(sums, deviation, outgrown, by_lines, sums, deviation)


def _met(whole: _Look, pieces: _Look) -> _Look:
    """Return what both say: pieces are mostly enclosed better than the whole, but not always."""
    sums = {
        name: (max(lo, pieces.sums[name][0]), min(hi, pieces.sums[name][1]))
        for name, (lo, hi) in whole.sums.items()
    }
    return replace(whole, sums=sums, deviation=min(whole.deviation, pieces.deviation))


def _pieces(pair: Pair, boxes: Interval, cuts: int) -> Interval:
    """Cut all boxes so often across the sides that move the first layer most."""
    weight = np.abs(pair.layers[0].w.astype(np.float64)).sum(axis=0)
    for _ in range(cuts):
        reach = (boxes.hi - boxes.lo).astype(np.float64) * weight
        boxes = halves(boxes, reach.argmax(axis=1))
    return boxes


def _loose(look: _Look, draft: Draft) -> bool:
    """Whether some layer's proven sums are wider than what was seen of its codes."""
    for node in draft.program.nodes:
        target = draft.program.tensor(node.output)
        if node.name in look.sums and node.op == "dense":
            lo, hi = look.sums[node.name]
            codes = draft.seen[target.id]
            seen = max(int(abs(codes).max()), 1) * target.format.step
            if max(-lo, hi) > _WORTH_CUTTING * seen:
                return True
    return False


def _fits(target: FixedTensor, use: Use, sums: tuple[Fraction, Fraction]) -> bool:
    """Whether sums of this range become codes of a node's output without saturation.

    What a table reads may saturate: its format was chosen to lose least.
    """
    if use.smooth is not None:
        return True
    lo, hi = (code(v, target.format.fb, target.rounding) for v in use.held(*sums))
    return word_length(lo, hi) <= target.format.bits


def _doubled(span: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction]:
    return 2 * min(span[0], Fraction(0)), 2 * max(span[1], Fraction(0))
