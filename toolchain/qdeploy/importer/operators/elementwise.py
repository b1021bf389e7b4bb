"""Add, Sub, Mul, Div or a Scaler with constants: element by element, exactly."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod
from operator import add, mul, sub, truediv
from typing import Any

import numpy as np

from qdeploy.importer.operation import Family, Operation
from qdeploy.importer.operators.activations import softsign_written_out
from qdeploy.importer.shapes import broadcast_shape
from qdeploy.importer.values import (
    Affine,
    Constant,
    Kind,
    Magnitude,
    Signal,
    Value,
    constant_of,
    with_affine,
)
from qdeploy.ir import FractionArray, exact


def _arithmetic(op: Operation) -> Value:
    if any(isinstance(value, Magnitude) for value in op.operands):
        return _with_magnitude(op)
    left, right = op.operand(0), op.operand(1)
    if isinstance(left, Signal) and isinstance(right, Signal):
        raise op.refusal(
            f"both inputs of operator {op.op_type!r} depend on the network's input",
            "residual and gated connections are not supported: one of the two must be a constant",
        )
    if isinstance(left, Signal):
        return _with_constant(op, left, op.reals(1, "the constant"), _ON_THE_RIGHT)
    if isinstance(right, Signal):
        return _with_constant(op, right, op.reals(0, "the constant"), _ON_THE_LEFT)
    return _folded(op, op.reals(0, "a constant"), op.reals(1, "a constant"))


def _with_magnitude(op: Operation) -> Value:
    """Add a constant to a magnitude, or divide a signal by it."""
    left, right = op.operands
    match op.op_type, left, right:
        case "Div", Signal(), Magnitude():
            return softsign_written_out(op, left, right)
        case "Add", Magnitude(shift=None), Constant():
            return _shifted(op, left, right)
        case "Add", Constant(), Magnitude(shift=None):
            return _shifted(op, right, left)
        case _:
            raise op.half_a_softsign()


def _shifted(op: Operation, magnitude: Magnitude, constant: Constant) -> Magnitude:
    shape, shift = _spread(op, magnitude.of, op.real(constant, "the constant"))
    return Magnitude(replace(magnitude.of, shape=shape), shift)


def _with_constant(
    op: Operation,
    signal: Signal,
    constant: Constant,
    meanings: Mapping[str, Callable[[FractionArray], Affine]],
) -> Signal:
    if op.op_type not in meanings:
        raise op.refusal(
            "operator 'Div' divides a constant by a value that depends on the network's input",
            "only division by a constant is supported",
        )
    _refuse_zero_divisor(op, constant)
    shape, values = _spread(op, signal, constant)
    return _applied(op, signal, shape, meanings[op.op_type](values))


def _spread(
    op: Operation, signal: Signal, constant: Constant
) -> tuple[tuple[int, ...], FractionArray]:
    """Return the result's shape, and the constant broadcast to it, one number an element."""
    shape = broadcast_shape(op, signal.shape, constant.shape)
    if prod(shape) != signal.size:
        raise op.refusal(
            f"the constant {constant.name!r} of shape {list(constant.shape)} enlarges "
            f"a tensor of shape {list(signal.shape)} to {list(shape)}",
            "export with batch size 1 and a constant that broadcasts to the tensor",
        )
    return shape, exact(np.broadcast_to(constant.array, shape).ravel())


def _applied(op: Operation, signal: Signal, shape: tuple[int, ...], affine: Affine) -> Signal:
    return replace(with_affine(signal, affine, op.step), shape=shape, tensor=op.output)


def _refuse_zero_divisor(op: Operation, divisor: Constant) -> None:
    if op.op_type == "Div" and np.any(divisor.array == 0):
        raise op.refusal(
            f"the divisor {divisor.name!r} contains a zero", "correct the constant and export anew"
        )


def _folded(op: Operation, left: Constant, right: Constant) -> Constant:
    shape = broadcast_shape(op, left.shape, right.shape)
    _refuse_zero_divisor(op, right)
    result = _ARITHMETIC[op.op_type](exact(left.array), exact(right.array))
    folded = constant_of(np.asarray(result, dtype=object).reshape(shape), op.output)
    return op.representable(folded)


def _times(values: FractionArray) -> Affine:
    return Affine(scale=values)


def _plus(values: FractionArray) -> Affine:
    return Affine(shift=values)


def _minus(values: FractionArray) -> Affine:
    return Affine(shift=np.asarray(-values, dtype=object))


def _subtracted_from(values: FractionArray) -> Affine:
    return Affine(exact([Fraction(-1)] * values.size), values)


def _divided_by(values: FractionArray) -> Affine:
    return Affine(scale=np.asarray(Fraction(1) / values, dtype=object))


_ON_THE_RIGHT = {"Add": _plus, "Sub": _minus, "Mul": _times, "Div": _divided_by}
_ON_THE_LEFT = {"Add": _plus, "Sub": _subtracted_from, "Mul": _times}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": truediv,
}


def _scaler(op: Operation) -> Value:
    """Translate (x - offset) * scale, one number for all or one for each of the last axis.

    What it reads may be integers: its result never is.
    """
    value = op.value(0)
    if isinstance(value, Constant):
        raise op.refusal("operator 'Scaler' scales a constant", "export the model anew")
    offset = Constant(f"{op.name}.offset", Kind.REAL, _floats(op, "offset"))
    scale = Constant(f"{op.name}.scale", Kind.REAL, _floats(op, "scale"))
    _require_features(op, value, offset.shape, scale.shape)
    _, offsets = _spread(op, value, offset)
    _, scales = _spread(op, value, scale)
    affine = _minus(offsets).then(_times(scales))
    return _applied(op, replace(value, real=True), value.shape, affine)


def _require_features(op: Operation, signal: Signal, *sizes: tuple[int, ...]) -> None:
    """Refuse what the standard leaves open: more axes, or offsets and scales that differ."""
    one_each = (len(signal.shape) <= 2 and sizes[0] == signal.shape[-1:]) or sizes[0] == (1,)  # noqa: PLR2004  [N, features]
    if not one_each or sizes[0] != sizes[1]:
        raise op.refusal(
            f"operator 'Scaler' has {sizes[0][0]} offsets and {sizes[1][0]} scales "
            f"for a tensor of shape {list(signal.shape)}",
            "export with one of each, or one for each feature of a tensor [1, features]",
        )


def _floats(op: Operation, name: str) -> Any:  # noqa: ANN401  numpy's own array type
    value = op.attributes.get(name)
    if not isinstance(value, tuple) or not all(isinstance(v, float) for v in value):
        raise op.bad_attribute(name, "a list of floating-point numbers")
    numbers = np.array(value, dtype=np.float64)
    if numbers.size == 0 or not np.all(np.isfinite(numbers)):
        raise op.bad_attribute(name, "a non-empty list of finite numbers")
    return numbers


FAMILY = Family(
    {
        **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
        "ai.onnx.ml::Scaler": _scaler,
    }
)
