"""Enclosures of everything that happens inside f and g over a box: intervals, then linear bounds.

For every layer: y of the network, z of the program, d = z - y, and behind the activation the
network's a, the program's b and the deviation e = b - a (docs/CERTIFICATES.md). Intervals go
forward; `use_linear` tightens y, z and d by substituting linear relaxations back through all
earlier layers, on (a, e) jointly.
"""

from fractions import Fraction

import numpy as np

from qdeploy.fixedpoint import round_fraction, rounding_error
from qdeploy.ir import Box
from qdeploy.proof import linear
from qdeploy.proof.dyadic import (
    Interval,
    Raw,
    ceil_to_grid,
    floor_to_grid,
    matmul,
    negative,
    positive,
    product_range,
    up,
)
from qdeploy.proof.enclosure import LayerRanges, Ranges, Signal
from qdeploy.proof.pair import Layer, Pair


def analyse(pair: Pair, box: Box, *, use_linear: bool) -> Ranges:
    """Enclose every quantity of the pair over the box."""
    entering = input_signal(pair, box)
    found: list[LayerRanges] = []
    for index, layer in enumerate(pair.layers):
        signal = entering if index == 0 else found[-1].out
        y, z, d = _affine(pair, layer, signal)
        if use_linear and index > 0:
            before = Ranges(entering, tuple(found))
            tighter = linear.back_substitute(pair, before, layer)
            y, z, d = y.meet(tighter.y), z.meet(tighter.z), d.meet(tighter.d)
        d = d.meet(z - y)
        found.append(_activate(pair, layer, y, z, d))
    return Ranges(entering, tuple(found))


def input_signal(pair: Pair, box: Box) -> Signal:
    """Return x, its quantised value and the quantisation error over the box."""
    a = _interval(pair, box.lo, box.hi)
    fmt, mode = pair.input, pair.input_rounding
    codes = [
        [min(max(round_fraction(v / fmt.step, mode), fmt.raw_min), fmt.raw_max) for v in side]
        for side in (box.lo, box.hi)
    ]
    b = _interval(pair, [c * fmt.step for c in codes[0]], [c * fmt.step for c in codes[1]])
    errors = [
        rounding_error(lo, hi, fmt, mode, None) for lo, hi in zip(box.lo, box.hi, strict=True)
    ]
    e = _interval(pair, [low for low, _ in errors], [high for _, high in errors])
    return Signal(a, b, e.meet(b - a))


def _affine(pair: Pair, layer: Layer, s: Signal) -> tuple[Interval, Interval, Interval]:
    grid = pair.grid
    y = product_range(layer.w, s.a, grid).shifted(layer.c)
    z = product_range(layer.v, s.b, grid).shifted(layer.v_bias)
    moved = product_range(layer.v - layer.w, s.a, grid).shifted(layer.v_bias - layer.c)
    return y, z, product_range(layer.v, s.e, grid) + moved


def _activate(pair: Pair, layer: Layer, y: Interval, z: Interval, d: Interval) -> LayerRanges:
    r = _rounding(pair, layer, z)
    if not layer.relu:
        return LayerRanges(y, z, d, r, Signal(y, z + r, d + r))
    a, kept = y.relu(), z.relu()
    # |relu(z) - relu(y)| never exceeds |z - y| and has its sign.
    e = Interval(negative(d.lo), positive(d.hi)).meet(kept - a)
    on = (y.lo >= 0) & (z.lo >= 0)
    e = e.meet(Interval(np.where(on, d.lo, e.lo), np.where(on, d.hi, e.hi)))
    b = kept + r
    out = Signal(a, Interval(positive(b.lo), b.hi), e + r)
    return LayerRanges(y, z, d, r, Signal(out.a, out.b, out.e.meet(out.b - out.a)))


def _rounding(pair: Pair, layer: Layer, z: Interval) -> Interval:
    """Enclose b - phi(z): the rounding shift and the saturation of every neuron.

    With a ReLU only z >= 0 counts: below, program and ReLU both give 0 in every rounding mode.
    """
    scale = Fraction(1, 1 << pair.grid)
    low, high = [], []
    for z_lo, z_hi in zip(z.lo, z.hi, strict=True):
        lo, hi = z_lo * scale, z_hi * scale
        error = (Fraction(0), Fraction(0))
        if not layer.relu:
            error = rounding_error(lo, hi, layer.output, layer.rounding, layer.z_step)
        elif hi > 0:
            start = max(lo, Fraction(0))
            error = rounding_error(start, hi, layer.output, layer.rounding, layer.z_step)
        if layer.relu and lo < 0:
            error = (min(error[0], Fraction(0)), max(error[1], Fraction(0)))
        low.append(error[0])
        high.append(error[1])
    return _interval(pair, low, high)


def _interval(
    pair: Pair, lo: tuple[Fraction, ...] | list[Fraction], hi: tuple[Fraction, ...] | list[Fraction]
) -> Interval:
    return Interval(
        np.array([floor_to_grid(v, pair.grid) for v in lo], dtype=object),
        np.array([ceil_to_grid(v, pair.grid) for v in hi], dtype=object),
    )


def reference_error(pair: Pair, ranges: Ranges) -> Raw:
    """Bound |f - f'| per output, f' being f with its parameters rounded onto the proof's grid.

    Zero when every parameter lies on the grid, as float32 parameters of usual size do.
    """
    error = np.array([0] * pair.layers[0].w.shape[1], dtype=object)
    for index, layer in enumerate(pair.layers):
        reach = ranges.signal(index).a.magnitude + error
        error = up(matmul(abs(layer.w), error[:, None])[:, 0], pair.grid)
        if layer.inexact:
            # Every entry moved by at most half a unit of the grid, the bias likewise.
            error = error + up(np.array([int(reach.sum())], dtype=object), pair.grid) + 1
    return error


def recursion_bound(pair: Pair, ranges: Ranges) -> int:
    """Bound every output's deviation by one number, layer norm by layer norm.

    D_0 = sup |Q(x) - x|; D_k+1 = |V|_inf D_k + max_i (sum_j |V - W|_ij sup|a_j| + |v - c|_i) + rho
    (docs/CERTIFICATES.md, "Recursion"). Needs no more than the network's own ranges.
    """
    deviation = int(ranges.input.e.magnitude.max())
    for index, layer in enumerate(pair.layers):
        reach = ranges.signal(index).a.magnitude
        norm = int(abs(layer.v).sum(axis=1).max())
        moved = matmul(abs(layer.v - layer.w), reach[:, None])[:, 0]
        source = up(moved, pair.grid) + abs(layer.v_bias - layer.c)
        rounding = int(ranges.layers[index].r.magnitude.max())
        deviation = -((-norm * deviation) >> pair.grid) + int(source.max()) + rounding
    return deviation
