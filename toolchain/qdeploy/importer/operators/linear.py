"""Gemm and MatMul with a constant matrix on either side: dense layers."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.importer.operation import Family, Operation
from qdeploy.importer.shapes import broadcast_shape, checked_shape, product_shape
from qdeploy.importer.values import UNCHANGED, Affine, Constant, Signal, Value, through_dense
from qdeploy.ir import exact

_MATRIX = "the matrix"


def _matmul(op: Operation) -> Value:
    left, right = op.operand(0), op.operand(1)
    if not left.shape or not right.shape:
        raise op.refusal("operator 'MatMul' multiplies a scalar", "export with Mul instead")
    shape = product_shape(op, left.shape, right.shape)
    if isinstance(left, Signal) and isinstance(right, Constant):
        _refuse_rows(op, left, prod(left.shape[:-1]))
        return _dense(op, left, _columns(op, op.real(right, _MATRIX)), UNCHANGED, shape)
    if isinstance(right, Signal) and isinstance(left, Constant):
        _refuse_rows(op, right, prod(right.shape) // _inner(right.shape))
        return _dense(op, right, _rows(op, op.real(left, _MATRIX)), UNCHANGED, shape)
    raise _no_matrix(op, left)


def _inner(shape: tuple[int, ...]) -> int:
    return shape[-2] if len(shape) > 1 else shape[0]


def _columns(op: Operation, matrix: Constant) -> NDArray[Any]:
    """Return W of x @ matrix = W x."""
    _refuse_stack(op, matrix)
    array = matrix.array
    return array.reshape(1, -1) if array.ndim == 1 else array.reshape(array.shape[-2:]).T


def _rows(op: Operation, matrix: Constant) -> NDArray[Any]:
    """Return W of matrix @ x = W x."""
    _refuse_stack(op, matrix)
    array = matrix.array
    return array.reshape(1, -1) if array.ndim == 1 else array.reshape(array.shape[-2:])


def _refuse_stack(op: Operation, matrix: Constant) -> None:
    if prod(matrix.shape[:-2]) != 1:
        raise op.refusal(
            f"{matrix.name!r} of shape {list(matrix.shape)} is a stack of matrices",
            "export one matrix for each MatMul",
        )


def _refuse_rows(op: Operation, signal: Signal, rows: int) -> None:
    if rows != 1:
        raise op.refusal(
            f"operator {op.op_type!r} works on {rows} vectors at once: "
            f"its input has the shape {list(signal.shape)}",
            "export with batch size 1 or a symbolic batch; flatten images before the first layer",
        )


def _no_matrix(op: Operation, left: Value) -> Exception:
    if isinstance(left, Signal):
        return op.refusal(
            f"both inputs of operator {op.op_type!r} depend on the network's input",
            "one of the two must be an initializer or Constant",
        )
    return op.refusal(
        f"both inputs of operator {op.op_type!r} are constants",
        "simplify the model (constant folding) before the export",
    )


def _dense(
    op: Operation, signal: Signal, weight: NDArray[Any], after: Affine, shape: tuple[int, ...]
) -> Signal:
    layer = through_dense(signal, weight, after, op.step, op.output)
    return Signal(shape, op.output, layer)


def _gemm(op: Operation) -> Value:
    left, right = op.operand(0), op.operand(1)
    if len(left.shape) != 2 or len(right.shape) != 2:  # noqa: PLR2004  a matrix has two axes
        raise op.refusal(
            f"operator 'Gemm' takes matrices, not shapes {list(left.shape)} "
            f"and {list(right.shape)}",
            "flatten the input before the first layer",
        )
    turn_left, turn_right = op.flag("transA"), op.flag("transB")
    shape = product_shape(op, _turned(left.shape, turn_left), _turned(right.shape, turn_right))
    after = _scaled_and_shifted(op, shape)
    if isinstance(left, Signal) and isinstance(right, Constant):
        _refuse_rows(op, left, shape[0])
        matrix = op.real(right, _MATRIX).array
        return _dense(op, left, matrix if turn_right else matrix.T, after, shape)
    if isinstance(right, Signal) and isinstance(left, Constant):
        _refuse_rows(op, right, shape[1])
        matrix = op.real(left, _MATRIX).array
        return _dense(op, right, matrix.T if turn_left else matrix, after, shape)
    raise _no_matrix(op, left)


def _turned(shape: tuple[int, ...], turn: bool) -> tuple[int, ...]:  # noqa: FBT001  ONNX's own flag
    return shape[::-1] if turn else shape


def _scaled_and_shifted(op: Operation, shape: tuple[int, ...]) -> Affine:
    """Return v -> alpha * v + beta * C, C broadcast to `shape`."""
    size = prod(checked_shape(op, shape))
    scale = exact([op.fraction("alpha", 1.0)] * size)
    beta = op.fraction("beta", 1.0)
    if not op.has(2):
        return UNCHANGED.then(Affine(scale))
    addend = op.reals(2, "C")
    if broadcast_shape(op, addend.shape, shape) != shape:
        raise op.refusal(
            f"C of operator 'Gemm', {addend.name!r}, has the shape {list(addend.shape)}, "
            f"the result {list(shape)}",
            "export a bias with one number for each output",
        )
    shift = exact(np.broadcast_to(addend.array, shape).ravel()) * beta
    return UNCHANGED.then(Affine(scale, np.asarray(shift, dtype=object)))


FAMILY = Family({"Gemm": _gemm, "MatMul": _matmul})
