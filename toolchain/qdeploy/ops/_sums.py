"""Exact sums of products, of integers and of rationals, and how large the integer ones can get."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Integers, Rounding
from qdeploy.ir import FractionArray

_EXACT_IN_DOUBLE = 1 << 53
"""Integers below this, their products and partial sums too, are exact in float64 in any order."""

_EXACT_IN_INT64 = 1 << 63

_ACCUMULATOR_BITS = 64
"""Of the widest accumulator."""


def integer_sums(
    codes: NDArray[np.int64], weight: NDArray[np.int64], bias: NDArray[np.int64]
) -> Integers:
    """Return codes [n, n_in] @ weight.T [n_in, n_out] + bias, exactly, whatever the size.

    int64 comes out unless the sums could leave it; then Python integers do.
    """
    limit = largest_sum(weight, bias, _magnitude(codes))
    if limit < _EXACT_IN_DOUBLE:
        product = codes.astype(np.float64) @ weight.astype(np.float64).T
        return np.asarray(product.astype(np.int64) + bias)
    if limit < _EXACT_IN_INT64:
        return np.asarray(codes @ weight.T + bias)
    return np.asarray(codes.astype(object) @ weight.astype(object).T + bias.astype(object))


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

    The products are formed over one common denominator each: integers are many times faster
    than fractions that are reduced after every addition.
    """
    x_numerators, x_scale = _over_common_denominator(x)
    w_numerators, w_scale = _over_common_denominator(weight)
    scale = x_scale * w_scale
    sums = (x_numerators @ w_numerators.T).ravel().tolist()
    offsets = bias.tolist() * len(x)
    result = np.empty(len(sums), dtype=object)
    result[:] = [Fraction(s, scale) + b for s, b in zip(sums, offsets, strict=True)]
    return result.reshape(len(x), len(bias))


def _over_common_denominator(values: FractionArray) -> tuple[NDArray[np.object_], int]:
    flat = values.ravel().tolist()
    common = math.lcm(*{v.denominator for v in flat})
    numerators = np.empty(len(flat), dtype=object)
    numerators[:] = [v.numerator * (common // v.denominator) for v in flat]
    return numerators.reshape(values.shape), common


def _magnitude(codes: NDArray[np.int64]) -> int:
    return max(int(codes.max(initial=0)), -int(codes.min(initial=0)))
