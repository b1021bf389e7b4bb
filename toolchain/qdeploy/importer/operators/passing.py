"""Operators that pass their input on unchanged (Identity, Dropout, Cast), and Constant."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from qdeploy.importer.operation import Family, Operation, Translation
from qdeploy.importer.tensors import type_name
from qdeploy.importer.values import Constant, Kind, Signal, Value

_REAL_TYPES = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})
_INTEGER_TYPES = frozenset({onnx.TensorProto.INT32, onnx.TensorProto.INT64})
_RATIO_IS_AN_INPUT = 12
"""Since this opset Dropout takes ratio and training_mode as inputs."""


def _identity(op: Operation) -> Value:
    return _passed(op, op.operand(0))


def _passed(op: Operation, value: Signal | Constant) -> Value:
    return replace(value, tensor=op.output) if isinstance(value, Signal) else value


def _dropout(op: Operation) -> Value:
    if op.opset >= _RATIO_IS_AN_INPUT and op.has(2):
        mode = op.constant(2, "training_mode")
        if mode.kind is not Kind.BOOLEAN or mode.array.size != 1 or bool(mode.array.ravel()[0]):
            raise op.refusal(
                "input 'training_mode' of operator 'Dropout' is not false",
                "export the model in inference mode (torch: model.eval())",
            )
    return _identity(op)


def _cast(op: Operation) -> Value:
    """Translate a cast among reals, which is the identity over the reals; others round."""
    target = op.integer("to")
    value = op.operands[0]
    if isinstance(value, Signal) and target in _REAL_TYPES:
        return replace(value, tensor=op.output, real=True)
    if isinstance(value, Constant) and value.kind is not Kind.TEXT and target in _REAL_TYPES:
        return replace(value, kind=Kind.REAL)
    if isinstance(value, Constant) and value.kind is Kind.INTEGER and target in _INTEGER_TYPES:
        return value
    raise op.refusal(
        f"attribute 'to' of operator 'Cast' is {type_name(target)}",
        "only a Cast to FLOAT or DOUBLE can be deployed; remove the others before the export",
    )


def _constant(op: Operation) -> Value:
    if len(op.attributes) != 1:
        raise op.refusal(
            f"operator 'Constant' has {len(op.attributes)} attributes instead of one",
            "export the model anew",
        )
    ((name, value),) = op.attributes.items()
    if name == "value" and isinstance(value, Constant):
        return replace(value, name=op.output)
    if name not in _CONSTANT_KINDS:
        raise op.bad_attribute(name, "a tensor or a number")
    kind, element, is_list = _CONSTANT_KINDS[name]
    elements = value if isinstance(value, tuple) else (value,)
    if is_list != isinstance(value, tuple) or not all(isinstance(v, element) for v in elements):
        raise op.bad_attribute(name, f"of {kind.value} kind")
    return Constant(op.output, kind, _array(op, kind, value))


_CONSTANT_KINDS: dict[str, tuple[Kind, type, bool]] = {
    "value_float": (Kind.REAL, float, False),
    "value_floats": (Kind.REAL, float, True),
    "value_int": (Kind.INTEGER, int, False),
    "value_ints": (Kind.INTEGER, int, True),
    "value_string": (Kind.TEXT, bytes, False),
    "value_strings": (Kind.TEXT, bytes, True),
}


def _array(op: Operation, kind: Kind, value: Any) -> Any:  # noqa: ANN401  numpy decides the type
    if kind is Kind.TEXT:
        return np.zeros(0, dtype=np.int64)
    array = np.array(value, dtype=np.float64 if kind is Kind.REAL else np.int64)
    if kind is Kind.REAL and not np.all(np.isfinite(array)):
        raise op.refusal(
            f"the constant {op.output!r} contains NaN or infinity", "correct it and export anew"
        )
    return array


FAMILY = Family(
    {
        "Cast": Translation(_cast, (1, 1), frozenset({"to", "saturate", "round_mode"})),
        "Constant": Translation(
            _constant, (0, 0), frozenset({"value", "sparse_value", *_CONSTANT_KINDS})
        ),
        "Dropout": Translation(_dropout, (1, 3), frozenset({"ratio", "seed"})),
        "Identity": Translation(_identity, (1, 1)),
    }
)
