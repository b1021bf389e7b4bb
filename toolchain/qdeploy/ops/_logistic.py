"""The logistic curve 1 / (1 + exp(-u)), which sigmoid and tanh are made of, and its slope."""

import numpy as np

from qdeploy.fixedpoint import Integers
from qdeploy.ops._exponential import exp_minus
from qdeploy.ops._smooth import quotient, quotient_up

_GUARD = 8
"""exp is known within 2 units of 2**-8 of the result's, so it adds next to nothing."""


def logistic(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    """Return lo <= 2**bits / (1 + exp(-t * 2**-fb)) <= hi.

    With e = exp(-|u|): 1 / (1 + e), which falls with e, for u >= 0; 1 less that for u < 0.
    """
    number = np.asarray(t).astype(object)
    e_lo, e_hi = exp_minus(np.abs(number), fb, bits + _GUARD)
    one = 1 << (bits + _GUARD)
    lo = quotient(one << bits, one + e_hi)
    hi = quotient_up(one << bits, one + e_lo)
    below = number < 0
    return np.where(below, (1 << bits) - hi, lo), np.where(below, (1 << bits) - lo, hi)


def logistic_slope(t: Integers, fb: int, bits: int) -> tuple[Integers, Integers]:
    """Return lo <= 2**bits * e / (1 + e)**2 <= hi, e = exp(-|t * 2**-fb|): it grows with e <= 1."""
    e_lo, e_hi = exp_minus(np.abs(np.asarray(t).astype(object)), fb, bits + _GUARD)
    one = 1 << (bits + _GUARD)
    lo = quotient((e_lo * one) << bits, (one + e_lo) ** 2)
    hi = quotient_up((e_hi * one) << bits, (one + e_hi) ** 2)
    return lo, hi
