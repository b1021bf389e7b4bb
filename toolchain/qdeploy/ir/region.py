"""The set of real inputs a statement is about: an axis-aligned box with exact corners."""

import math
from dataclasses import dataclass
from fractions import Fraction

GRID_BITS = 64
"""Decimals a user writes are enclosed outward on multiples of 2**-GRID_BITS."""


def enclose_down(value: Fraction, bits: int = GRID_BITS) -> Fraction:
    """Return the largest multiple of 2**-bits that is not above `value`."""
    return Fraction(math.floor(value * (1 << bits)), 1 << bits)


def enclose_up(value: Fraction, bits: int = GRID_BITS) -> Fraction:
    """Return the smallest multiple of 2**-bits that is not below `value`."""
    return Fraction(math.ceil(value * (1 << bits)), 1 << bits)


@dataclass(frozen=True, slots=True)
class Box:
    """lo_i <= x_i <= hi_i, exact dyadic corners; a side may have no width."""

    lo: tuple[Fraction, ...]
    hi: tuple[Fraction, ...]
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.lo) != len(self.hi) or not self.lo:
            raise ValueError("a box needs as many upper as lower corners, and at least one")
        if any(low > high for low, high in zip(self.lo, self.hi, strict=True)):
            raise ValueError("a box has a lower corner above its upper one")
        if any(v.denominator & (v.denominator - 1) for v in (*self.lo, *self.hi)):
            raise ValueError("a box's corners must be dyadic: enclose them first")

    @staticmethod
    def enclosing(lo: tuple[Fraction, ...], hi: tuple[Fraction, ...], name: str = "") -> "Box":
        """Return the smallest box on the 2**-GRID_BITS grid that contains [lo, hi]."""
        return Box(tuple(map(enclose_down, lo)), tuple(map(enclose_up, hi)), name)

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.lo)
