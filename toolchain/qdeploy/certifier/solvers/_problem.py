"""The problems that solvers are asked, and what they answer."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConicProblem:
    """Minimise t + prices m over m >= 0 with t E00 - target - sum_k m_k fact_k semidefinite.

    Symmetric [size, size] matrices stand as vectors of their upper triangles, column by column,
    off-diagonal entries times sqrt(2): `target` [size (size + 1) / 2], `facts` one column each.
    """

    size: int
    target: NDArray[np.float64]
    facts: NDArray[np.float64]
    prices: NDArray[np.float64] | None = None
    """Of every multiplier; None: they cost nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a solver says: only a guess for the multipliers, whatever its status."""

    status: str
    t: float
    multipliers: NDArray[np.float64]
    iterations: int


@runtime_checkable
class Solver(Protocol):
    """A semidefinite solver."""

    def available(self) -> bool:
        """Whether it can be imported."""
        ...

    def solve(self, problem: ConicProblem) -> Candidate | None:
        """Return its last iterate, or None where it has none that is finite."""
        ...


@dataclass(frozen=True, slots=True)
class Products:
    """Facts that are products of two linear forms (`_interior` says what is minimised).

    Row 0 of `vectors` is the constant 1.
    """

    target: Reals
    """[size, size], symmetric."""
    vectors: Reals
    """[vectors, size], of unit norm."""
    left: Indices
    right: Indices
    """Of every fact, its two vectors."""
    slack: Reals
    equal: NDArray[np.bool_]
    """Facts whose multipliers have either sign."""


@dataclass(frozen=True, slots=True)
class Moments:
    """The last iterate: a bound t + size tau, its multipliers, and the moments beside them."""

    t: float
    tau: float
    multipliers: Reals
    x: Reals
    iterations: int
