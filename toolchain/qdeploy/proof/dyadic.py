"""Exact arithmetic on arrays of dyadic numbers, and outward rounding onto a grid.

A dyadic array holds integers `raw` that stand for `raw * 2**-grid`, one `grid` for a whole
analysis. Products lie on the grid 2**-2grid and are brought back with `down`/`up`, which round
outward. Nothing is rounded by floating point, so a check gives the same numbers on every machine.

Arrays are int64 where that is proven safe and Python integers (dtype object) elsewhere, so the
dtype is a matter of speed and never of the result. The rules that make it safe:

* int64 is used on grids 20 to 40 only, and what an analysis keeps (`stored`) has 45 bits
  at most, or is object;
* products and sums over neurons go through `matmul`, `times`, `total` and `scaled_*`, which look at
  their operands first and keep int64 results below 2**60;
* so between two such steps at most a few terms below 2**60 are added, which int64 holds;
* large products are formed in double precision where all terms of a sum add up to 2**53 at most,
  so that no order of adding them rounds anything (`qdeploy.fixedpoint.products`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import DOUBLE_BITS, in_doubles, product_in_doubles

Raw = NDArray[Any]
"""int64, or object holding Python integers."""

NARROW_GRIDS = range(20, 41)
"""Grids whose analyses start in int64."""
NARROW_BITS = 45
_PRODUCT_BITS = 60
_LIMB_BITS = 62
_MOST_LIMBS = 4
"""Of each factor; more would cost more than Python's integers do."""
_RESULT_BITS = 57
_FEW_NUMBERS = 96
_FEWER_THAN_A_CALL = 8
_BLOCK = 1 << 15
"""Numbers that are worked on at once: 256 KiB of each of a few arrays."""
_MATRIX = 2
"""Axes."""


def zeros(shape: tuple[int, ...] | int, grid: int) -> Raw:
    """Return zeros in the dtype that analyses on `grid` start in."""
    return np.zeros(shape, dtype=np.int64) if grid in NARROW_GRIDS else integers(shape)


def integers(shape: tuple[int, ...] | int) -> Raw:
    """Return zeros that are Python integers."""
    array = np.empty(shape, dtype=object)
    array.fill(0)
    return array


def stored(array: Raw, grid: int) -> Raw:
    """Return integers in the dtype that analyses on `grid` start in, if they are small enough."""
    if grid in NARROW_GRIDS and widest(array) <= NARROW_BITS:
        return array.astype(np.int64, copy=False)
    return array.astype(object, copy=False)


def constant(value: int, shape: tuple[int, ...], grid: int) -> Raw:
    """Return an array full of one integer."""
    return stored(integers(shape) + value, grid)


def total(array: Raw) -> Raw:
    """Return the exact sums of the rows, [boxes, 1]."""
    if array.dtype == np.int64 and (widest(array) + array.shape[1].bit_length() > _PRODUCT_BITS):
        array = array.astype(object)
    return np.asarray(array.sum(axis=1, keepdims=True))


def widest(array: Raw) -> int:
    """Return the bit length of the largest magnitude in `array`."""
    if array.size <= _FEWER_THAN_A_CALL:
        # Python's own loop ends before numpy has begun.
        return max((int(v).bit_length() for v in array.ravel().tolist()), default=0)
    return max(int(array.max()).bit_length(), int(array.min()).bit_length())


def times(left: Raw, right: Raw) -> Raw:
    """Return the exact elementwise product."""
    if left.dtype == right.dtype == np.int64:
        if widest(left) + widest(right) <= _PRODUCT_BITS:
            return np.asarray(left * right)
        return np.asarray(left.astype(object) * right)
    return np.asarray(left.astype(object) * right.astype(object))


def lifted(array: Raw, grid: int) -> Raw:
    """Return numbers of the grid 2**-grid on the grid 2**-2grid, fit for sums of a few."""
    return times(array, np.array([1 << grid], dtype=array.dtype))


