"""The constraint set of Li, Drummond and Duncan (L4DC 2021), for comparison with our own.

Every neuron of both sides is a variable, whether it can change its sign or not. Known are: the
ranges of both inputs and of their difference, phi >= 0, psi = phi - xi >= 0 and phi psi = 0 of
every neuron. Their slope constraint between any two neurons is the product of what is known:

    (phi_i - phi_j)(psi_j - psi_i) = phi_i psi_j + phi_j psi_i - phi_i psi_i - phi_j psi_j >= 0,

so the exact check needs nothing of its own. No bound on a neuron enters a constraint; enclosures
only scale the variables, and bound what rounding leaves over. All forms keep one scale.
"""

from dataclasses import dataclass, field

import numpy as np

from qdeploy.proof.cone import Complement, Cone, DualError, Forms, affine, complement
from qdeploy.proof.curves import OnGrid, Pieces
from qdeploy.proof.dyadic import Interval, Raw, integers
from qdeploy.proof.enclosure import LayerRanges, Ranges
from qdeploy.proof.pair import Pair

Tag = tuple[str, int, int]


@dataclass(slots=True)
class _Facts:
    """Collects forms while walking through the layers; lives only inside `build`."""

    grid: int
    size: int
    next_variable: int = 1
    rows: list[Raw] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    complements: list[Complement] = field(default_factory=list)

    def variables(self, box: Interval) -> Forms:
        """Return one value per element of `box`; where it has no width, a constant."""
        rows = integers((len(box.lo), self.size))
        for row, low, high in zip(rows, box.lo, box.hi, strict=True):
            middle = (int(low) + int(high)) >> 1
            row[0] = middle
            if low != high:
                row[self.next_variable] = 1 << max(int(high) - middle, 1).bit_length()
                self.next_variable += 1
        return Forms(rows, integers(len(rows)), integers(len(rows)))

    def nonnegative(self, values: Forms, kind: str, layer: int) -> None:
        """Record values that are never negative, each relaxed by its residual."""
        for neuron in range(len(values.rows)):
            row = values.rows[neuron].copy()
            row[0] = row[0] + values.hi[neuron]
            self.rows.append(row)
            self.tags.append((kind, layer, neuron))

    def within(self, values: Forms, box: Interval, kind: str) -> None:
        """Record both ends of the range of values that enter the networks."""
        self.nonnegative(_shifted(values, -box.lo), f"{kind}_lo", -1)
        negated = Forms(-values.rows, -values.hi, -values.lo)
        self.nonnegative(_shifted(negated, box.hi), f"{kind}_hi", -1)

    def relu(self, phi: Forms, xi: Forms, reach: Raw, place: tuple[str, int]) -> None:
        """Record phi >= 0, psi >= 0 and phi psi = 0 of one layer of one side."""
        psi, (side, layer) = phi - xi, place
        self.nonnegative(phi, f"{side}_phi", layer)
        self.nonnegative(psi, f"{side}_psi", layer)
        for i, bound in enumerate(reach):
            self.complements.append(complement(phi.pick(i), psi.pick(i), (-int(bound), int(bound))))


def _shifted(values: Forms, offset: Raw) -> Forms:
    rows = values.rows.copy()
    rows[:, 0] = rows[:, 0] + offset
    return Forms(rows, values.lo, values.hi)


def _symmetric(reach: Raw) -> Interval:
    return Interval(-reach, reach)


def covers(pair: Pair) -> bool:
    """Whether every activation is a ReLU that the program clamps."""
    return all(
        layer.curve is None or (layer.lookup is None and _is_relu(layer.curve, pair.grid))
        for layer in pair.layers
    )


def _is_relu(curve: OnGrid, grid: int) -> bool:
    if not isinstance(curve, Pieces) or curve.width != 1 or curve.inexact:
        return False
    numbers = [*curve.breakpoints.ravel(), *curve.slopes.ravel(), *curve.first]
    return [int(v) for v in numbers] == [0, 0, 1 << grid, 0]


def count_variables(pair: Pair, ranges: Ranges) -> int:
    """Return the size of chi."""
    count = 1 + _wide(ranges.input.a) + _wide(_symmetric(ranges.input.e.magnitude))
    for layer, found in zip(pair.layers, ranges.layers, strict=True):
        if layer.curve is not None:
            count += int((found.y.magnitude > 0).sum() + (found.d.magnitude > 0).sum())
    return count


def _wide(box: Interval) -> int:
    return int((box.lo != box.hi).sum())


def build(pair: Pair, ranges: Ranges) -> Cone:
    """Derive the paper's facts over one box; hidden rounding errors are residuals.

    Raises:
        DualError: an activation is no ReLU.
    """
    if not covers(pair):
        raise DualError("the paper's facts are about ReLUs")
    facts = _Facts(pair.grid, count_variables(pair, ranges))
    constant = integers((1, facts.size))
    constant[0, 0] = 1 << pair.grid
    facts.nonnegative(Forms(constant, integers(1), integers(1)), "one", -1)
    moved = _symmetric(ranges.input.e.magnitude)
    entering = (facts.variables(ranges.input.a), facts.variables(moved))
    facts.within(entering[0], ranges.input.a, "x")
    facts.within(entering[0] + entering[1], ranges.input.b, "x2")
    facts.within(entering[1], moved, "e")
    a, e = entering
    for index, (layer, found) in enumerate(zip(pair.layers, ranges.layers, strict=True)):
        y, d = affine(layer, a, e, pair.grid)
        a, delta = _activation(facts, found, (y, d), index) if layer.curve else (y, d)
        e = delta + _residual(found.r, facts.size)
    rows, tags = np.stack(facts.rows), tuple(facts.tags)
    return Cone(rows, tags, tuple(facts.complements), e, pair.grid, entering)


def _activation(
    facts: _Facts, found: LayerRanges, before: tuple[Forms, Forms], layer: int
) -> tuple[Forms, Forms]:
    """Return a = relu(y) and delta = relu(z) - relu(y) as variables, and record the facts."""
    y, d = before
    reach = found.y.magnitude
    a = facts.variables(Interval(integers(len(reach)), reach))
    delta = facts.variables(_symmetric(found.d.magnitude))
    facts.relu(a, y, reach, ("y", layer))
    facts.relu(a + delta, y + d, found.z.magnitude, ("z", layer))
    return a, delta


def _residual(r: Interval, size: int) -> Forms:
    return Forms(integers((len(r.lo), size)), r.lo, r.hi)
