"""Parameters in double precision, converted once for as long as they live."""

import weakref

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FractionArray

_CONVERTED: dict[int, tuple["weakref.ref[FractionArray]", NDArray[np.float64]]] = {}
"""By identity; an entry leaves with its array, so that no other array can take its place."""


def doubles(parameter: FractionArray) -> NDArray[np.float64]:
    """Return a node's parameter (read-only, so it never changes) rounded to doubles."""
    key = id(parameter)
    found = _CONVERTED.get(key)
    if found is not None and found[0]() is parameter:
        return found[1]
    converted = parameter.astype(np.float64)
    converted.flags.writeable = False
    gone = weakref.ref(parameter, lambda _: _CONVERTED.pop(key, None))
    _CONVERTED[key] = (gone, converted)
    return converted
