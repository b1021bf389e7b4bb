"""The set of real inputs a statement is about: an axis-aligned box with exact corners."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


def float_below(value: Fraction) -> Fraction:
    """Return the largest double that is not above `value`, exactly.

    Raises:
        OverflowError: `value` lies beyond the doubles.
    """
    nearest = float(value)
    if Fraction(nearest) > value:
        nearest = math.nextafter(nearest, -math.inf)
    return Fraction(nearest)


def float_above(value: Fraction) -> Fraction:
    """Return the smallest double that is not below `value`, exactly."""
    return -float_below(-value)


@dataclass(frozen=True, slots=True)
class Box:
    """lo_i <= x_i <= hi_i; corners are exact and are doubles; a side may have no width."""

    lo: tuple[Fraction, ...]
    hi: tuple[Fraction, ...]
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.lo) != len(self.hi) or not self.lo:
            raise ValueError("a box needs as many upper as lower corners, and at least one")
        if any(low > high for low, high in zip(self.lo, self.hi, strict=True)):
            raise ValueError("a box has a lower corner above its upper one")
        if any(Fraction(float(v)) != v for v in (*self.lo, *self.hi)):
            raise ValueError("a box's corners must be doubles: use Box.enclosing")

    @staticmethod
    def enclosing(lo: tuple[Fraction, ...], hi: tuple[Fraction, ...], name: str = "") -> "Box":
        """Return the smallest box with double corners that contains [lo, hi].

        A decimal such as 0.3 becomes the two doubles around it, so that the box holds both the
        number that was written and the double a program would make of it.
        """
        return Box(tuple(map(float_below, lo)), tuple(map(float_above, hi)), name)

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.lo)

    def holds(self, x: Sequence[Fraction]) -> bool:
        """Whether an input has as many numbers as the box and lies inside it."""
        return len(x) == self.size and all(
            lo <= v <= hi for lo, v, hi in zip(self.lo, x, self.hi, strict=True)
        )