def summable(array: Raw) -> Raw:
    """Return the array as Python integers if a few sums and differences could leave int64."""
    if array.dtype == np.int64 and widest(array) > _PRODUCT_BITS:
        return array.astype(object)
    return array


def matmul(left: Raw, right: Raw) -> Raw:
    """Return the exact matrix product.

    int64 operands are multiplied directly where no sum can leave 60 bits. Wider integers are cut
    into limbs of b bits with terms * 2**2b <= 2**62, so that every int64 sum is exact.
    """
    terms = max(left.shape[-1], 1).bit_length()
    if left.dtype == right.dtype == np.int64:
        needed = widest(left) + widest(right) + terms
        if needed <= DOUBLE_BITS and in_doubles(left, right):
            return product_in_doubles(left, right)
        if needed <= _PRODUCT_BITS:
            return np.asarray(left @ right)
    limb = (_LIMB_BITS - terms) // 2
    lefts, rights = _limbs(left.astype(object), limb), _limbs(right.astype(object), limb)
    total: Any = 0
    for i, a in enumerate(lefts):
        for j, b in enumerate(rights):
            total = total + ((a @ b).astype(object) << (limb * (i + j)))
    return np.asarray(total, dtype=object)


Factors = Sequence[tuple[Raw, Raw]]


def scaled_matmul(pairs: Factors, bits: int) -> Raw:
    """Return the exact sum of the matrix products, divided by 2**bits and rounded down."""
    if _is_small(pairs):
        return _in_integers(pairs, bits, np.matmul)
    pairs = _without_zeros(pairs)
    terms = sum(left.shape[-1] for left, _ in pairs)
    if any(in_doubles(left, right) for left, right in pairs):
        plan = _limb_plan(pairs, bits, terms, DOUBLE_BITS)
        if plan is not None:
            return _in_blocks(pairs, plan)
    return _scaled(pairs, bits, terms, (np.matmul, matmul))


def scaled_times(pairs: Factors, bits: int) -> Raw:
    """Return the exact sum of the elementwise products, likewise divided and rounded."""
    if _is_small(pairs):
        return _in_integers(pairs, bits, np.multiply)
    pairs = _without_zeros(pairs)
    return _scaled(pairs, bits, len(pairs), (np.multiply, times))


Multiply = Callable[[Raw, Raw], Raw]


def _is_small(pairs: Factors) -> bool:
    """Whether Python's integers are done before the bits of all factors have been counted."""
    return sum(left.size + right.size for left, right in pairs) <= _FEW_NUMBERS


def _in_integers(pairs: Factors, bits: int, multiply: Multiply) -> Raw:
    products = (multiply(left.astype(object), right.astype(object)) for left, right in pairs)
    return down(np.asarray(sum(products)), bits)


def _without_zeros(pairs: Factors) -> Factors:
    return [p for p in pairs if p[0].any() and p[1].any()] or pairs[:1]


