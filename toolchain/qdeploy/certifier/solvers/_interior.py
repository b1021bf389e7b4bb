"""An interior-point method for cones whose facts are products of two linear forms.

    minimise t + size tau   over   t, tau >= 0, m (>= 0 unless the fact is an equation)
    with     S = t E00 + tau I - target - sum_k m_k F_k   semidefinite,
             F_k = sym(l_k r_k^T) + s_k E00.

Of the dual stands the matrix X of moments: X semidefinite, X00 = 1, trace X <= size, and
u_k = <F_k, X> >= 0. Every F_k has rank two, so with P = V S^-1 V^T and Q = V X V^T over all vectors
V the equations of a Newton step cost m^2 gathered products and one Cholesky factor; a general
solver, to which the columns are dense, pays the cube of size^2 / 2 instead. Directions are those of
Helmberg, Rendl, Vanderbei and Wolkowicz (1996), with Mehrotra's corrector. tau lifts every
eigenvalue, so there is always a strictly feasible start, and every iterate (t, tau, m) is a bound.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from qdeploy.certifier.solvers._problem import Moments, Products, Reals

_MOST_ITERATIONS = 50
_SHORT_OF_THE_EDGE = 0.95
_CRAMPED, _CENTRING_WHERE_CRAMPED = 0.1, 0.3
"""A predicted step so short means that the iterate lies near an edge it should not be near."""
_TOLERANCE = 2e-4
"""Of the gap, relative to the objective: an iterate's bound is too large by no more."""
_RIDGE = 1e-13
_SHORTEST_STEP = 1e-6
_BLOCK = 128
"""Rows of the equations that are gathered together: what a cache holds."""


@dataclass(frozen=True, slots=True)
class _Iterate:
    """Unknowns y = (m, tau, t), the values u beside those of y that have a sign, and X."""

    y: Reals
    u: Reals
    x: Reals

    def gap(self, s: Reals) -> float:
        """Return what separates both objectives where the constraints hold."""
        return float(np.vdot(s, self.x) + self.y @ self.u)

    def moved(self, along: "_Iterate", primal: float, dual: float) -> "_Iterate":
        """Go along a direction."""
        return _Iterate(
            self.y + dual * along.y, self.u + primal * along.u, self.x + primal * along.x
        )


def minimise(posed: Products) -> Moments:
    """Return the last iterate, near the optimum unless numbers gave out."""
    method = _Method(posed)
    at, count = method.start(), 0
    while count < _MOST_ITERATIONS:
        following = _following(method, at)
        if following is None:
            break
        at, count = following, count + 1
    return Moments(float(at.y[-1]), float(at.y[-2]), at.y[:-2], at.x, count)


def _following(method: "_Method", at: _Iterate) -> _Iterate | None:
    """Return the next iterate; None at the optimum, or where rounding leaves no way on."""
    try:
        return method.step(at)
    except np.linalg.LinAlgError:
        return None


