"""exp(-u) for u >= 0, enclosed in integers: no floating point, no library, any precision.

With r = u - k ln 2, 0 <= r < ln 2, exp(-u) = 2**-k exp(-r), and exp(-r) is its Taylor polynomial.
All errors below are in units of 2**-P, P the working precision:

* ln 2 is known as L <= 2**P ln 2 < L + 2, and u as its floor, so the r that is used is wrong by
  less than 2 k + 1; exp(-r) has slopes within [-1, 0], so it inherits that;
* Horner's scheme h[j-1] = 1 - (r / j) h[j] starts from h[N] = 1, which is wrong by the terms that
  were left out: at most r**(N+1) / (N+1)! in the end, at most 1 by the choice of N. A step drops
  less than 1 in the shift and, for j >= 2, less than 1 in the division. If h[j] is wrong by
  e <= 4, then h[j-1] by (r / j) e + 1 / j + 1 <= 2.9 (j >= 2) or r e + 1 <= 3.8 (j = 1), r < 0.7;
* 2**-k scales all of this, and its shift drops less than 1.

Together less than (3.8 + 1 + 2 k + 1) 2**-k + 1 <= 3.8 + 1 + 1.5 + 1 < `_WRONG`, for k >= 0.
"""

from functools import cache

import numpy as np

from qdeploy.fixedpoint import Integers

_GUARD = 8
_WRONG = 8


def exp_minus(u: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    """Return lo <= exp(-u * 2**-fb) * 2**bits <= hi, integers; hi - lo <= 2, lo >= 0, hi >= 1.

    pre: u >= 0, of any size.
    """
    precision = bits + _GUARD
    # exp(-u) < 2**-precision for u >= precision: all of those are alike, and k stays small.
    fixed = np.minimum(shifted(u, precision - fb), precision << precision)
    ln2 = _ln2(precision)
    k = fixed // ln2
    value = _taylor(fixed - k * ln2, precision) >> k
    lo = (value - _WRONG) >> _GUARD
    hi = -((-value - _WRONG) >> _GUARD)
    return np.maximum(lo, 0), np.minimum(hi, 1 << bits)


def shifted(values: Integers, left: int) -> Integers:
    """Return floor(values * 2**left) as Python integers."""
    wide = np.asarray(values).astype(object)
    return np.asarray(wide << left if left >= 0 else wide >> -left, dtype=object)


def _taylor(r: Integers, precision: int) -> Integers:
    """Return 2**precision exp(-r * 2**-precision) up to the error of the module."""
    one = 1 << precision
    value = np.full(r.shape, one, dtype=object)
    for j in range(_terms(precision), 0, -1):
        value = one - ((r * value) >> precision) // j
    return value


@cache
def _terms(precision: int) -> int:
    """Return N with 0.7**(N+1) / (N+1)! <= 2**-precision, in integers."""
    n, power, factorial = 0, 7, 1
    while power << precision > factorial * 10 ** (n + 1):
        n += 1
        power *= 7
        factorial *= n + 1
    return n


@cache
def _ln2(precision: int) -> int:
    """Return L with L <= 2**precision ln 2 < L + 2.

    ln 2 = 2 artanh(1/3) = sum of 2 / ((2 n + 1) 3**(2 n + 1)). At 16 more bits, 2**16 terms could
    each lose 1 and the rest of the series be 1 before the sum were off by 1 at `precision`.
    """
    scale, total, n = 2 << (precision + 16), 0, 0
    power = 3
    while scale // power:
        total += scale // (power * (2 * n + 1))
        n, power = n + 1, power * 9
    return total >> 16
