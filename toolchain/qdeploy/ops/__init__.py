"""Operators: one file each, with shape, real semantics and integer semantics."""

from qdeploy.ops._curve import LOOKUP_BITS, Curve, PiecewiseLinear, Smooth
from qdeploy.ops._doubles import doubles, extremes
from qdeploy.ops._execution import (
    apart,
    enclose,
    evaluate,
    evaluate_exact,
    execute,
    execute_all,
    known_ops,
)
from qdeploy.ops._kernel import Kernel
from qdeploy.ops._protocol import Activation, Enclosed, Op
from qdeploy.ops._sums import accumulator_bound, integer_sums, largest_sum
from qdeploy.ops._table import tabulated

__all__ = [
    "LOOKUP_BITS",
    "Activation",
    "Curve",
    "Enclosed",
    "Kernel",
    "Op",
    "PiecewiseLinear",
    "Smooth",
    "accumulator_bound",
    "apart",
    "doubles",
    "enclose",
    "evaluate",
    "evaluate_exact",
    "execute",
    "execute_all",
    "extremes",
    "integer_sums",
    "known_ops",
    "largest_sum",
    "tabulated",
]
