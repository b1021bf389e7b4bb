"""Exact arithmetic on arrays of dyadic numbers, and outward rounding onto a grid.

A dyadic array is an object array of Python integers `raw` that stands for `raw * 2**-grid`,
with one `grid` for a whole proof. Products lie on the grid 2**-2grid and are brought back with
`down`/`up`, which round outward: nothing here depends on floating point, so a check gives the
same numbers on every machine.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[Any]
"""Object array of Python integers."""

_INT64_BITS = 62


def zeros(*shape: int) -> Raw:
    """Return an object array of zeros."""
    array = np.empty(shape, dtype=object)
    array.fill(0)
    return array


def widest(array: Raw) -> int:
    """Return the bit length of the largest magnitude in `array`."""
    if array.size == 0:
        return 0
    return max(int(array.max()).bit_length(), int(array.min()).bit_length())


def matmul(left: Raw, right: Raw) -> Raw:
    """Return the exact integer product.

    Wide integers are cut into limbs small enough that every int64 sum of limb products is exact:
    with limbs of b bits and n terms, |sum| < n * 2**2b <= 2**62.
    """
    terms = max(left.shape[-1], 1)
    limb = (_INT64_BITS - terms.bit_length()) // 2
    lefts, rights = _limbs(left, limb), _limbs(right, limb)
    total: Any = 0
    for i, a in enumerate(lefts):
        for j, b in enumerate(rights):
            total = total + ((a @ b).astype(object) << (limb * (i + j)))
    return np.asarray(total, dtype=object)


def _limbs(array: Raw, bits: int) -> list[NDArray[np.int64]]:
    """Cut integers into signed limbs: array = sum of limbs[i] * 2**(bits * i)."""
    limbs = []
    rest = array
    for _ in range(widest(array) // bits):
        limbs.append((rest & ((1 << bits) - 1)).astype(np.int64))
        rest = rest >> bits
    limbs.append(rest.astype(np.int64))
    return limbs


def down(raw: Raw, bits: int) -> Raw:
    """Divide by 2**bits, rounded towards -infinity."""
    return raw >> bits


def up(raw: Raw, bits: int) -> Raw:
    """Divide by 2**bits, rounded towards +infinity."""
    return -((-raw) >> bits)


def floor_to_grid(value: Fraction, grid: int) -> int:
    """Return the largest raw with raw * 2**-grid <= value."""
    return (value.numerator << grid) // value.denominator


def ceil_to_grid(value: Fraction, grid: int) -> int:
    """Return the smallest raw with raw * 2**-grid >= value."""
    return -((-value.numerator << grid) // value.denominator)


@dataclass(frozen=True, slots=True)
class Interval:
    """Elementwise enclosures lo <= value <= hi, raw on the proof's grid."""

    lo: Raw
    hi: Raw

    @property
    def magnitude(self) -> Raw:
        """Largest absolute value in each element."""
        return np.asarray(np.maximum(abs(self.lo), abs(self.hi)), dtype=object)

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: "Interval") -> "Interval":
        return Interval(self.lo - other.hi, self.hi - other.lo)

    def shifted(self, offset: Raw) -> "Interval":
        """Return the interval moved by `offset`."""
        return Interval(self.lo + offset, self.hi + offset)

    def meet(self, other: "Interval") -> "Interval":
        """Return the intersection: both enclosures hold."""
        return Interval(
            np.asarray(np.maximum(self.lo, other.lo), dtype=object),
            np.asarray(np.minimum(self.hi, other.hi), dtype=object),
        )

    def relu(self) -> "Interval":
        """Return the range of max(value, 0)."""
        return Interval(positive(self.lo), positive(self.hi))


def positive(array: Raw) -> Raw:
    """Return max(array, 0)."""
    return np.asarray(np.maximum(array, 0), dtype=object)


def negative(array: Raw) -> Raw:
    """Return min(array, 0)."""
    return np.asarray(np.minimum(array, 0), dtype=object)


def product_range(matrix: Raw, box: Interval, grid: int) -> Interval:
    """Enclose matrix @ v for every v in `box`; matrix and box on the same grid."""
    plus, minus = positive(matrix), negative(matrix)
    low = matmul(plus, box.lo[:, None]) + matmul(minus, box.hi[:, None])
    high = matmul(plus, box.hi[:, None]) + matmul(minus, box.lo[:, None])
    return Interval(down(low[:, 0], grid), up(high[:, 0], grid))
