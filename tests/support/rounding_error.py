"""A model evaluated in doubles, with a bound on how far a runtime's rounding may lead it away.

Written on numpy and the ONNX standard alone. Every operator passes the errors of its operands on
and adds its own: a few units in the last place of the tensor's type. The curves of a runtime (tanh
and its like) are allowed sixteen of them.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_UNIT = {
    TensorProto.FLOAT: (2.0**-24, 2.0**-149, float(np.finfo(np.float32).max)),
    TensorProto.DOUBLE: (2.0**-53, 2.0**-1070, float(np.finfo(np.float64).max)),
    TensorProto.FLOAT16: (2.0**-11, 2.0**-24, 65504.0),
    TensorProto.BFLOAT16: (2.0**-8, 2.0**-133, 3.38e38),
}
"""Half a unit in the last place of 1, the smallest step, and the largest number."""
_CURVE = 16
"""Units in the last place by which a runtime's tanh may be off."""


class OverflowsError(Exception):
    """A value is too large for its type, so a runtime gives infinity where the reals do not."""


@dataclass(frozen=True)
class Rounded:
    """Values, how far off they may be, and their element type."""

    value: NDArray[Any]
    error: NDArray[Any]
    kind: int


@dataclass(frozen=True)
class _Call:
    """A node being evaluated."""

    operands: list[Rounded | None]
    attributes: Mapping[str, Any]
    opset: int

    def value(self, index: int) -> NDArray[Any]:
        operand = self.operands[index]
        assert operand is not None
        return operand.value

    def error(self, index: int) -> NDArray[Any]:
        operand = self.operands[index]
        assert operand is not None
        return operand.error

    def has(self, index: int) -> bool:
        return index < len(self.operands) and self.operands[index] is not None

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    @property
    def kind(self) -> int:
        first = next(o for o in self.operands if o is not None)
        return first.kind

    def made(self, value: Any, error: Any, ulps: float = 1, kind: int | None = None) -> Rounded:
        """Return a result that is rounded once, by `ulps` half units."""
        kind = self.kind if kind is None else kind
        value = np.asarray(value, dtype=np.float64)
        unit, step, largest = _UNIT[kind]
        error = error + ulps * (unit * (np.abs(value) + error) + step)
        if value.size and np.max(np.abs(value) + error) > largest / 2:
            raise OverflowsError
        return Rounded(value, np.broadcast_to(error, value.shape), kind)

    def moved(self, value: NDArray[Any], error: NDArray[Any]) -> Rounded:
        """Return a result that is not rounded."""
        return Rounded(value, error, self.kind)


def rounded_value(model: onnx.ModelProto, x: NDArray[Any], wanted: str) -> Rounded:
    """Return what tensor `wanted` is for the input x, and how far a runtime may be off."""
    values = {t.name: _stored(t) for t in model.graph.initializer}
    (declared,) = (v for v in model.graph.input if v.name not in values)
    values[declared.name] = _constant_of(x, declared.type.tensor_type.elem_type)
    opset = next(e.version for e in model.opset_import if not e.domain)
    for proto in live_nodes(model, wanted):
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        operands = [values[name] if name else None for name in proto.input]
        call = _Call(operands, attributes, opset)
        with np.errstate(all="ignore"):
            values[proto.output[0]] = _OPERATORS[proto.op_type](call)
    return values[wanted]


def live_nodes(model: onnx.ModelProto, *wanted: str) -> list[onnx.NodeProto]:
    """Return the nodes that these tensors need, in order; a graph lists them so."""
    needed, live = set(wanted), []
    for proto in reversed(model.graph.node):
        if needed & set(proto.output):
            needed |= set(proto.input)
            live.append(proto)
    return live[::-1]


def _stored(tensor: onnx.TensorProto) -> Rounded:
    return _constant_of(numpy_helper.to_array(tensor), tensor.data_type)


def _constant_of(array: NDArray[Any], kind: int) -> Rounded:
    if kind in _UNIT:
        value = np.asarray(array).astype(np.float64)
        return Rounded(value, np.zeros(value.shape), kind)
    if kind == TensorProto.STRING:
        return Rounded(array, np.zeros(array.shape), kind)
    return Rounded(np.asarray(array, dtype=np.int64), np.zeros(np.shape(array)), kind)


# --- layers ----------------------------------------------------------------------------------


