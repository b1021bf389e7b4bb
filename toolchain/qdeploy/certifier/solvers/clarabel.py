"""Clarabel, an interior-point solver (Goulart and Chen, 2024)."""

import importlib.util

import numpy as np
import scipy.linalg  # noqa: F401  Clarabel loads it in its first solve, where Ctrl-C would hit Rust
import scipy.sparse as sp

from qdeploy.certifier.solvers._problem import Candidate, ConicProblem

_TOLERANCE = 1e-6
"""The exact check repairs what is left; tighter costs iterations and gains nothing there."""


class Clarabel:
    """See the module."""

    def available(self) -> bool:
        """It comes with qdeploy."""
        return importlib.util.find_spec("clarabel") is not None

    def solve(self, problem: ConicProblem) -> Candidate | None:
        """Solve; any status is taken, since only finite numbers matter here."""
        import clarabel  # noqa: PLC0415  a `verify` that imports this package needs no solver

        matrix, right = _standard_form(problem)
        unknowns = matrix.shape[1]
        cost = np.zeros(unknowns)
        cost[0] = 1.0
        if problem.prices is not None:
            cost[1:] = problem.prices
        cones = [
            clarabel.PSDTriangleConeT(problem.size),
            clarabel.NonnegativeConeT(unknowns - 1),
        ]
        quadratic = sp.csc_matrix((unknowns, unknowns))
        solver = clarabel.DefaultSolver(quadratic, cost, matrix, right, cones, _settings(clarabel))
        answer = solver.solve()
        x = np.array(answer.x)
        if not np.isfinite(x).all():
            return None
        return Candidate(str(answer.status), float(x[0]), x[1:], int(answer.iterations))


def _settings(module: object) -> object:
    """One thread and one factorisation method, so that equal problems have equal answers."""
    settings = module.DefaultSettings()  # type: ignore[attr-defined]
    settings.verbose = False
    settings.max_threads = 1
    settings.direct_solve_method = "qdldl"
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
    return settings


def _standard_form(problem: ConicProblem) -> tuple[sp.csc_matrix, np.ndarray]:
    """Clarabel wants A x + s = b with s in the cones: s = t E00 - target - facts m, and s = m."""
    count = problem.facts.shape[1]
    corner = np.zeros((len(problem.target), 1))
    corner[0, 0] = -1.0
    above = sp.hstack([sp.csc_matrix(corner), sp.csc_matrix(problem.facts)])
    below = sp.hstack([sp.csc_matrix((count, 1)), -sp.identity(count)])
    return sp.vstack([above, below]).tocsc(), np.concatenate([-problem.target, np.zeros(count)])


SOLVER = Clarabel()
