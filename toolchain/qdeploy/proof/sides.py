"""Bounds on linear values over a cone: one end of an output, or of a range inside the network.

A range that was proven here replaces a wider one, and everything behind it is enclosed again. So
ranges of deep layers are proven over cones of the layers before them, layer after layer.
"""

from collections.abc import Sequence
from fractions import Fraction

from qdeploy.proof import cone
from qdeploy.proof.certificate import InnerStage, SignedDual
from qdeploy.proof.cone import Cone, DualError
from qdeploy.proof.dyadic import Interval, Raw, ceil_to_grid, two_to
from qdeploy.proof.enclosure import Ranges
from qdeploy.proof.pair import Pair
from qdeploy.proof.ranges import analyse

LARGEST_CONE = 400
"""Components of chi that a certificate may ask to be checked."""


def side_objective(facts: Cone, output: int, sign: int) -> tuple[Raw, int, int]:
    """Return the matrix to bound, its binary exponent, and the residual to add (on the grid)."""
    row, residual = cone.signed(facts.objective.pick(output), sign)
    row, exponent = cone.normalised(row, facts.grid)
    return cone.linear_objective(row, facts.grid), exponent, residual


def side_bound(facts: Cone, side: SignedDual) -> Fraction:
    """Prove a bound on sign * one value of the cone's objective.

    Raises:
        DualError: the dual proves nothing.
    """
    matrix, exponent, residual = side_objective(facts, side.output, side.sign)
    raw = cone.dual_bound(facts, matrix, side.dual)
    scaled = raw * two_to(exponent - cone.MULTIPLIER_BITS)
    return scaled + residual * two_to(-facts.grid)


def tightened(pair: Pair, box: Interval, stages: Sequence[InnerStage], *, slacks: bool) -> Ranges:
    """Return enclosures over one box, [1, n], with the ranges inside that the stages prove.

    Raises:
        DualError: a stage proves nothing, or belongs to no hidden layer, or not behind the others.
    """
    ends: dict[int, tuple[cone.InnerEnd, ...]] = {}
    for stage in stages:
        _require_place(pair, stage, max(ends, default=0))
        ranges = analyse(pair, box, use_linear=True, inner=ends)
        require_size(cone.count_variables(pair, ranges.row(0), slacks=slacks, depth=stage.layer))
        facts = cone.build_inner(pair, ranges.row(0), stage.layer, slacks=slacks)
        ends[stage.layer] = tuple(_end(facts, side) for side in stage.sides)
    return analyse(pair, box, use_linear=True, inner=ends)


def require_size(size: int) -> None:
    """Refuse a cone that nobody would wait for.

    Raises:
        DualError: it has too many components.
    """
    if size > LARGEST_CONE:
        raise DualError(f"a cone of {size} components is over {LARGEST_CONE}")


def _require_place(pair: Pair, stage: InnerStage, last: int) -> None:
    """Refuse a stage, before any work, that is out of order or names a place twice or nowhere."""
    if not last < stage.layer < len(pair.layers) - 1:
        raise DualError("ranges inside belong to no hidden layer, or stand out of order")
    values = 3 * pair.layers[stage.layer].width
    places = [(side.output, side.sign) for side in stage.sides]
    if len(set(places)) != len(places):
        raise DualError("an end of a range inside stands twice")
    if any(not 0 <= value < values or sign not in (-1, 1) for value, sign in places):
        raise DualError("an end of a range inside belongs to no neuron")


def _end(facts: Cone, side: SignedDual) -> cone.InnerEnd:
    if len(side.dual.factor) != facts.size:
        raise DualError("the factor has the wrong shape")
    return side.output, side.sign, ceil_to_grid(side_bound(facts, side), facts.grid)
