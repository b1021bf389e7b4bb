"""What hidden neurons typically emit, over a few inputs of the regions.

Exact rational arithmetic, so that every machine finds the same numbers.
"""

import random
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from qdeploy.ir import Box, FractionArray, Network, exact
from qdeploy.ops import known_ops

_MOST_POINTS = 64
_MOST_PRODUCTS = 4_000_000
"""Of weights and numbers, over all points: seconds."""
_PARTS = 64
"""Random inputs lie on so many steps of a box's sides."""
_BITS = 12
"""Significant bits of a number that is folded into a bias."""


def middles(network: Network, regions: tuple[Box, ...]) -> list[FractionArray]:
    """Return for every hidden dense layer the middle of what each neuron emits, [n].

    That is the mean of the least and the greatest value behind its activation, over some inputs:
    inside the true range, where an enclosure of that range may be many times too wide.
    """
    weights = sum(known_ops()[node.op].multiplications(node) for node in network.nodes)
    count = min(max(_MOST_PRODUCTS // max(weights, 1), len(_ENDS)), _MOST_POINTS)
    values, found, passed = _points(regions, count), [], False
    for node in network.nodes:
        if node.op == "dense":
            if passed:
                found.append(_middle(values))
            passed = True
        values, _ = known_ops()[node.op].enclose(node, values, values)
    return found


_ENDS = (Fraction(1, 2), Fraction(0), Fraction(1))
"""The first inputs of a region: its centre and two corners."""


def _points(regions: tuple[Box, ...], count: int) -> FractionArray:
    """Return inputs [count, n], those of all regions in turn."""
    stride = -(-len(regions) // count)
    turns = [_inputs(box, seed) for seed, box in enumerate(regions[::stride])]
    return exact([next(turns[k % len(turns)]) for k in range(count)])


def _inputs(box: Box, seed: int) -> Iterator[list[Fraction]]:
    for part in _ENDS:
        yield [lo + (hi - lo) * part for lo, hi in zip(box.lo, box.hi, strict=True)]
    draw = random.Random(seed)
    while True:
        parts = (Fraction(draw.randrange(_PARTS + 1), _PARTS) for _ in box.lo)
        yield [lo + (hi - lo) * part for lo, hi, part in zip(box.lo, box.hi, parts, strict=True)]


def _middle(values: FractionArray) -> FractionArray:
    ends = np.asarray(values.min(axis=0) + values.max(axis=0))
    return exact([_short(end / 2) for end in ends.tolist()])


def _short(value: Fraction) -> Fraction:
    """Return a value near by with few bits, so that a bias it enters keeps to few as well."""
    size = abs(value.numerator).bit_length() - value.denominator.bit_length()
    unit = Fraction(2) ** (size - _BITS)
    return round(value / unit) * unit
