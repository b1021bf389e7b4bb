"""Semidefinite solvers: one file each. What they return is a `Candidate`, never a bound."""

from collections.abc import Mapping

import qdeploy.certify.solvers
from qdeploy.certify.solvers._problem import Candidate, ConicProblem, Solver
from qdeploy.registry import discover

__all__ = ["Candidate", "ConicProblem", "Solver", "known_solvers"]


def known_solvers() -> Mapping[str, Solver]:
    """Every solver, by name."""
    return discover(qdeploy.certify.solvers, "SOLVER", Solver)  # type: ignore[type-abstract]
