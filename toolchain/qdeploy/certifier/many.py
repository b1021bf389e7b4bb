"""Claims for many regions at once, such as the balls around the samples of a data set.

Each region is one linear leaf on the sharp grid; all are analysed, attacked and later checked
together, which takes milliseconds a region where a claim of its own takes tenths of a second.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import encode
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.ops import evaluate, execute
from qdeploy.proof import kernel
from qdeploy.proof.certificate import RegionClaim
from qdeploy.proof.pair import MismatchError, Pairs, sharp_grid
from qdeploy.proof.tree import TreeError

Reals = NDArray[np.float64]

_TRIES = 48
_ROWS = 1 << 13
"""Inputs evaluated together, at most."""
_NUMBERS = 1 << 21
"""Of one array: 16 MiB."""


def together(
    network: Network, program: FixedNetwork, regions: Sequence[Box]
) -> tuple[RegionClaim, ...] | None:
    """Bound and attack all regions; None where this network needs its regions one by one."""
    try:
        grid = sharp_grid(program)
        pairs = Pairs(network, program)
        if kernel.beyond_linear(pairs.on(grid)):
            return None
        parts = kernel.prove_whole(pairs, regions, grid)
    except (MismatchError, TreeError):
        return None
    widest = max(tensor.size for tensor in network.tensors)
    size = max(1, min(_ROWS, _NUMBERS // widest) // _TRIES)
    rng = np.random.default_rng(0)
    points: list[tuple[Fraction, ...]] = []
    for start in range(0, len(regions), size):
        points += _farthest(network, program, regions[start : start + size], rng)
    shown = kernel.witnesses(network, program, points)
    return tuple(
        kernel.combine(box, [part], found)
        for box, part, found in zip(regions, parts, shown, strict=True)
    )


def _farthest(
    network: Network, program: FixedNetwork, regions: Sequence[Box], rng: np.random.Generator
) -> list[tuple[Fraction, ...]]:
    """Return of a few corners and inner points of each region the one that deviates most."""
    lo, hi = (np.array([[float(v) for v in getattr(b, s)] for b in regions]) for s in ("lo", "hi"))
    shape = (len(regions), _TRIES, lo.shape[1])
    share = rng.random(shape)
    share[:, : _TRIES // 2] = share[:, : _TRIES // 2].round()
    low, high = lo[:, None], hi[:, None]
    x = np.clip(low * (1.0 - share) + high * share, low, high)
    rows = x.reshape(-1, shape[2])
    codes = encode(rows, program.input.format, program.input.rounding)
    device = execute(program, codes) * float(program.output.format.step)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(np.nan_to_num(evaluate(network, rows)) - device).max(axis=1)
    best = x[np.arange(len(regions)), apart.reshape(shape[:2]).argmax(axis=1)]
    return [tuple(Fraction(v) for v in row) for row in best.tolist()]
