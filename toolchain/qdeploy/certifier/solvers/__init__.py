"""Semidefinite solvers: one file each. What they return is a `Candidate`, never a bound.

Cones of products alone, which are most, have a method of their own (`minimise`).
"""

from collections.abc import Mapping

import qdeploy.certifier.solvers
from qdeploy.certifier.solvers._problem import Candidate, ConicProblem, Moments, Products, Solver
from qdeploy.registry import discover

__all__ = [
    "TYPICAL_ITERATIONS",
    "Candidate",
    "ConicProblem",
    "Moments",
    "Products",
    "Solver",
    "known_solvers",
    "minimise",
]


def known_solvers() -> Mapping[str, Solver]:
    """Every solver, by name."""
    return discover(qdeploy.certifier.solvers, "SOLVER", Solver)  # type: ignore[type-abstract]


TYPICAL_ITERATIONS = 25
"""Of `minimise`."""


def minimise(posed: Products) -> Moments:
    """Return multipliers and moments near the optimum of a cone of products."""
    from qdeploy.certifier.solvers import _interior  # noqa: PLC0415  `verify` needs no solver

    return _interior.minimise(posed)
