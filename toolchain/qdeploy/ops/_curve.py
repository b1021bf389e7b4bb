"""What a proof may use of an activation: exact numbers about its curve, nothing of its code.

An activation acts on every neuron for itself. It is either piecewise linear, with its numbers
given, or smooth: monotone and described by enclosures of its value and slope wherever asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from qdeploy.fixedpoint import Integers
from qdeploy.ir import FractionArray

LOOKUP_BITS = 16
"""Of the codes that an activation other than a clamp reads, at most: all of them can be tried."""


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


Enclosing = Callable[[Integers, int, int], tuple[Integers, Integers]]
"""(t, fb, bits) -> (lo, hi): lo <= phi(t * 2**-fb) * 2**bits <= hi, integers elementwise."""


@dataclass(frozen=True, slots=True)
class Smooth:
    """A curve that never falls, two times differentiable apart from 0, alike for all neurons.

    It is convex below `inflection` and concave above it; None: convex everywhere. The second
    derivative is at most `curvature` in magnitude on both sides of 0, where the slope may jump.
    """

    value: Enclosing
    slope: Enclosing
    """At 0 it encloses the slopes of both sides."""
    curvature: Fraction
    inflection: Fraction | None
    floor: Fraction
    """The limit towards -infinity."""
    ceiling: Fraction | None
    """The limit towards +infinity; None: phi(t) = t for t >= 0."""
    reach: int
    """Beyond +-reach the curve is all but its limit."""


Curve = PiecewiseLinear | Smooth
