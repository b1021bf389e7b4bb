"""Smaller integer parts for automatic activations, from ranges that linear bounds prove.

Plain intervals grow from layer to layer, and every doubling costs a fraction bit. So the program is
made once with them, its sums are enclosed by back-substitution, and formats are chosen again from
these enclosures. The formats change the program, hence the enclosures: they are derived again for
the program that was chosen, and a layer that could saturate gets its bit back.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction

from qdeploy.ir import FixedNetwork, FixedTensor, Network, QuantizeRequest
from qdeploy.proof.pair import MismatchError, align, coarse_grid
from qdeploy.proof.ranges import analyse, analysis_operations, boxes_on_grid
from qdeploy.quantize.formats import code, word_length
from qdeploy.quantize.uses import Use, dense_uses

Ranges = Mapping[str, tuple[Fraction, Fraction]]
"""By node: enclosure of its sums over all regions, in real units, before rounding."""

Assemble = Callable[[Ranges], FixedNetwork]

_ATTEMPTS = 5
_MOST_OPERATIONS = 10_000_000_000
"""About a quarter of a minute of analysis."""


def tightened(network: Network, request: QuantizeRequest, assemble: Assemble) -> FixedNetwork:
    """Return `assemble`'s program with the smallest formats that provably do not saturate."""
    uses = dense_uses(network)
    program = assemble({})
    proven = _sums(network, request, program)
    for _ in range(_ATTEMPTS):
        if not proven:
            break
        candidate = assemble(proven)
        found = _sums(network, request, candidate)
        outputs = {node.name: candidate.tensor(node.output) for node in candidate.nodes}
        saturating = {
            name
            for name, use in uses.items()
            if name in found and not _fits(outputs[name], use, found[name])
        }
        if found and not saturating:
            return candidate
        proven = {
            name: _doubled(span) if name in saturating else span for name, span in proven.items()
        }
    return program


def _sums(network: Network, request: QuantizeRequest, program: FixedNetwork) -> Ranges:
    """Enclose every node's sums over the regions; empty where that is too much work."""
    try:
        pair = align(network, program, coarse_grid(program))
    except MismatchError:
        return {}
    if analysis_operations(pair, len(request.regions)) > _MOST_OPERATIONS:
        return {}
    found = analyse(pair, boxes_on_grid(request.regions, pair.grid), use_linear=True)
    step = Fraction(1, 1 << pair.grid)
    return {
        layer.name: (int(ranges.sums.lo.min()) * step, (int(ranges.sums.hi.max()) + 1) * step)
        for layer, ranges in zip(pair.layers, found.layers, strict=True)
    }


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