def _scaled(pairs: Factors, bits: int, terms: int, multiply: tuple[Multiply, Multiply]) -> Raw:
    """Sum products of int64 in int64 where that is possible, else in Python integers."""
    quick, exact = multiply
    plan = _limb_plan(pairs, bits, terms, _PRODUCT_BITS)
    if plan is None:
        return down(np.asarray(sum(exact(left, right) for left, right in pairs)), bits)
    return _carried([(left, _limbs(right, *plan.right)) for left, right in pairs], plan, quick)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How factors are cut: into limbs of so many bits, and so many of them."""

    bits: int
    """Of the division at the end."""
    left: tuple[int, int]
    right: tuple[int, int]

    def order(self) -> list[tuple[int, int, int]]:
        """Return (exponent, limb of left, limb of right) of all products, smallest first."""
        (own, lefts), (other, rights) = self.left, self.right
        pairs = ((i, j) for i in range(lefts) for j in range(rights))
        return sorted((own * i + other * j, i, j) for i, j in pairs)


def _limb_plan(pairs: Factors, bits: int, terms: int, most: int) -> _Plan | None:
    """Return the cut with the fewest products; None: int64 does not hold factors or results.

    A limb times a limb, summed over all terms, stays below 2**most, and the whole sum, divided,
    below 2**_RESULT_BITS.
    """
    if any(left.dtype != np.int64 or right.dtype != np.int64 for left, right in pairs):
        return None
    added = terms.bit_length()
    long, other = (max(widest(pair[side]) for pair in pairs) for side in (0, 1))
    if long + other + added <= most:
        return _Plan(bits, (long + 1, 1), (other + 1, 1))
    if long + other + added > bits + _RESULT_BITS:
        return None
    cuts = [
        (lefts * rights, rights, -(-long // lefts), -(-other // rights))
        for lefts in range(1, _MOST_LIMBS + 1)
        for rights in range(1, _MOST_LIMBS + 1)
    ]
    fitting = [cut for cut in cuts if cut[2] + cut[3] + added <= most]
    if not fitting:
        return None
    products, rights, own, others = min(fitting)
    return _Plan(bits, (own, products // rights), (others, rights))


def _carried(pairs: Sequence[tuple[Raw, list[Raw]]], plan: _Plan, multiply: Multiply) -> Raw:
    """Sum the products of left factors and limbs of right ones, the smallest exponents first.

    floor((a + 2**k b) / 2**bits) = floor((floor(a / 2**k) + b) / 2**(bits - k)) for k <= bits;
    what has larger exponents is added exactly.
    """
    cut = [(_limbs(left, *plan.left), rights) for left, rights in pairs]
    carried: Any = 0
    place = 0
    for exponent, i, j in plan.order():
        reached = min(exponent, plan.bits)
        part = sum(multiply(lefts[i], rights[j]) for lefts, rights in cut)
        part = np.asarray(part).astype(np.int64, copy=False) << (exponent - reached)
        carried, place = (carried >> (reached - place)) + part, reached
    return down(np.asarray(carried), plan.bits - place)


def _in_blocks(pairs: Factors, plan: _Plan) -> Raw:
    """Sum products in double precision, few rows at a time where rows share their right factors.

    All terms of a sum add up to 2**53 at most, so no order of adding them rounds anything. Whatever
    is made of a block of rows stays in the cache.
    """
    lefts = [left for left, _ in pairs]
    rights = [[limb.astype(np.float64) for limb in _limbs(r, *plan.right)] for _, r in pairs]
    leading = {left.shape[:-1] for left in lefts}
    if len(leading) > 1 or any(limbs[0].ndim > _MATRIX for limbs in rights):
        return _carried(list(zip(lefts, rights, strict=True)), plan, _product_in_doubles)
    columns = rights[0][0].shape[1:]
    rows = [left.reshape(-1, left.shape[-1]) for left in lefts]
    result = np.empty((len(rows[0]), *columns), dtype=np.int64)
    size = max(1, _BLOCK // max(result[:1].size, *(part.shape[1] for part in rows)))
    for start in range(0, len(result), size):
        some = slice(start, start + size)
        block = [(part[some], limbs) for part, limbs in zip(rows, rights, strict=True)]
        result[some] = _carried(block, plan, _product_in_doubles)
    return result.reshape(*lefts[0].shape[:-1], *columns)


def _product_in_doubles(left: Raw, right: Raw) -> Raw:
    return np.asarray(left.astype(np.float64) @ right)


def _limbs(array: Raw, bits: int, count: int | None = None) -> list[NDArray[np.int64]]:
    """Cut integers into signed limbs: array = sum of limbs[i] * 2**(bits * i)."""
    limbs = []
    rest = array
    for _ in range(widest(array) // bits if count is None else count - 1):
        limbs.append((rest & ((1 << bits) - 1)).astype(np.int64, copy=False))
        rest = rest >> bits
    limbs.append(rest.astype(np.int64, copy=False))
    return limbs


def down(raw: Raw, bits: int) -> Raw:
    """Divide by 2**bits, rounded towards -infinity."""
    return raw >> bits


def up(raw: Raw, bits: int) -> Raw:
    """Divide by 2**bits, rounded towards +infinity."""
    return -((-raw) >> bits)


def two_to(exponent: int) -> Fraction:
    """Return 2**exponent exactly."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def floor_to_grid(value: Fraction, grid: int) -> int:
    """Return the largest raw with raw * 2**-grid <= value."""
    return (value.numerator << grid) // value.denominator


