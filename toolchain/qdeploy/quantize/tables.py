"""Smooth activations as tables: formats, how many values, and the node."""

from fractions import Fraction

import numpy as np

from qdeploy.fixedpoint import MAX_BITS, MAX_FRACTION, QFormat, Rounding, smallest_integer_bits
from qdeploy.ir import FixedArray, FixedNode, FixedTensor, Node
from qdeploy.ops import LOOKUP_BITS, Smooth, tabulated
from qdeploy.quantize.formats import smallest_format

_LARGEST_TABLE_BITS = 10
"""2**10 + 1 values at most: 2 KiB in 16 bits."""

_VALUE_BITS = 16
"""Of the values between which lines are drawn, at least: finer than a narrow output."""

_FINE_VALUE_BITS = 22
"""Of few values for a wide output: shifted by the 8 bits between them, 32 hold the sum."""

_FEW_VALUES_BITS = 8
_NARROW_OUTPUT_BITS = 12

_CURVE_BITS = 64
_GRID_BITS = 64


def table_input_format(
    curve: Smooth, lo: Fraction, hi: Fraction, bits: int, mode: Rounding, finest: int
) -> QFormat:
    """Return the format of at most 16 bits that loses least of the curve on [lo, hi].

    A smaller IB saturates earlier, where the curve is all but flat anyway; a larger one rounds
    more coarsely. The format with the least maximum of both errors is taken.
    """
    best = smallest_format(lo, hi, min(bits, LOOKUP_BITS), mode, finest)
    while best.fb < min(finest, MAX_FRACTION):
        finer = QFormat(best.ib - 1, best.fb + 1)
        if _loss(curve, lo, hi, finer) >= _loss(curve, lo, hi, best):
            break
        best = finer
    return best


def _loss(curve: Smooth, lo: Fraction, hi: Fraction, fmt: QFormat) -> Fraction:
    """Return the larger of the rounding error behind the steepest slope and of what saturates."""
    rounding = curve.steepest(_CURVE_BITS) * fmt.step / 2
    above = _value(curve, hi) - _value(curve, min(hi, fmt.max))
    below = _value(curve, max(lo, fmt.min)) - _value(curve, lo)
    return max(rounding, Fraction(above), Fraction(below))


def _value(curve: Smooth, at: Fraction) -> int:
    """Return the curve's value in units of 2**-64, a little below."""
    t = (at.numerator << _GRID_BITS) // at.denominator
    lo, _ = curve.value(np.array([t], dtype=object), _GRID_BITS, _CURVE_BITS)
    return int(lo[0])


def table_output_format(
    curve: Smooth, lo: Fraction, hi: Fraction, bits: int, mode: Rounding
) -> QFormat:
    """Return the format with the smallest IB for the curve on [lo, hi].

    A curve with a ceiling may saturate by the last step: 1 - 2**-FB instead of nearly 1 costs no
    more than one bit less would cost everywhere.
    """
    unit = 1 << _CURVE_BITS
    ends = Fraction(_value(curve, lo), unit), Fraction(_value(curve, hi), unit)
    cut = mode if curve.ceiling is None else Rounding.TRUNC
    return smallest_format(*ends, min(bits, LOOKUP_BITS), cut)


def table_node(curve: Smooth, node: Node, source: FixedTensor, target: FixedTensor) -> FixedNode:
    """Return the node; pre: codes of `source` have at most 16 bits."""
    shift = _spacing(curve, source.format, target.format)
    values = _value_format(curve, source.format, target.format, shift) if shift else target.format
    raw = tabulated(curve, source.format, values, shift)
    return FixedNode(
        node.name,
        node.op,
        node.inputs,
        node.output,
        {"values": FixedArray(raw, values)},
        {"shift": shift},
    )


def _spacing(curve: Smooth, source: QFormat, target: QFormat) -> int:
    """Return s: a value for each 2**s-th code, as few as leave lines next to the curve.

    A line between values h apart is off by at most h**2 / 8 times the curvature; a quarter of an
    output step is allowed. The largest table may leave more, about as much as the rounding of the
    table's input has cost already.
    """
    shift = max(source.bits - _LARGEST_TABLE_BITS, 0)
    while 0 < shift < source.bits:
        width = source.step * (2 << shift)
        if width * width * curve.curvature > 2 * target.step:
            break
        shift += 1
    return shift


def _value_format(curve: Smooth, source: QFormat, target: QFormat, shift: int) -> QFormat:
    """Return a format at least as fine as the output's that holds the curve at every code."""
    unit = 1 << _CURVE_BITS
    lo = Fraction(_value(curve, source.min), unit)
    hi = Fraction(_value(curve, source.max), unit)
    few = source.bits - shift <= _FEW_VALUES_BITS
    bits = _FINE_VALUE_BITS if few and target.bits > _NARROW_OUTPUT_BITS else _VALUE_BITS
    ib = max(smallest_integer_bits(lo, hi), 2 - target.fb)
    fb = min(max(bits - ib, target.fb), target.fb + bits, MAX_FRACTION)
    return QFormat(min(ib, MAX_BITS - fb), fb)
