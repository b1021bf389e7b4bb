"""An activation the program computes code by code, against the network's curve.

The program's operator is run on every code that can stand before it, so nothing about tables or
interpolation is believed. Errors are kept as their extremes over blocks of codes, and over blocks
of blocks of doubling size, so that any range of codes is covered by two of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdeploy import ops
from qdeploy.diagnostics import QdeployError
from qdeploy.fixedpoint import Integers, QFormat, Rounding, round_shift
from qdeploy.ir import FixedNetwork, FixedNode
from qdeploy.proof.curves import OnGrid
from qdeploy.proof.dyadic import Interval, Raw, stored

LARGEST_LOOKUP_BITS = 16
"""Of the codes before an activation."""
_BLOCK_BITS = 10
"""At most 2**_BLOCK_BITS blocks are kept apart."""
_LEVELS = np.array([0, *(n.bit_length() - 1 for n in range(1, (1 << _BLOCK_BITS) + 1))])
"""Of n blocks: the largest level whose width is at most n."""
_NEURONS_AT_ONCE = 16
_CODES_AT_ONCE = 4096
_LARGEST_TABLE = 1 << 26
"""Codes times neurons that may stand in memory."""


class TableError(ValueError):
    """The program's activation is none that can be run on every code."""


@dataclass(frozen=True)
class Lookup:
    """Errors T(c) - phi(c) over blocks of 2**`block` codes; of a single code, its own."""

    before: QFormat
    rounding: Rounding
    block: int
    low: Raw
    """[levels, blocks, neurons or 1]: the least over 2**level blocks from there on."""
    high: Raw
    grid: int
    node: FixedNode
    program: FixedNetwork
    curve: OnGrid

    def codes(self, z: Interval) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the codes before the activation at both ends: rounding keeps the order."""
        shift = self.grid - self.before.fb
        low, high = (
            np.clip(
                round_shift(end, shift, self.rounding).astype(object),
                self.before.raw_min,
                self.before.raw_max,
            ).astype(np.int64)
            for end in (z.lo, z.hi)
        )
        return low, high

    def values(self, z: Interval) -> Interval:
        """Return the range of what the codes stand for."""
        shift = self.grid - self.before.fb
        return Interval(*(stored(c.astype(object) << shift, self.grid) for c in self.codes(z)))

    def errors(self, z: Interval) -> Interval:
        """Enclose T(c) - phi(c) over the codes that z can be rounded to."""
        codes = self.codes(z)
        first, last = (((c - self.before.raw_min) >> self.block) for c in codes)
        level = _LEVELS[last - first + 1]
        second = last + 1 - (1 << level)
        column = np.arange(self.low.shape[2]) if self.low.shape[2] > 1 else 0
        low, high = (
            (table[level, first, column], table[level, second, column])
            for table in (self.low, self.high)
        )
        blocks = Interval(np.minimum(*low), np.maximum(*high))
        single = codes[0] == codes[1]
        if self.block == 0 or not single.any():
            return blocks
        own = self.errors_at(codes[0])
        return Interval(np.where(single, own.lo, blocks.lo), np.where(single, own.hi, blocks.hi))

    def errors_at(self, codes: NDArray[np.int64]) -> Interval:
        """Enclose T(c) - phi(c) for codes [n, neurons]."""
        device = ops.known_ops()[self.node.op].execute(self.node, self.program, codes)
        scaled = device.astype(object) << (
            self.grid - self.program.tensor(self.node.output).format.fb
        )
        places = stored(codes.astype(object) << (self.grid - self.before.fb), self.grid)
        real = self.curve.range(Interval(places, places))
        return Interval(stored(scaled - real.hi, self.grid), stored(scaled - real.lo, self.grid))


def tabulated(node: FixedNode, program: FixedNetwork, curve: OnGrid, grid: int) -> Lookup:
    """Run a node on every code and enclose its errors.

    Raises:
        TableError: the codes are too many, or the node's numbers contradict each other.
    """
    source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
    before = source.format
    outputs = every_output(node, program)
    codes = np.arange(before.raw_min, before.raw_max + 1).astype(object)[:, None]
    places = stored(codes << (grid - before.fb), grid)
    block = max(0, before.bits - _BLOCK_BITS)
    lows, highs = [], []
    for start in range(0, max(outputs.shape[1], curve.width), _NEURONS_AT_ONCE):
        some = slice(start, start + _NEURONS_AT_ONCE)
        real = curve.only(some).range(Interval(places, places))
        same = outputs.shape[1] == 1
        device = outputs[:, slice(0, 1) if same else some].astype(object)
        device = device << (grid - target.format.fb)
        lows.append(_by_block(stored(device - real.hi, grid), block, np.minimum))
        highs.append(_by_block(stored(device - real.lo, grid), block, np.maximum))
    low, high = (np.concatenate(parts, axis=1) for parts in (lows, highs))
    return Lookup(
        before,
        source.rounding,
        block,
        _by_doubling(low, np.minimum),
        _by_doubling(high, np.maximum),
        grid,
        node,
        program,
        curve,
    )


def every_output(node: FixedNode, program: FixedNetwork) -> Integers:
    """Return what the node makes of every code, [codes, neurons], or [codes, 1] if all agree.

    Raises:
        TableError: the codes are too many, or the node's numbers contradict each other.
    """
    source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
    if source.format.bits > LARGEST_LOOKUP_BITS:
        raise TableError(f"codes of {source.format.bits} bits cannot all be tried")
    codes = np.arange(source.format.raw_min, source.format.raw_max + 1)
    if len(codes) * source.tensor.size > _LARGEST_TABLE:
        raise TableError(f"{len(codes)} codes of {source.tensor.size} neurons are too many to try")
    parts = []
    op = ops.known_ops()[node.op]
    try:
        op.c_values(node, program)
        for start in range(0, len(codes), _CODES_AT_ONCE):
            some = codes[start : start + _CODES_AT_ONCE, None]
            parts.append(op.execute(node, program, some.repeat(source.tensor.size, axis=1)))
    except (QdeployError, LookupError, ValueError, TypeError, ArithmeticError) as problem:
        # The node may come from a certificate that somebody else wrote.
        raise TableError(f"its numbers contradict each other ({problem})") from problem
    outputs = np.concatenate(parts)
    if outputs.min() < target.format.raw_min or outputs.max() > target.format.raw_max:
        raise TableError("it emits codes outside its format")
    return outputs[:, :1] if (outputs == outputs[:, :1]).all() else outputs


def _by_block(errors: Raw, block: int, pick: np.ufunc) -> Raw:
    cut = errors.reshape(-1, 1 << block, errors.shape[1])
    return np.asarray(pick.reduce(cut, axis=1))


def _by_doubling(blocks: Raw, pick: np.ufunc) -> Raw:
    """Return levels [level, block]: the extreme over 2**level blocks, as far as there are such."""
    levels = [blocks]
    width = 1
    while 2 * width <= len(blocks):
        last = levels[-1]
        following = np.concatenate([last[width:], last[-1:].repeat(width, axis=0)])
        levels.append(np.asarray(pick(last, following)))
        width *= 2
    return np.stack(levels)
