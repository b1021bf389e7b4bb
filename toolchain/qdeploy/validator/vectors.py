"""Test vectors: real inputs, their codes, and the codes the program answers.

Every vector must come back bit for bit; those inside a certified region must also keep its bound.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdeploy.diagnostics import InputError, Where
from qdeploy.fixedpoint import Rounding, encode
from qdeploy.ir import Box, FixedNetwork, Network, Vectors
from qdeploy.ops import evaluate, execute
from qdeploy.reading import Kind, read_array

Reals = NDArray[np.float64]

VECTORS = Kind(
    "the vectors",
    1 << 28,
    "give an .npz file with an array 'x' of one input a row (numpy.savez(file, x=x))",
    "store fewer vectors",
)

_HALF = 0.5

_CANDIDATES = 16
"""Of so many random inputs the one is taken on which network and program differ most."""
_NUMBERS_AT_ONCE = 1 << 21
"""Of the widest tensor, where these are tried."""
_FEWEST = 16
_MOST_NUMBERS = 1 << 21
"""Inputs and outputs of all vectors, where nobody says how many there are to be."""


def usual_count(network: Network, most: int) -> int:
    """Return how many vectors a build tries: fewer, where they are thousands of numbers long."""
    numbers = network.inputs[0].size + network.outputs[0].size
    return max(_FEWEST, min(most, _MOST_NUMBERS // numbers))


def choose_vectors(
    network: Network, fixed: FixedNetwork, regions: tuple[Box, ...], count: int, seed: int
) -> Vectors:
    """Return `count` vectors; equal arguments give equal vectors.

    An eighth are extremes of the input format, mostly outside the regions; the others lie
    inside: corners, rounding ties, and random inputs, half of them chosen for their deviation.
    """
    rng = np.random.default_rng(seed)
    eighth = count // 8
    inside = count - eighth
    anywhere = _between(*_some(regions, inside - 3 * (inside // 4), rng), rng)
    x = np.concatenate(
        [
            anywhere,
            _extremes(fixed, eighth, rng),
            _corners(regions, inside // 4, rng),
            _ties(fixed, regions, inside // 4, rng),
            _telling(network, fixed, regions, inside // 4, rng),
        ]
    )
    return _vectors(fixed, x)


def _vectors(fixed: FixedNetwork, x: Reals) -> Vectors:
    codes = encode(x, fixed.input.format, fixed.input.rounding)
    return Vectors(x, codes, execute(fixed, codes))


def _corners(regions: tuple[Box, ...], count: int, rng: np.random.Generator) -> Reals:
    """Return corners of regions, the lowest and the highest of each first."""
    lo, hi = _sides(regions, np.arange(count) // 2 % len(regions))
    upper = rng.random(lo.shape) < _HALF
    first = min(count, 2 * len(regions))
    upper[:first] = (np.arange(first) % 2 == 1)[:, None]
    return np.where(upper, hi, lo)


def _between(lo: Reals, hi: Reals, rng: np.random.Generator) -> Reals:
    """Return a random row between each lower and upper one.

    Not lo + share * (hi - lo), for the width may lie beyond the doubles.
    """
    share = rng.random(lo.shape)
    return np.asarray(np.clip(lo * (1.0 - share) + hi * share, lo, hi))


def _some(regions: tuple[Box, ...], count: int, rng: np.random.Generator) -> tuple[Reals, Reals]:
    return _sides(regions, rng.integers(len(regions), size=count))


def _sides(regions: tuple[Box, ...], which: NDArray[np.int64]) -> tuple[Reals, Reals]:
    """Return the lower and the upper corners of the named regions, a row each."""
    lo = np.array([[float(v) for v in box.lo] for box in regions])
    hi = np.array([[float(v) for v in box.hi] for box in regions])
    return lo[which], hi[which]


def _extremes(fixed: FixedNetwork, count: int, rng: np.random.Generator) -> Reals:
    """Return the values of extreme codes: all least, all greatest, all zero, then mixtures."""
    fmt = fixed.input.format
    choices = np.array([fmt.raw_min, fmt.raw_max, 0, -1])
    picked = rng.integers(len(choices), size=(count, fixed.input.tensor.size))
    first = min(count, 3)
    picked[:first] = np.arange(first)[:, None]
    codes = choices[picked]
    codes[first::2] = rng.integers(fmt.raw_min, fmt.raw_max + 1, size=codes[first::2].shape)
    return codes * float(fmt.step)


def _ties(
    fixed: FixedNetwork, regions: tuple[Box, ...], count: int, rng: np.random.Generator
) -> Reals:
    """Return inputs on the border between two codes, or the next double below it."""
    fmt, mode = fixed.input.format, fixed.input.rounding
    lo, hi = _some(regions, count, rng)
    x = _between(lo, hi, rng)
    border = encode(x, fmt, mode) - (_HALF if mode is Rounding.NEAREST else 0.0)
    at = border * float(fmt.step)
    tie = np.where(rng.random(x.shape) < _HALF, np.nextafter(at, -np.inf), at)
    # A border that lies outside its region gives way to the random input it was made from.
    return np.where((lo <= tie) & (tie <= hi), tie, x)


def _telling(
    network: Network,
    fixed: FixedNetwork,
    regions: tuple[Box, ...],
    count: int,
    rng: np.random.Generator,
) -> Reals:
    """Return random inputs of larger deviation than their likes."""
    widest = max(tensor.size for tensor in network.tensors)
    size = max(1, _NUMBERS_AT_ONCE // (_CANDIDATES * widest))
    counts = [min(size, count - start) for start in range(0, count, size)]
    some = [_most_telling(network, fixed, regions, part, rng) for part in counts]
    return np.concatenate([np.zeros((0, network.inputs[0].size)), *some])


def _most_telling(
    network: Network,
    fixed: FixedNetwork,
    regions: tuple[Box, ...],
    count: int,
    rng: np.random.Generator,
) -> Reals:
    x = _between(*_some(regions, _CANDIDATES * count, rng), rng)
    step = float(fixed.output.format.step)
    answers = _vectors(fixed, x).expected * step
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = np.nan_to_num(np.abs(evaluate(network, x) - answers).max(axis=1))
    best = deviation.reshape(count, _CANDIDATES).argmax(axis=1)
    return np.asarray(x[best + _CANDIDATES * np.arange(count)])


def read_vectors(path: Path, network: Network, fixed: FixedNetwork) -> Vectors:
    """Read inputs from an array [n, ...] of an .npz file, `x` or the only one.

    Extents behind n are flattened.

    Raises:
        InputError: no such file, no such array, not finite real numbers, or another size.
    """
    array = read_array(path, VECTORS)
    size = network.inputs[0].size
    if array.ndim < 2 or not len(array) or array[0].size != size:  # noqa: PLR2004
        raise InputError(
            f"the vectors have the shape {list(array.shape)}",
            where=Where(str(path)),
            fix=f"store one row of {size} numbers for every vector",
        )
    if not np.isfinite(array).all():
        raise InputError(
            "the vectors hold something that is no finite real number",
            where=Where(str(path)),
            fix="store finite float64 or float32 values",
        )
    return _vectors(fixed, array.reshape(len(array), size).astype(np.float64))
