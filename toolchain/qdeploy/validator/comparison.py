"""What a device answered, against the program (bit for bit) and against the proven bound.

Deviations are decided without rounding. Double precision only sorts out the vectors that are
far from the bound: by more than the error of double precision itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import (
    Box,
    FixedNetwork,
    FractionArray,
    Network,
    Node,
    Trace,
    Vectors,
    Verdict,
    exact,
)
from qdeploy.ir.region import float_above
from qdeploy.ops import Activation, PiecewiseLinear, apart, doubles, evaluate, known_ops

Reals = NDArray[np.float64]
Mask = NDArray[np.bool_]

_HIGHEST = 16
"""Vectors of the largest deviations that are evaluated without rounding at most."""
_NUMBERS_AT_ONCE = 1 << 18
"""Of all tensors, where vectors are evaluated without rounding."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What was proven: in region r, output k deviates by `per_output[r][k]` at most."""

    regions: tuple[Box, ...]
    per_output: tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True, slots=True)
class _Answers:
    """The inputs, and what network and device make of them."""

    network: Network
    x: Reals
    device: NDArray[np.int64]
    step: Fraction

    def deviations(self) -> tuple[Reals, Reals]:
        """Return |network - device| [n, n_out] in double precision, and by how much it may err."""
        device = self.device * float(self.step)
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.abs(evaluate(self.network, self.x) - device)
            size = _magnitudes(self.network, np.abs(self.x)) + np.abs(device)
            return deviation, size * _roundings(self.network) * 2.0**-50 + 2.0**-900

    @property
    def _at_once(self) -> int:
        """How many rows are evaluated without rounding together."""
        return max(1, _NUMBERS_AT_ONCE // sum(t.size for t in self.network.tensors))

    def highest(self, deviation: Reals) -> NDArray[np.intp]:
        """Return the rows of the largest deviations, as many as are soon evaluated exactly."""
        worst = np.nan_to_num(deviation, nan=np.inf).max(axis=1)
        return np.argsort(-worst, kind="stable")[: min(_HIGHEST, self._at_once)]

    def exactly(self, rows: NDArray[np.intp]) -> Iterator[FractionArray]:
        """Yield how far network and device surely are apart on some rows, few at a time."""
        for start in range(0, len(rows), self._at_once):
            some = rows[start : start + self._at_once]
            device = exact(self.device[some]) * self.step
            yield apart(self.network, exact(self.x[some]), device)


def run(
    network: Network, fixed: FixedNetwork, bound: Bound | None, vectors: Vectors, trace: Trace
) -> Verdict:
    """Compare a device's answers with the program, and with the bound inside its regions."""
    difference = _first_difference(vectors, trace)
    deviation, within = 0.0, None
    if trace.outputs.shape == vectors.expected.shape:
        answers = _Answers(network, vectors.x, trace.outputs, fixed.output.format.step)
        deviation, within = _against(answers, bound)
    return Verdict(
        link=trace.link,
        vectors=len(vectors.codes),
        bit_exact=not difference,
        max_deviation=deviation,
        within_bound=within,
        instructions=trace.instructions,
        cycles=trace.cycles,
        uncounted=trace.uncounted,
        first_difference=difference,
    )


def _first_difference(vectors: Vectors, trace: Trace) -> str:
    """Return in words where device and program part, or nothing."""
    if trace.outputs.shape != vectors.expected.shape:
        asked, got = list(vectors.expected.shape), list(trace.outputs.shape)
        return f"the device gave {got} outputs, {asked} were expected [vectors, outputs]"
    differing = trace.outputs != vectors.expected
    if not differing.any():
        return ""
    vector, output = (int(i) for i in np.argwhere(differing)[0])
    return (
        f"vector {vector}, output {output}: expected code {vectors.expected[vector, output]}, "
        f"the device gave {trace.outputs[vector, output]} "
        f"({int(differing.any(axis=1).sum())} of {len(differing)} vectors differ)"
    )


def _against(answers: _Answers, bound: Bound | None) -> tuple[float, bool | None]:
    """Return the largest deviation in the regions, and whether the bound holds there.

    Without a bound: the largest of all vectors. A bound that no vector lies under is neither
    kept nor broken.
    """
    deviation, error = answers.deviations()
    if bound is None:
        return _largest(answers.exactly(answers.highest(deviation))), None
    members = [_inside(answers.x, box) for box in bound.regions]
    anywhere = np.logical_or.reduce(members)
    if not anywhere.any():
        return 0.0, None
    kept = all(
        _kept(answers, _near(deviation, error, member, limits), limits)
        for member, limits in zip(members, bound.per_output, strict=True)
    )
    rows = np.flatnonzero(anywhere)
    return _largest(answers.exactly(rows[answers.highest(deviation[rows])])), kept


def _kept(answers: _Answers, doubtful: Mask, limits: tuple[Fraction, ...]) -> bool:
    most = np.array(limits, dtype=object)
    return all(bool((true <= most).all()) for true in answers.exactly(np.flatnonzero(doubtful)))


def _inside(x: Reals, box: Box) -> Mask:
    """Return which rows lie in the box; exact, because its corners are doubles."""
    lo, hi = (np.array([float(v) for v in side]) for side in (box.lo, box.hi))
    return np.asarray(((lo <= x) & (x <= hi)).all(axis=1))


def _near(deviation: Reals, error: Reals, member: Mask, limits: tuple[Fraction, ...]) -> Mask:
    """Return which rows of a region double precision cannot prove to keep its limits."""
    low = np.array([float(v) for v in limits]) * (1.0 - 2.0**-50)
    return member & ~(deviation + error < low).all(axis=1)


def _largest(deviations: Iterable[FractionArray]) -> float:
    """Return the greatest of all, as the next double above it."""
    return float(float_above(max((d.max() for d in deviations), default=Fraction(0))))


def _magnitudes(network: Network, size: Reals) -> Reals:
    """Bound the absolute terms of every output from the magnitudes of inputs [n, n_in].

    A sum is rounded by a small multiple of its terms. An activation with slopes up to L passes
    that on at most L times, its value is at most L |v| + |phi(0)|, and it is rounded by a small
    multiple of that itself.
    """
    for node in network.nodes:
        if node.op == "dense":
            weight, bias = (np.abs(doubles(node.parameters[k])) for k in ("weight", "bias"))
            size = np.asarray(size @ weight.T + bias)
        else:
            steepest, at_zero = _growth(node)
            size = size * max(steepest, 1.0) + at_zero
    return size


def _growth(node: Node) -> tuple[float, float]:
    """Return the steepest slope of an activation and |phi(0)|, a little above.

    Raises:
        TypeError: nothing is known of the operator's slopes.
    """
    op = known_ops()[node.op]
    if not isinstance(op, Activation):
        raise TypeError(f"the rounding error of {node.op} is not known")
    curve, zero = op.curve(node), exact([[0]])
    if isinstance(curve, PiecewiseLinear):
        steepest = max(abs(v) for v in curve.slopes.ravel().tolist())
    else:
        steepest = Fraction(curve.steepest(60), 1 << 60)
    _, at_zero = op.enclose(node, zero, zero)
    return float(steepest) * (1 + 2.0**-40), float(abs(at_zero).max()) * (1 + 2.0**-40)


def _roundings(network: Network) -> int:
    """Return how many roundings one output passes through: a sum has one a term, and a few."""
    terms = [int(n.parameters["weight"].shape[1]) for n in network.nodes if n.op == "dense"]
    return 1 + sum(terms) + 8 * len(network.nodes)
