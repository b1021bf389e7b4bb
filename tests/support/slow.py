"""The integer program once more, one Python integer at a time: slow, plain, and independent."""

import math
from fractions import Fraction

from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FixedNetwork, FixedNode


def rounded(value: Fraction, mode: Rounding) -> int:
    """The definition of the three modes, by cases."""
    below = math.floor(value)
    if mode is Rounding.FLOOR or value == below:
        return below
    if mode is Rounding.TRUNC:
        return below if value > 0 else below + 1
    return below + 1 if value - below >= Fraction(1, 2) else below


def quantised(value: Fraction, fmt: QFormat, mode: Rounding) -> int:
    """The code of a real: rounded, then saturated."""
    return min(max(rounded(value / fmt.step, mode), fmt.raw_min), fmt.raw_max)


def sums(node: FixedNode, codes: list[int]) -> list[int]:
    """A dense layer's accumulators."""
    weight, bias = node.arrays["weight"].raw.tolist(), node.arrays["bias"].raw.tolist()
    return [
        offset + sum(w * c for w, c in zip(row, codes, strict=True))
        for row, offset in zip(weight, bias, strict=True)
    ]


def unclamped(program: FixedNetwork, node: FixedNode, codes: list[int]) -> list[int]:
    """What a dense layer's sums round to, before the clamp."""
    mode = program.tensor(node.output).rounding
    scale = Fraction(2) ** -node.integers["shift"]
    return [rounded(total * scale, mode) for total in sums(node, codes)]


def run_slowly(program: FixedNetwork, codes: list[int]) -> dict[str, list[int]]:
    """The codes of every tensor for one input."""
    values = {program.inputs[0]: codes}
    for node in program.nodes:
        source = values[node.inputs[0]]
        if node.op == "dense":
            low, high = node.integers["clamp_lo"], node.integers["clamp_hi"]
            values[node.output] = [min(max(c, low), high) for c in unclamped(program, node, source)]
        else:
            values[node.output] = activated(program, node, source)
    return values


def activated(program: FixedNetwork, node: FixedNode, codes: list[int]) -> list[int]:
    """An activation of codes, each on its own."""
    if node.op == "relu":
        return [max(c, 0) for c in codes]
    if node.op == "clip":
        return [sorted((node.integers["clamp_lo"], c, node.integers["clamp_hi"]))[1] for c in codes]
    source, target = program.tensor(node.inputs[0]), program.tensor(node.output)
    if node.op == "leaky_relu":
        slope = node.arrays["slope"]
        slopes = [int(raw) * slope.format.step for raw in slope.raw] * len(codes)
        return [
            c if c >= 0 else quantised(c * s * target.format.step, target.format, target.rounding)
            for c, s in zip(codes, slopes, strict=False)
        ]
    return [
        quantised(interpolated(source.format, node, c), target.format, target.rounding)
        for c in codes
    ]


def interpolated(source: QFormat, node: FixedNode, code: int) -> Fraction:
    """The straight line between the two values beside a code, as a real."""
    values = node.arrays["values"]
    place = Fraction(code - source.raw_min, 1 << node.integers["shift"])
    left = math.floor(place)
    before, after = (int(values.raw[min(i, len(values.raw) - 1)]) for i in (left, left + 1))
    return (before + (after - before) * (place - left)) * values.format.step


def some_inputs(box: Box, rng, count: int) -> list[list[Fraction]]:
    """Corners of the box and random doubles inside it."""
    points = [list(box.lo), list(box.hi)]
    for _ in range(count):
        corner = rng.random() < 0.5
        share = [float(rng.integers(2)) if corner else rng.random() for _ in box.lo]
        points.append(
            [
                min(max(Fraction(float(a) + s * (float(b) - float(a))), a), b)
                for a, b, s in zip(box.lo, box.hi, share, strict=True)
            ]
        )
    return points
