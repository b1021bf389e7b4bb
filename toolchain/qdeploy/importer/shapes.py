"""Shape arithmetic of ONNX, with the limits that keep hostile files from growing tensors."""

from math import prod

import numpy as np

from qdeploy.importer.operation import MAX_RANK, Operation

MAX_ELEMENTS = 1 << 21
"""Largest constant: two million weights are more than any supported microcontroller stores."""


def checked_shape(op: Operation, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` if it is within the limits."""
    if len(shape) > MAX_RANK or any(d < 1 for d in shape) or prod(shape) > MAX_ELEMENTS:
        raise op.refusal(
            f"operator {op.op_type!r} makes a tensor of shape {list(shape)[: MAX_RANK + 1]}",
            f"at most {MAX_RANK} axes and {MAX_ELEMENTS} elements are possible, none empty",
        )
    return shape


def broadcast_shape(
    op: Operation, left: tuple[int, ...], right: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape two tensors broadcast to."""
    try:
        shape = np.broadcast_shapes(left, right)
    except ValueError as mismatch:
        raise op.refusal(
            f"shapes {list(left)} and {list(right)} of operator {op.op_type!r} do not broadcast",
            "check the model with onnx.checker and export it anew",
        ) from mismatch
    return checked_shape(op, shape)


def product_shape(op: Operation, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of MatMul's result; vectors gain an axis and lose it again."""
    rows = left if len(left) > 1 else (1, *left)
    columns = right if len(right) > 1 else (*right, 1)
    if rows[-1] != columns[-2]:
        raise op.refusal(
            f"shapes {list(left)} and {list(right)} of operator {op.op_type!r} do not match",
            "check the model with onnx.checker and export it anew",
        )
    stack = broadcast_shape(op, rows[:-2], columns[:-2])
    height = rows[-2:-1] if len(left) > 1 else ()
    width = columns[-1:] if len(right) > 1 else ()
    return checked_shape(op, (*stack, *height, *width))