class _Method:
    """What stays the same from step to step."""

    def __init__(self, posed: Products) -> None:
        self._p = posed
        self.size, count = len(posed.target), len(posed.left)
        self.cost = np.zeros(count + 2)
        self.cost[-2:] = self.size, 1.0
        self.signed = np.append(~posed.equal, [True, False])
        self._degree = self.size + int(self.signed.sum())
        self._equations = np.empty((count + 2, count + 2))

    def start(self) -> _Iterate:
        """Return a feasible bound, and moments that are not."""
        y = np.where(self.signed, 0.1, 0.0)
        y[-2] = 0.0
        lowest = float(np.linalg.eigvalsh(self._slack(y))[0])
        y[-2] = 1.0 + max(0.0, -2.0 * lowest)
        x = 0.5 * np.eye(self.size)
        x[0, 0] = 1.0
        u = np.maximum(self.cost - self._inner(x), 0.1)
        return _Iterate(y, np.where(self.signed, u, 0.0), x)

    def step(self, at: _Iterate) -> _Iterate | None:
        """Predict, correct, and go nearly to the edge."""
        s = self._slack(at.y)
        gap, value = at.gap(s), float(self.cost @ at.y)
        missing = float(np.abs(self.cost - self._inner(at.x) - at.u).max())
        if gap <= _TOLERANCE * (1.0 + abs(value)) and missing <= 10 * _TOLERANCE:
            return None
        lower: Reals = np.asarray(np.linalg.cholesky(s), dtype=np.float64)
        inverse = la.cho_solve((lower, True), np.eye(self.size), check_finite=False)
        newton = _Newton(self, at, 0.5 * (inverse + inverse.T))
        first = newton.direction(0.0, None)
        primal, dual = self._reach(at, first, lower, 1.0)
        left = at.moved(first, primal, dual)
        centring = min(1.0, max(left.gap(self._slack(left.y)) / gap, 0.01) ** 3)
        if min(primal, dual) < _CRAMPED:
            centring = max(centring, _CENTRING_WHERE_CRAMPED)
        second = newton.direction(centring * gap / self._degree, first)
        primal, dual = self._reach(at, second, lower, _SHORT_OF_THE_EDGE)
        if max(primal, dual) < _SHORTEST_STEP:
            return None
        return at.moved(second, primal, dual)

    def change(self, dy: Reals) -> Reals:
        """Return how S changes with y."""
        return self._slack(dy) + self._p.target

    def inner(self, x: Reals) -> Reals:
        """Return <G_k, X> for the unknowns k; G_k is how S changes with them."""
        return self._inner(x)

    def _slack(self, y: Reals) -> Reals:
        p = self._p
        forms = len(p.vectors)
        weights = np.bincount(p.left * forms + p.right, y[:-2], forms * forms)
        half = p.vectors.T @ (weights.reshape(forms, forms) @ p.vectors)
        s = -p.target - 0.5 * (half + half.T)
        s[0, 0] += y[-1] - y[:-2] @ p.slack
        s[np.diag_indices(self.size)] += y[-2]
        return np.asarray(s)

    def _inner(self, x: Reals) -> Reals:
        ends = [np.trace(x), x[0, 0]]
        return np.concatenate([-self._products(x) - self._p.slack * x[0, 0], ends])

    def _products(self, x: Reals) -> Reals:
        moments = self._p.vectors @ x @ self._p.vectors.T
        return np.asarray(moments[self._p.left, self._p.right])

    def equations(self, x: Reals, inverse: Reals) -> Reals:
        """Return <G_k, sym(X G_l S^-1)>, right in the lower triangle."""
        h, count = self._equations, len(self._p.left)
        self._gather(h, x, inverse)
        both, edge = x @ inverse, x[:, :1] @ inverse[:1]
        slack, corner = self._p.slack, x[0, 0] * inverse[0, 0]
        at_edge = -self._products(0.5 * (edge + edge.T))
        for start in range(0, count, _BLOCK) if slack.any() else ():
            rows = slice(start, min(start + _BLOCK, count))
            h[rows, :count] -= np.outer(slack[rows], at_edge) + np.outer(at_edge[rows], slack)
            h[rows, :count] += np.outer(slack[rows], corner * slack)
        h[-1, :count] = at_edge - corner * slack
        h[-2, :count] = -self._products(0.5 * (both + both.T)) - slack * both[0, 0]
        h[-2, -2], h[-1, -2], h[-1, -1] = np.trace(both), both[0, 0], corner
        return h

    def _gather(self, h: Reals, x: Reals, inverse: Reals) -> None:
        """Fill in the facts: (Q_ll' P_rr' + Q_lr' P_rl' + Q_rl' P_lr' + Q_rr' P_ll') / 4."""
        p, count = self._p, len(self._p.left)
        q, z = (p.vectors @ matrix @ p.vectors.T for matrix in (x, inverse))
        orders = ((p.left, p.right), (p.right, p.left))
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            sums = np.zeros((stop - start, stop))
            for i, j in orders:
                one, other = q[i[start:stop]], z[j[start:stop]]
                for k, m in orders:
                    sums += one.take(k[:stop], axis=1) * other.take(m[:stop], axis=1)
            np.multiply(sums, 0.25, out=h[start:stop, :stop])

    def _reach(
        self, at: _Iterate, along: _Iterate, lower: Reals, share: float
    ) -> tuple[float, float]:
        """Return how far X and u, and S and y, may go along a direction."""
        moments: Reals = np.asarray(np.linalg.cholesky(at.x), dtype=np.float64)
        primal = min(_until_edge(moments, along.x), _until_zero(at.u, along.u))
        signed = np.where(self.signed, along.y, 0.0)
        dual = min(_until_edge(lower, self.change(along.y)), _until_zero(at.y, signed))
        return min(1.0, share * primal), min(1.0, share * dual)


class _Newton:
    """The equations at one iterate, factored, and the directions they give."""

    def __init__(self, method: _Method, at: _Iterate, inverse: Reals) -> None:
        self._method, self._at, self._inverse = method, at, inverse
        self._y = np.where(method.signed, at.y, 1.0)
        h = method.equations(at.x, inverse)
        diagonal = np.diag_indices(len(h))
        h[diagonal] += at.u / self._y + _RIDGE * h[diagonal]
        # The transpose is laid out as LAPACK wants it, so nothing is copied.
        self._factor = la.cho_factor(h.T, overwrite_a=True, check_finite=False)
        self._inner = method.inner(inverse)

    def direction(self, centring: float, before: _Iterate | None) -> _Iterate:
        """Return the step towards S X = centring I; `before`: correct for its second order."""
        method, at = self._method, self._at
        towards = np.where(method.signed, centring, 0.0)
        bent = np.zeros_like(at.x)
        if before is not None:
            bent = _symmetric(before.x @ method.change(before.y) @ self._inverse)
            towards -= np.where(method.signed, before.u * before.y, 0.0)
        right = centring * self._inner - method.cost + towards / self._y - method.inner(bent)
        dy = np.asarray(la.cho_solve(self._factor, right, check_finite=False))
        turned = _symmetric(at.x @ method.change(dy) @ self._inverse)
        dx = centring * self._inverse - at.x - turned - bent
        return _Iterate(dy, (towards - at.u * dy) / self._y - at.u, dx)


def _symmetric(matrix: Reals) -> Reals:
    return np.asarray(0.5 * (matrix + matrix.T))


def _until_edge(lower: Reals, along: Reals) -> float:
    """Return how far a matrix with this Cholesky factor may go and stay semidefinite."""
    half = la.solve_triangular(lower, along, lower=True, check_finite=False)
    turned = la.solve_triangular(lower, half.T, lower=True, check_finite=False)
    lowest = float(np.linalg.eigvalsh(_symmetric(turned))[0])
    return np.inf if lowest >= 0 else -1.0 / lowest


def _until_zero(values: Reals, along: Reals) -> float:
    falling = along < 0
    return float((-values[falling] / along[falling]).min(initial=np.inf))
