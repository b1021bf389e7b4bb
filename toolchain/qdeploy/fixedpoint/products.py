"""Matrix products of integers, exactly: in double precision where that is exact, else in int64.

A sum of integers every partial sum of which stays below 2**53 is exact in double precision,
whatever the order of its terms and whether or not products and sums are fused. BLAS adds terms
in an order of its own and nothing else, and is 4 to 15 times faster than numpy's integers.
Whoever trusts no floating point says `integers_only`: the numbers are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

DOUBLE_BITS = 53
"""Magnitudes up to 2**53 are doubles, every one of them."""

_WORTH_CONVERTING = 1 << 13
"""Products below which converting the operands takes longer than it gains."""

_WARM_UP = np.ones((256, 256))
np.matmul(_WARM_UP, _WARM_UP)
# OpenBLAS takes its memory when it is first used, and asks for it without end where there is none.

_INTEGERS_ONLY: ContextVar[bool] = ContextVar("integers_only", default=False)


@contextmanager
def integers_only() -> Iterator[None]:
    """Form every product of the body of a `with` in integers."""
    token = _INTEGERS_ONLY.set(True)
    try:
        yield
    finally:
        _INTEGERS_ONLY.reset(token)


def in_doubles(left: NDArray[np.int64], right: NDArray[np.int64]) -> bool:
    """Whether a product of these shapes is faster in double precision, and that is allowed."""
    rows = left.size // max(left.shape[-1], 1)
    columns = right.size // max(right.shape[-2] if right.ndim > 1 else right.size, 1)
    worth = max(rows * right.size, left.size * columns) >= _WORTH_CONVERTING
    return worth and not _INTEGERS_ONLY.get()


def product_in_doubles(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return left @ right.

    pre: the magnitudes of the terms of every sum add up to 2**53 at most.
    """
    return np.asarray(left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