def _product(a: NDArray, ea: NDArray, b: NDArray, eb: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return the product of matrices, the error it inherits, and the sum of magnitudes."""
    sizes = (np.abs(a) + ea) @ (np.abs(b) + eb)
    return a @ b, ea @ (np.abs(b) + eb) + np.abs(a) @ eb, sizes


def _unit(kind: int) -> float:
    return _UNIT[kind][0]


def _matmul(c: _Call) -> Rounded:
    value, error, sizes = _product(c.value(0), c.error(0), c.value(1), c.error(1))
    terms = c.value(0).shape[-1] + 2
    return c.made(value, error + terms * _unit(c.kind) * sizes)


def _gemm(c: _Call) -> Rounded:
    turn = [(lambda m: m.T) if c.get(f, 0) else (lambda m: m) for f in ("transA", "transB")]
    left, right = [(turn[i](c.value(i)), turn[i](c.error(i))) for i in (0, 1)]
    value, error, sizes = _product(*left, *right)
    alpha, beta = c.get("alpha", 1.0), c.get("beta", 1.0)
    terms, unit = left[0].shape[1] + 4, _unit(c.kind)
    value, error = alpha * value, abs(alpha) * (error + terms * unit * sizes)
    if np.max(sizes, initial=0) > _UNIT[c.kind][2] / 2:
        raise OverflowsError
    if c.has(2):
        value = value + beta * c.value(2)
        error = error + abs(beta) * (c.error(2) + 2 * unit * np.abs(c.value(2)))
    return c.made(value, error, ulps=2)


def _add(c: _Call) -> Rounded:
    return c.made(c.value(0) + c.value(1), c.error(0) + c.error(1))


def _sub(c: _Call) -> Rounded:
    return c.made(c.value(0) - c.value(1), c.error(0) + c.error(1))


def _mul(c: _Call) -> Rounded:
    a, b, ea, eb = c.value(0), c.value(1), c.error(0), c.error(1)
    return c.made(a * b, np.abs(a) * eb + np.abs(b) * ea + ea * eb)


def _div(c: _Call) -> Rounded:
    a, b, ea, eb = c.value(0), c.value(1), c.error(0), c.error(1)
    value = a / b
    return c.made(value, (ea + np.abs(value) * eb) / np.maximum(np.abs(b) - eb, 1e-300), ulps=2)


def _scaler(c: _Call) -> Rounded:
    offset, scale = (np.array(c.attributes[name]) for name in ("offset", "scale"))
    moved = c.value(0) - offset
    unit = _unit(TensorProto.FLOAT)
    error = np.abs(scale) * (c.error(0) + 2 * unit * (np.abs(c.value(0)) + np.abs(moved)))
    return c.made(moved * scale, error, ulps=2, kind=TensorProto.FLOAT)


# --- activations -----------------------------------------------------------------------------


def _steepness(steepest: float, curve: Callable[[NDArray], NDArray]) -> Callable[[_Call], Rounded]:
    """Return an operator of a curve into [-1, 1] that is at most so steep."""
    return lambda c: c.made(curve(c.value(0)), steepest * c.error(0) + _CURVE * _unit(c.kind))


def _clip(c: _Call) -> Rounded:
    limits: list[Any] = [c.get("min", None), c.get("max", None)]
    if c.opset >= 11:
        limits = [c.value(i) if c.has(i) else None for i in (1, 2)]
    value = c.value(0)
    value = value if limits[0] is None else np.fmax(value, limits[0])
    value = value if limits[1] is None else np.fmin(value, limits[1])
    # Limits that are attributes are float32, whatever the tensor's type: they are rounded to it.
    return c.moved(value, c.error(0)) if c.opset >= 11 else c.made(value, c.error(0))


def _extreme(pick: Callable[[Any, Any], Any]) -> Callable[[_Call], Rounded]:
    def operator(c: _Call) -> Rounded:
        operands = [o for o in c.operands if o is not None]
        value = functools.reduce(pick, (o.value for o in operands))
        errors = functools.reduce(np.maximum, (o.error for o in operands))
        return c.moved(value, np.broadcast_to(errors, value.shape))

    return operator


def _leaking(c: _Call, slope: Any) -> Rounded:
    value = np.where(c.value(0) >= 0, c.value(0), c.value(0) * slope)
    return c.made(value, np.maximum(1, np.abs(slope)) * c.error(0), ulps=2)


def _elu(c: _Call) -> Rounded:
    alpha, x = c.get("alpha", 1.0), c.value(0)
    value = np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return c.made(value, max(1, abs(alpha)) * (c.error(0) + _CURVE * _unit(c.kind)), ulps=2)


def _hard_sigmoid(c: _Call) -> Rounded:
    alpha, beta = c.get("alpha", float(np.float32(0.2))), c.get("beta", 0.5)
    moved = alpha * c.value(0) + beta
    error = abs(alpha) * c.error(0) + 4 * _unit(c.kind) * (np.abs(alpha * c.value(0)) + abs(beta))
    return c.made(np.clip(moved, 0, 1), error)


def _logistic(x: NDArray) -> NDArray:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x))))


# --- plumbing --------------------------------------------------------------------------------


def _cast(c: _Call) -> Rounded:
    kind = c.attributes["to"]
    if kind in _UNIT:
        return c.made(c.value(0), c.error(0), kind=kind)
    return Rounded(c.value(0).astype(np.int64), np.zeros(c.value(0).shape), kind)


def _constant(c: _Call) -> Rounded:
    ((name, value),) = c.attributes.items()
    if name == "value":
        return _stored(value)
    kind = TensorProto.FLOAT if name.startswith("value_float") else TensorProto.INT64
    return _constant_of(np.array(value), kind)


def _shaped(shape_of: Callable[[_Call], tuple[int, ...]]) -> Callable[[_Call], Rounded]:
    def operator(c: _Call) -> Rounded:
        shape = shape_of(c)
        return c.moved(c.value(0).reshape(shape), c.error(0).reshape(shape))

    return operator


def _flat(c: _Call) -> tuple[int, ...]:
    shape, axis = c.value(0).shape, c.get("axis", 1)
    axis = axis if axis >= 0 else axis + len(shape)
    return prod(shape[:axis]), prod(shape[axis:])


def _asked_for(c: _Call) -> tuple[int, ...]:
    shape = c.value(0).shape
    copies = not c.get("allowzero", 0)
    return tuple(shape[i] if d == 0 and copies else int(d) for i, d in enumerate(c.value(1)))


def _axes(c: _Call) -> tuple[int, ...] | None:
    listed = c.get("axes", None) if c.opset < 13 else (c.value(1) if c.has(1) else None)
    return None if listed is None else tuple(int(i) for i in np.ravel(listed))


def _squeezed(c: _Call) -> tuple[int, ...]:
    return np.squeeze(c.value(0), _axes(c)).shape


def _unsqueezed(c: _Call) -> tuple[int, ...]:
    return np.expand_dims(c.value(0), _axes(c) or ()).shape


def _transpose(c: _Call) -> Rounded:
    order = c.get("perm", None)
    return c.moved(c.value(0).transpose(order), c.error(0).transpose(order))


def _indices(array: Any) -> Rounded:
    return _constant_of(np.asarray(array, dtype=np.int64), TensorProto.INT64)


def _shape(c: _Call) -> Rounded:
    return _indices(c.value(0).shape[slice(c.get("start", None), c.get("end", None))])


def _concat(c: _Call) -> Rounded:
    return _indices(np.concatenate([o.value for o in c.operands if o], c.attributes["axis"]))


def _unchanged(c: _Call) -> Rounded:
    return c.moved(c.value(0), c.error(0))


_OPERATORS: Mapping[str, Callable[[_Call], Rounded]] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Scaler": _scaler,
    "Relu": lambda c: c.moved(np.maximum(c.value(0), 0), c.error(0)),
    "Abs": lambda c: c.moved(np.abs(c.value(0)), c.error(0)),
    "Clip": _clip,
    "Max": _extreme(np.maximum),
    "Min": _extreme(np.minimum),
    "LeakyRelu": lambda c: _leaking(c, c.get("alpha", float(np.float32(0.01)))),
    "PRelu": lambda c: _leaking(c, c.value(1)),
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "Tanh": _steepness(1, np.tanh),
    "Sigmoid": _steepness(0.25, _logistic),
    "Softsign": _steepness(1, lambda x: x / (1 + np.abs(x))),
    "Cast": _cast,
    "Constant": _constant,
    "Flatten": _shaped(_flat),
    "Reshape": _shaped(_asked_for),
    "Squeeze": _shaped(_squeezed),
    "Unsqueeze": _shaped(_unsqueezed),
    "Transpose": _transpose,
    "Shape": _shape,
    "Gather": lambda c: _indices(np.take(c.value(0), c.value(1), c.get("axis", 0))),
    "Concat": _concat,
    "Identity": _unchanged,
    "Dropout": _unchanged,
}
