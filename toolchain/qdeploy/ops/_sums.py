"""Exact sums of products, of integers and of rationals, and how large the integer ones can get."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import DOUBLE_BITS, Integers, Rounding, in_doubles, product_in_doubles
from qdeploy.ir import Derived, FractionArray

_EXACT_IN_INT64 = 1 << 63

_EXACT_IN_INT32 = 1 << 31
_MANY = 64
"""Rows from which narrow sums are worth their copies."""

_ACCUMULATOR_BITS = 64
"""Of the widest accumulator."""

_COMMON: Derived[tuple[NDArray[np.object_], int]] = Derived()
_COMMON_BITS: Derived[int] = Derived()
_MOST_COMMON_BITS = 2048
"""Of a denominator that a whole layer shares; float32 weights need 150 at most."""


def integer_sums(
    codes: NDArray[np.int64], weight: NDArray[np.int64], bias: NDArray[np.int64]
) -> Integers:
    """Return codes [n, n_in] @ weight.T [n_in, n_out] + bias, exactly, whatever the size.

    int64 comes out unless the sums could leave it; then Python integers do.
    """
    limit = largest_sum(weight, bias, _magnitude(codes))
    if limit < 1 << DOUBLE_BITS and in_doubles(codes, weight.T):
        return product_in_doubles(codes, weight.T) + bias
    if limit < _EXACT_IN_INT64:
        return np.asarray(codes @ weight.T + bias)
    return np.asarray(codes.astype(object) @ weight.astype(object).T + bias.astype(object))


def narrow_sums(
    codes: NDArray[np.int64], weight: NDArray[np.int64], bias: NDArray[np.int64]
) -> Integers:
    """Return `integer_sums`, as int32 where many rows of sums fit that.

    What follows is faster on narrow integers, and columns that stand still are added once.
    """
    if len(codes) < _MANY or largest_sum(weight, bias, _magnitude(codes)) >= _EXACT_IN_INT32:
        return integer_sums(codes, weight, bias)
    moving = (codes != codes[0]).any(axis=0)
    still = weight[:, ~moving] @ codes[0, ~moving] + bias
    sums = integer_sums(codes[:, moving], weight[:, moving], still)
    return np.asarray(sums.astype(np.int32))


def largest_sum(weight: Integers, bias: Integers, largest: int) -> int:
    """Return a bound on |bias + any partial sum of weight * code|, in any order, per worst row.

    pre: |weight| < 2**32, |code| <= largest.
    """
    rows: list[int] = np.abs(weight.astype(np.int64)).sum(axis=1).tolist()
    offsets: list[int] = [abs(v) for v in bias.tolist()]
    return max(row * largest + offset for row, offset in zip(rows, offsets, strict=True))


def accumulator_bound(largest: int, shift: int, rounding: Rounding) -> int:
    """Return the bound an accumulator needs whose sums stay within `largest`.

    It also covers what the rounding shift makes of a sum on the way to the output format: the
    2**(shift - 1) that `nearest` adds, and the product of a shift to the left. A shift of 64
    or more adds nothing, as every sum of 64 bits then rounds alike (to 0, or by `floor` to -1).
    """
    if shift < 0:
        return largest << -shift
    if rounding is Rounding.NEAREST and 0 < shift < _ACCUMULATOR_BITS:
        return largest + (1 << (shift - 1))
    return largest


def rational_sums(x: FractionArray, weight: FractionArray, bias: FractionArray) -> FractionArray:
    """Return x [n, n_in] @ weight.T [n_in, n_out] + bias without rounding.

    Products are formed over common denominators: integers are many times faster than fractions
    that are reduced after every addition. Where all weights together would have a denominator of
    thousands of bits (quotients of many different numbers), each row has its own.
    """
    x_numerators, x_scale = _over_common_denominator(x)
    rows = [weight] if _common_bits(weight) <= _MOST_COMMON_BITS else np.split(weight, len(weight))
    columns = []
    for row in rows:
        w_numerators, w_scale = _COMMON.get(row, None, partial(_over_common_denominator, row))
        columns.append(_quotients(x_numerators @ w_numerators.T, x_scale * w_scale))
    return np.asarray(np.concatenate(columns, axis=1) + bias[None, :])


def _quotients(numerators: NDArray[np.object_], denominator: int) -> FractionArray:
    flat = [Fraction(n, denominator) for n in numerators.ravel().tolist()]
    result = np.empty(len(flat), dtype=object)
    result[:] = flat
    return result.reshape(numerators.shape)


def _common_bits(values: FractionArray) -> int:
    return _COMMON_BITS.get(values, None, partial(_count_common_bits, values))


def _count_common_bits(values: FractionArray) -> int:
    """Return the bits of the common denominator, or more than allowed as soon as it has more."""
    common = 1
    for denominator in {v.denominator for v in values.ravel().tolist()}:
        common = math.lcm(common, denominator)
        if common.bit_length() > _MOST_COMMON_BITS:
            break
    return common.bit_length()


def _over_common_denominator(values: FractionArray) -> tuple[NDArray[np.object_], int]:
    flat = values.ravel().tolist()
    common = math.lcm(*{v.denominator for v in flat})
    numerators = np.empty(len(flat), dtype=object)
    numerators[:] = [v.numerator * (common // v.denominator) for v in flat]
    return numerators.reshape(values.shape), common


def _magnitude(codes: NDArray[np.int64]) -> int:
    return max(int(codes.max(initial=0)), -int(codes.min(initial=0)))
