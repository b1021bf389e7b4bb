"""Operators that only rename axes: the data stays one vector in C order."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from qdeploy.importer.operation import Family, Operation
from qdeploy.importer.operators.tails import joined
from qdeploy.importer.shapes import checked_shape
from qdeploy.importer.values import Constant, Kind, Signal, Value

_NEGATIVE_AXES = 11
"""Since this opset negative axes count from the end; before, shape inference went wrong on them."""
_AXES_ARE_AN_INPUT = 13
"""Since this opset Squeeze and Unsqueeze take their axes as an input."""


def _reshaped(op: Operation, value: Signal | Constant, shape: tuple[int, ...]) -> Value:
    checked_shape(op, shape)
    if prod(shape) != prod(value.shape):
        raise op.refusal(
            f"operator {op.op_type!r} turns shape {list(value.shape)} into {list(shape)}",
            "export with batch size 1 or a symbolic batch",
        )
    if isinstance(value, Constant):
        return Constant(value.name, value.kind, value.array.reshape(shape))
    return replace(value, shape=shape, tensor=op.output)


def _flatten(op: Operation) -> Value:
    value = op.value(0)
    axis = op.integer("axis", 1)
    rank = len(value.shape)
    _refuse_negative(op, "axis", axis)
    front = axis if axis == rank else op.axis(axis, rank)
    return _reshaped(op, value, (prod(value.shape[:front]), prod(value.shape[front:])))


def _refuse_negative(op: Operation, name: str, *axes: int) -> None:
    if op.opset < _NEGATIVE_AXES and min(axes, default=0) < 0:
        raise op.bad_attribute(name, f"without negative numbers, as before opset {_NEGATIVE_AXES}")


def _reshape(op: Operation) -> Value:
    value = op.value(0)
    wanted = op.integers(1, "the shape")
    keep_zero = op.flag("allowzero")
    return _reshaped(op, value, _resolved(op, wanted, value.shape, keep_zero=keep_zero))


def _resolved(
    op: Operation, wanted: tuple[int, ...], shape: tuple[int, ...], *, keep_zero: bool
) -> tuple[int, ...]:
    """Replace 0 by the axis it copies and -1 by what remains."""
    copied = [
        shape[i] if d == 0 and not keep_zero and i < len(shape) else d for i, d in enumerate(wanted)
    ]
    known = prod(d for d in copied if d != -1)
    if copied.count(-1) > 1 or any(d < -1 for d in copied) or known < 1:
        raise op.refusal(
            f"operator 'Reshape' cannot give shape {list(shape)} the shape {list(wanted)}",
            "export with static shapes",
        )
    return tuple(prod(shape) // known if d == -1 else d for d in copied)


def _axes(op: Operation, fewest_axes: int) -> tuple[int, ...] | None:
    if op.opset < _AXES_ARE_AN_INPUT:
        axes = op.integer_list("axes")
        _refuse_negative(op, "axes", *(axes or ()))
        return axes
    return op.integers(1, "the list of axes", fewest_axes) if op.has(1) else None


def _distinct(op: Operation, axes: tuple[int, ...], rank: int) -> set[int]:
    chosen = {op.axis(a, rank) for a in axes}
    if len(chosen) != len(axes):
        raise op.refusal(
            f"operator {op.op_type!r} names an axis twice: {list(axes)}", "export the model anew"
        )
    return chosen


def _squeeze(op: Operation) -> Value:
    value = op.value(0)
    axes = _axes(op, 1)
    if axes == () or (axes is None and len(op.inputs) > 1):
        raise op.refusal(
            "operator 'Squeeze' has an empty list of axes, which some read as none and some as all",
            "export with the axes that are to go",
        )
    ones = {i for i, extent in enumerate(value.shape) if extent == 1}
    chosen = ones if axes is None else _distinct(op, axes, len(value.shape))
    if not chosen <= ones:
        raise op.refusal(
            f"operator 'Squeeze' drops an axis of shape {list(value.shape)} that is not 1",
            "export with batch size 1 or a symbolic batch",
        )
    return _reshaped(op, value, tuple(d for i, d in enumerate(value.shape) if i not in chosen))


def _unsqueeze(op: Operation) -> Value:
    value = op.value(0)
    axes = _axes(op, 0) or ()
    rank = len(value.shape) + len(axes)
    chosen = _distinct(op, axes, rank)
    old = iter(value.shape)
    return _reshaped(op, value, tuple(1 if i in chosen else next(old) for i in range(rank)))


def _transpose(op: Operation) -> Value:
    value = op.value(0)
    rank = len(value.shape)
    listed = op.integer_list("perm")
    order = tuple(reversed(range(rank))) if listed is None else listed
    if sorted(order) != list(range(rank)):
        raise op.bad_attribute("perm", f"an order of the {rank} axes")
    if isinstance(value, Constant):
        return Constant(value.name, value.kind, value.array.transpose(order))
    if [i for i in order if value.shape[i] > 1] != [i for i in range(rank) if value.shape[i] > 1]:
        raise op.refusal(
            f"operator 'Transpose' reorders a tensor of shape {list(value.shape)} "
            "that depends on the network's input",
            "only constants, and axes of extent 1, can be transposed",
        )
    return _reshaped(op, value, tuple(value.shape[i] for i in order))


def _shape(op: Operation) -> Value:
    extents = op.value(0).shape
    start, end = op.integer("start", 0), op.integer("end", len(extents))
    return _indices(op, np.array(extents[start:end], dtype=np.int64))


def _gather(op: Operation) -> Value:
    """Translate picking from a list of extents, as exporters do to build a shape."""
    if isinstance(op.operands[1], Signal):
        raise op.refusal(
            "operator 'Gather' looks the network's input up in a table",
            "do that before the network: export it from the result of the look-up on",
        )
    if isinstance(op.operands[0], Signal):
        raise op.refusal(
            "operator 'Gather' picks elements of a tensor that depends on the network's input",
            "export a network that reads all of its input; what is picked can also be written "
            "as a MatMul with a matrix of zeros and ones",
        )
    source = op.integers(0, "the data")
    index = op.constant(1, "the index")
    op.axis(op.integer("axis", 0), 1)
    picks = [source[op.axis(int(i), len(source))] for i in index.array.ravel()]
    return _indices(op, np.array(picks, dtype=np.int64).reshape(index.shape))


def _concat(op: Operation) -> Value:
    """Translate joining lists of extents, as exporters do to build a shape; or p and 1 - p."""
    if any(isinstance(value, Signal) for value in op.operands):
        return joined(op)
    op.axis(op.integer("axis"), 1)
    parts = [op.integers(i, "a part") for i in range(len(op.operands))]
    return _indices(op, np.array([v for part in parts for v in part], dtype=np.int64))


def _indices(op: Operation, values: Any) -> Constant:  # noqa: ANN401  numpy's own array type
    return Constant(op.output, Kind.INTEGER, values)


FAMILY = Family(
    {
        "Concat": _concat,
        "Flatten": _flatten,
        "Gather": _gather,
        "Reshape": _reshape,
        "Shape": _shape,
        "Squeeze": _squeeze,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }
)
