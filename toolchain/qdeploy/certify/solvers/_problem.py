"""The one problem that solvers are asked, and what they answer."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


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