def ceil_to_grid(value: Fraction, grid: int) -> int:
    """Return the smallest raw with raw * 2**-grid >= value."""
    return -((-value.numerator << grid) // value.denominator)


def nearest(values: Raw, grid: int) -> tuple[Raw, bool]:
    """Round exact numbers (Fractions) onto the grid, ties down; say whether any had to move."""
    ratios = [value.as_integer_ratio() for value in values.ravel().tolist()]
    # ceil(v - 1/2) = -floor(1/2 - v), in units of the grid.
    flat = [-((below - (above << (grid + 1))) // (2 * below)) for above, below in ratios]
    moved = any(
        place * below != above << grid for place, (above, below) in zip(flat, ratios, strict=True)
    )
    raw = integers(len(flat))
    raw[:] = flat
    return stored(raw.reshape(values.shape), grid), moved


@dataclass(frozen=True, slots=True)
class Interval:
    """Elementwise enclosures lo <= value <= hi, raw on the analysis's grid; rows are boxes."""

    lo: Raw
    hi: Raw

    @property
    def magnitude(self) -> Raw:
        """Largest absolute value in each element."""
        return np.asarray(np.maximum(abs(self.lo), abs(self.hi)))

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
            np.asarray(np.maximum(self.lo, other.lo)), np.asarray(np.minimum(self.hi, other.hi))
        )

    def hull(self, other: "Interval") -> "Interval":
        """Return the least interval that holds both."""
        return Interval(
            np.asarray(np.minimum(self.lo, other.lo)), np.asarray(np.maximum(self.hi, other.hi))
        )

    def times(self, other: "Interval", grid: int) -> "Interval":
        """Enclose the products of values of both."""
        corners = [(a, b) for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        low = [scaled_times((corner,), grid) for corner in corners]
        high = [-scaled_times(((-a, b),), grid) for a, b in corners]
        return Interval(np.minimum.reduce(low), np.maximum.reduce(high))

    def meet_where(
        self, mask: NDArray[np.bool_], columns: NDArray[np.int64], other: "Interval"
    ) -> "Interval":
        """Return the intersection in some columns where `mask` is set, and the rest as it is."""
        ends = []
        for own, new, better in (
            (self.lo, other.lo, np.maximum),
            (self.hi, other.hi, np.minimum),
        ):
            part = own[:, columns]
            met = np.where(mask[:, columns], better(part, new), part)
            whole = own.astype(np.result_type(own, met))
            whole[:, columns] = met
            ends.append(whole)
        return Interval(*ends)

    def some(self, boxes: slice) -> "Interval":
        """Return the enclosures over some boxes."""
        return Interval(self.lo[boxes], self.hi[boxes])

    def row(self, index: int) -> "Interval":
        """Return the enclosures over one box."""
        return Interval(self.lo[index], self.hi[index])

    def settled(self, grid: int) -> "Interval":
        """Return the enclosures fit for further calculation."""
        return Interval(stored(self.lo, grid), stored(self.hi, grid))


def positive(array: Raw) -> Raw:
    """Return max(array, 0)."""
    return np.asarray(np.maximum(array, 0))


def negative(array: Raw) -> Raw:
    """Return min(array, 0)."""
    return np.asarray(np.minimum(array, 0))


def product_range(matrix: Raw, box: Interval, grid: int) -> Interval:
    """Enclose matrix @ v for every v in each row of `box` [boxes, n] -> [boxes, m]."""
    plus, minus = positive(matrix).T, negative(matrix).T
    low = scaled_matmul(((box.lo, plus), (box.hi, minus)), grid)
    high = -scaled_matmul(((-box.hi, plus), (-box.lo, minus)), grid)
    return Interval(low, high)
