"""What a person should be told who got an answer that is of little use, and which option helps.

Nothing here is proven or refused: these are facts about the program and about a few inputs that
were tried, in words.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy import certifier
from qdeploy.fixedpoint import MAX_BITS, encode
from qdeploy.ir import Box, FixedNetwork, FixedTensor, Network
from qdeploy.ir.printing import text_down, text_up
from qdeploy.ops import LOOKUP_BITS, evaluate, execute_all, known_ops
from qdeploy.pipeline.options import Norm, Options, read_norm, read_tolerance
from qdeploy.report.values import Bound, Material, Origins, Statement

Reals = NDArray[np.float64]

_TRIED = 128
_FEWEST = 8
_MOST_NUMBERS = 1 << 22
"""In all layers, over the inputs that are tried."""
_DIGITS = 3
_HALF = Fraction(1, 2)
_LARGE_GAP = Fraction(3, 2)
"""Between bound and attack: beyond it a tighter proof may exist."""
_STAYS = frozenset({certifier.PRUNING, certifier.SATURATION})
"""Sources of a deviation that a further fraction bit does not halve."""
_FORMATS = ("weights", "biases", "activations", "input-format")


def remarks(
    reference: Network, runs: Network, fixed: FixedNetwork, statement: Statement, options: Options
) -> tuple[str, ...]:
    """Return what is odd about a program, the network `runs` in integers, and about its bound."""
    x = _inputs([r.box for r in statement.regions], _rows(fixed))
    lost = tuple(_weights(runs, fixed, _finer(options, "weights")))
    # A layer without weights stands still whatever its format is.
    still = () if lost else _constant(runs, fixed, x, _finer(options, "activations"))
    return (*lost, *still, *_loose(reference, statement, x, _finer(options, *_FORMATS)))


def _rows(fixed: FixedNetwork) -> int:
    """Return how many inputs may be tried in little memory."""
    return min(_TRIED, max(_FEWEST, _MOST_NUMBERS // sum(t.tensor.size for t in fixed.tensors)))


def _inputs(regions: Sequence[Box], count: int) -> Reals:
    """Return inputs of the regions: corners, and random ones between."""
    rng = np.random.default_rng(0)
    which = [i * len(regions) // count for i in range(count)]
    corners = {
        i: [[float(v) for v in side] for side in (regions[i].lo, regions[i].hi)] for i in set(which)
    }
    lo, hi = (np.array([corners[i][end] for i in which]) for end in (0, 1))
    share = rng.random(lo.shape)
    share[0], share[1] = 0.0, 1.0
    share[2::4] = share[2::4].round()
    return np.asarray(np.clip(lo * (1.0 - share) + hi * share, lo, hi))


def _given(options: Options, *names: str) -> list[str]:
    """Return which of these options fix a format, so that --bits has no say in it."""
    chosen = (None, "auto", "exact")
    return [n for n in names if getattr(options, n.replace("-", "_")) not in chosen]


def _finer(options: Options, *names: str) -> str:
    """Return how formats become finer."""
    given = [f"--{name}" for name in _given(options, *names)]
    if not given:
        return "more --bits"
    finer = f"more fraction bits in {' and '.join(given)}"
    return finer if len(names) == 1 else f"more --bits, and {finer}"


# --- the program -----------------------------------------------------------------------------


def _weights(runs: Network, fixed: FixedNetwork, finer: str) -> Iterator[str]:
    """Tell of layers of which most weights are gone."""
    stored = {node.name: node.arrays["weight"] for node in fixed.nodes if "weight" in node.arrays}
    for node in runs.nodes:
        array = stored.get(node.name)
        if array is None or "weight" not in node.parameters:
            continue
        there = node.parameters["weight"] != 0
        lost = int((there & (array.raw == 0)).sum())
        total = int(there.sum())
        if lost <= _HALF * total:
            continue
        sizes = [abs(value) for value in node.parameters["weight"][there].tolist()]
        which = "all" if lost == total else f"{lost} of"
        yield (
            f"{which} the {total} weights of layer {node.name} ({node.source or node.op}) that are "
            f"not zero become zero: {array.format} has steps of {_up(array.format.step)}, and they "
            f"are {_down(min(sizes))} to {_up(max(sizes))} in magnitude; give {finer}, or see "
            "whether the largest is meant"
        )


def _constant(runs: Network, fixed: FixedNetwork, x: Reals, finer: str) -> Iterator[str]:
    """Tell of the first layer that answers always the same, though the network does not."""
    codes = execute_all(fixed, encode(x, fixed.input.format, fixed.input.rounding))
    values = _values(runs, x)
    for tensor in fixed.tensors:
        wanted = values.get(tensor.id)
        if wanted is None or not _stands_still(tensor, codes[tensor.id], wanted):
            continue
        always = "the same" if codes[tensor.id].any() else "zero"
        yield (
            f"tensor {tensor.id} is always {always} on the {len(x)} inputs tried, though the "
            f"network's values are up to {_shown(np.abs(wanted).max())} in magnitude that move by "
            f"{_shown(_spread(wanted))}: {tensor.format} has steps of {_up(tensor.format.step)} "
            f"and ends at {_down(tensor.format.max)}; give {finer}, or another range"
        )
        return


def _stands_still(tensor: FixedTensor, codes: NDArray[np.int64], wanted: Reals) -> bool:
    """Whether no code moves, though values move by a step or more, or are all lost."""
    if (codes != codes[0]).any():
        return False
    moves = _spread(wanted) >= float(tensor.format.step)
    return bool(moves or (not codes.any() and wanted.any()))


def _values(network: Network, x: Reals) -> dict[str, Reals]:
    """Return the values of every tensor, in double precision."""
    values = {network.inputs[0].id: x}
    with np.errstate(over="ignore", invalid="ignore"):
        for node in network.nodes:
            value = known_ops()[node.op].evaluate(node, values[node.inputs[0]])
            values[node.output] = np.nan_to_num(value)
    return values


def _spread(values: Reals) -> float:
    """Return by how much the value moves that moves most."""
    with np.errstate(over="ignore"):
        return float((values.max(axis=0) - values.min(axis=0)).max())


# --- the bound -------------------------------------------------------------------------------


def _loose(reference: Network, statement: Statement, x: Reals, finer: str) -> Iterator[str]:
    """Tell of a bound that is larger than all that the output does."""
    if statement.bound is None:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = np.nan_to_num(evaluate(reference, x))
    lows, highs = outputs.min(axis=0).tolist(), outputs.max(axis=0).tolist()
    over = [
        (float(bound) / (high - low), index)
        for index, (bound, low, high) in enumerate(
            zip(statement.bound.per_output, lows, highs, strict=True)
        )
        if low < high and float(bound) > high - low
    ]
    if not over:
        return
    index = max(over)[1]
    bound, found = statement.bound.per_output[index], statement.found.per_output[index]
    yield (
        f"the bound on output {index}, {_up(bound)}, is larger than all that the output does on "
        f"the {len(x)} inputs tried ({_shown(lows[index])} .. {_shown(highs[index])}), so it says "
        f"nothing of how the device follows the network there; {_what_helps(bound, found, finer)}"
    )


def _what_helps(bound: Fraction, found: Fraction, finer: str) -> str:
    if 2 * found >= bound:
        return f"give {finer}: an input was found that deviates by {_down(found)}"
    return f"give {finer}, smaller regions or more --work"


def _up(value: Fraction) -> str:
    return text_up(value, _DIGITS)


def _down(value: Fraction) -> str:
    return text_down(value, _DIGITS)


def _shown(value: float) -> str:
    return f"{value:.{_DIGITS}g}"


# --- a tolerance that is missed --------------------------------------------------------------


def for_tolerance(material: Material, options: Options) -> str:
    """Return what would help where --tolerance is missed; nothing where it is kept or not given."""
    statement, tolerance = material.statement, read_tolerance(options)
    bound = statement.bound
    if tolerance is None or bound is None:
        return ""
    proven = _in_norm(bound, options)
    if proven <= tolerance:
        return ""
    stays = proven * _lasting_share(material.origins)
    more = _bits_that_would_do(proven, stays, tolerance)
    said = [_bits_in_words(more, stays, _most_bits(material.fixed), options)]
    if statement.found.linf <= tolerance and _proof_may_gain(statement, tolerance, proven):
        said.append("a tighter proof may exist as well: give more --work, or smaller regions")
    return "; ".join(said)


def _in_norm(bound: Bound, options: Options) -> Fraction:
    return bound.linf if read_norm(options) is Norm.INF else bound.l2


def _proof_may_gain(statement: Statement, tolerance: Fraction, proven: Fraction) -> bool:
    """Whether the rest of the way may be the proof's, not the roundings'."""
    free = Fraction(statement.relaxed or 0)
    return free <= tolerance and proven > _LARGE_GAP * max(statement.found.linf, free)


def _lasting_share(origins: Origins | None) -> Fraction:
    """Return the share of the bound that more bits leave as it is."""
    shares = () if origins is None else origins.origins
    return sum((Fraction(o.share) for o in shares if o.source in _STAYS), Fraction(0))


def _bits_that_would_do(proven: Fraction, stays: Fraction, tolerance: Fraction) -> int | None:
    """Estimate how many bits more keep a tolerance: each halves what does not stay."""
    for more in range(1, MAX_BITS):
        if stays + (proven - stays) / 2**more <= tolerance:
            return more
    return None


def _most_bits(fixed: FixedNetwork) -> int:
    """Return up to where more --bits make every format finer: a table reads no more than 16."""
    return LOOKUP_BITS if any("values" in node.arrays for node in fixed.nodes) else MAX_BITS


def _bits_in_words(more: int | None, stays: Fraction, most: int, options: Options) -> str:
    given = [f"--{name}" for name in _given(options, *_FORMATS)]
    if more is None and stays:
        return f"more bits do not help: {_up(stays)} of the bound are pruning and saturation"
    if more is None or options.bits + more > most:
        why = "" if most == MAX_BITS else ", beyond which tables do not become finer,"
        return f"no --bits up to {most}{why} would do, as far as the shares of the bound tell"
    finer = f"{more} fraction bit{'' if more == 1 else 's'} more in {' and '.join(given)}"
    also = f", and {finer}," if given else ""
    bits = f"about --bits {options.bits + more}{also} would do"
    return f"{bits} (estimated from the shares of the bound)"


__all__ = ["for_tolerance", "remarks"]
