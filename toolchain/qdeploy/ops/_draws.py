"""Random parameters, usual and extreme ones, that the facts of every operator are tried with."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from qdeploy.ir import FractionArray

_LARGEST_EXPONENT = 128
"""Of float32, and the magnitude of the least one, nearly."""


def any_number(rng: np.random.Generator) -> Fraction:
    """Return 0, a small integer, a quotient, or a float32 of a usual or of any magnitude."""
    mantissa = Fraction(int(rng.integers(-(1 << 24), 1 << 24, endpoint=True)), 1 << 24)
    quotient = Fraction(int(rng.integers(-99, 100)), int(rng.integers(1, 100)))
    exponent = int(rng.integers(-_LARGEST_EXPONENT, _LARGEST_EXPONENT, endpoint=True))
    choices = (
        Fraction(int(rng.integers(-3, 4))),
        quotient,
        mantissa * 4,
        mantissa * Fraction(2) ** exponent,
    )
    return choices[rng.integers(len(choices))]


def no_parameters(rng: np.random.Generator) -> Mapping[str, FractionArray]:
    """Return what an operator without parameters has of them."""
    del rng
    return {}
