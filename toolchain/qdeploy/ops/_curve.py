"""What a proof may use of an activation: exact numbers about its curve, nothing of its code.

An activation acts on every neuron for itself. It is either piecewise linear, with its numbers
given, or smooth: monotone and described by enclosures of its value and slope wherever asked.
What cannot be true of any curve is refused, here and wherever enclosures are asked for by `at`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from qdeploy.fixedpoint import Integers
from qdeploy.ir import FractionArray
from qdeploy.ops._knots import Ends, Knotted

LOOKUP_BITS = 16
"""Of the codes that an activation other than a clamp reads, at most: all of them can be tried."""

_BITS = 64
"""Of the enclosures that a new curve is tried with."""
_TRIED = ((0, 8), (-12, 5), (12, 5), (32, 4))
"""(n, m): 2**m knots on each side of 0, up to 2**n times the reach rounded up to a power of two."""
_NEAR = 64
"""At its reach a curve has come within a 64th of all it rises."""


@dataclass(frozen=True, slots=True)
class PiecewiseLinear:
    """A continuous curve per neuron (or one for all: n = 1) out of k + 1 straight pieces.

    Piece i has `slopes[i]` and lies between `breakpoints[i - 1]` and `breakpoints[i]`.
    """

    breakpoints: FractionArray
    """[k, n], ascending along the first axis, k >= 1."""
    slopes: FractionArray
    """[k + 1, n]."""
    first: FractionArray
    """[n]: the value at `breakpoints[0]`."""

    def __post_init__(self) -> None:
        numbers = {"breakpoints": 2, "slopes": 2, "first": 1}
        arrays = {name: getattr(self, name) for name in numbers}
        for name, dimensions in numbers.items():
            if not _is_exact(arrays[name], dimensions):
                raise ValueError(f"{name} of a curve are no exact array of {dimensions} dimensions")
        pieces, bends = len(self.slopes), len(self.breakpoints)
        if bends < 1 or pieces != bends + 1:
            raise ValueError(f"{bends} breakpoints are none of {pieces} pieces of a curve")
        if len({array.shape[-1] for array in arrays.values()} - {1}) > 1:
            raise ValueError("breakpoints, slopes and first value are of different neurons")
        if not (self.breakpoints[1:] > self.breakpoints[:-1]).all():
            raise ValueError("the breakpoints of a curve do not ascend")


Enclosing = Callable[[Integers, int, int], Ends]
"""(t, fb, bits) -> (lo, hi): lo <= phi(t * 2**-fb) * 2**bits <= hi, integers elementwise."""


@dataclass(frozen=True, slots=True)
class Smooth:
    """A curve that never falls, alike for all neurons.

    It is convex below `inflection` and concave above it; None: convex everywhere. On either side
    of 0 its slope changes by at most `curvature` times the way; at 0 the slope may jump. A curve
    that goes on straight is convex everywhere, or turns at 0; any other has both limits.
    """

    value: Enclosing
    slope: Enclosing
    """At 0 it encloses the slopes of both sides."""
    curvature: Fraction
    inflection: Fraction | None
    """No further from 0 than `reach`, its denominator a power of two."""
    floor: Fraction
    """The limit towards -infinity."""
    ceiling: Fraction | None
    """The limit towards +infinity; None: phi(t) = t for t >= 0."""
    reach: int
    """Beyond +-reach a proof knows the limits alone: there the curve must be all but there."""

    def __post_init__(self) -> None:
        self._check_numbers()
        bits = (self.reach - 1).bit_length()
        for times, knots in _TRIED:
            self.at(np.arange(-(1 << knots), (1 << knots) + 1), knots - bits - times, _BITS)
        self._check_reach()

    def at(self, places: Integers, fb: int, bits: int) -> tuple[Ends, Ends]:
        """Enclose value and slope at the knots `places * 2**-fb`, in units of 2**-bits.

        pre: places are integers that follow each other.

        Raises:
            ValueError: no curve is as the enclosures and the other facts say.
        """
        places = np.asarray(places).astype(object)
        knots = Knotted(
            places, fb, bits, self.value(places, fb, bits), self.slope(places, fb, bits)
        )
        knots.are_integers()
        knots.never_fall()
        knots.turn_at(self.inflection)
        knots.bend_at_most(self.curvature)
        knots.lie_between(self.floor, self.ceiling)
        return knots.value, knots.slope

    def steepest(self, bits: int) -> int:
        """Return a bound on every slope, in units of 2**-bits: that at the inflection, or at 0."""
        at = Fraction(0) if self.inflection is None else self.inflection
        place = np.array([at.numerator], dtype=object)
        return int(self.slope(place, at.denominator.bit_length() - 1, bits)[1][0])

    def _check_numbers(self) -> None:
        at = self.inflection
        if self.reach < 1:
            raise ValueError(f"a curve that reaches {self.reach} reaches nowhere")
        if self.curvature < 0:
            raise ValueError("the curvature is a magnitude, which is never negative")
        if at is not None and (abs(at) > self.reach or at.denominator & (at.denominator - 1)):
            raise ValueError(f"the inflection {at} is no dyadic number within +-{self.reach}")
        if (at is None) != (self.ceiling is None) and at != 0:
            raise ValueError("a curve that is convex everywhere must go on straight")
        if self._top < self.floor:
            raise ValueError(f"the floor {self.floor} is above the curve's other end")

    def _check_reach(self) -> None:
        """Refuse a reach at which a limit is still far off."""
        low, high = self.value(np.array([-self.reach, self.reach], dtype=object), 0, _BITS)
        rise, unit = self._top - self.floor, 1 << _BITS
        if Fraction(int(low[0]), unit) - self.floor > rise / _NEAR:
            raise ValueError(f"the floor {self.floor} is still far off at -{self.reach}, the reach")
        if self.ceiling is not None and self.ceiling - Fraction(int(high[1]), unit) > rise / _NEAR:
            raise ValueError(f"the ceiling {self.ceiling} is far off at {self.reach}, the reach")

    @property
    def _top(self) -> Fraction:
        """The ceiling; of a curve that goes on straight, where that begins."""
        return Fraction(0) if self.ceiling is None else self.ceiling


Curve = PiecewiseLinear | Smooth


def _is_exact(array: FractionArray, dimensions: int) -> bool:
    return (
        array.ndim == dimensions
        and array.dtype == object
        and not array.flags.writeable
        and {type(v) for v in array.ravel().tolist()} <= {Fraction}
    )
