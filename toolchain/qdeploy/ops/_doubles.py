"""Parameters in double precision, and their extremes, computed once for as long as they live."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import Derived, FractionArray

_DOUBLES: Derived[NDArray[np.float64]] = Derived()
_EXTREMES: Derived[tuple[Fraction, Fraction]] = Derived()


def doubles(parameter: FractionArray) -> NDArray[np.float64]:
    """Return a node's parameter rounded to doubles."""
    return _DOUBLES.get(parameter, None, lambda: _converted(parameter))


def _converted(parameter: FractionArray) -> NDArray[np.float64]:
    converted = parameter.astype(np.float64)
    converted.flags.writeable = False
    return converted


def extremes(parameter: FractionArray) -> tuple[Fraction, Fraction]:
    """Return the least and the greatest number of a parameter that is not empty, exactly."""
    return _EXTREMES.get(parameter, None, lambda: _extremes(parameter))


def _extremes(parameter: FractionArray) -> tuple[Fraction, Fraction]:
    flat = parameter.ravel()
    try:
        rounded = doubles(parameter).ravel()
    except OverflowError:
        return min(flat.tolist()), max(flat.tolist())
    # Rounding keeps the order, so the least number is among those that become the least double.
    low, high = (flat[rounded == end] for end in (rounded.min(), rounded.max()))
    return min(low.tolist()), max(high.tolist())
