"""Operators that pass their input on unchanged (Identity, Dropout, Cast), and Constant."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from qdeploy.importer.elements import shown
from qdeploy.importer.operation import Family, Operation
from qdeploy.importer.values import Constant, Kind, Signal, Value

_REALS = frozenset({"tensor(float)", "tensor(double)"})
_INTEGERS: Mapping[str, type[np.integer[Any]]] = MappingProxyType(
    {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
)
_RATIO_IS_AN_INPUT = 12
"""Since this opset Dropout takes ratio and training_mode as inputs."""


def _identity(op: Operation) -> Value:
    return _passed(op, op.value(0))


def _passed(op: Operation, value: Signal | Constant) -> Value:
    return replace(value, tensor=op.output) if isinstance(value, Signal) else value


def _dropout(op: Operation) -> Value:
    if op.opset >= _RATIO_IS_AN_INPUT:
        _check_ratio(op)
        _check_mode(op)
    return _identity(op)


def _check_ratio(op: Operation) -> None:
    """Refuse a ratio that no runtime takes, although inference makes no use of it."""
    if not op.has(1):
        return
    ratio = op.reals(1, "the ratio")
    if ratio.shape or not 0 <= float(ratio.array) < 1:
        raise op.refusal(
            f"the ratio {ratio.name!r} of operator 'Dropout' is no number from 0 to below 1",
            "export the model in inference mode (torch: model.eval())",
        )


def _check_mode(op: Operation) -> None:
    if not op.has(2):
        return
    mode = op.constant(2, "training_mode")
    if mode.shape or bool(mode.array):
        raise op.refusal(
            "input 'training_mode' of operator 'Dropout' is not false",
            "export the model in inference mode (torch: model.eval())",
        )


def _cast(op: Operation) -> Value:
    """Translate a cast among reals, which is the identity over the reals; others round."""
    value, target = op.value(0), op.result_type
    if isinstance(value, Signal) and target in _REALS:
        return replace(value, tensor=op.output, real=True)
    if isinstance(value, Constant) and value.kind is not Kind.TEXT and target in _REALS:
        return op.representable(replace(value, kind=Kind.REAL))
    if isinstance(value, Constant) and value.kind is Kind.INTEGER and target in _INTEGERS:
        return _among_integers(op, value, _INTEGERS[target])
    raise op.refusal(
        f"attribute 'to' of operator 'Cast' is {shown(target)}",
        "only a Cast to FLOAT or DOUBLE can be deployed; remove the others before the export",
    )


def _among_integers(op: Operation, value: Constant, target: type[np.integer[Any]]) -> Constant:
    limits = np.iinfo(target)
    if (
        value.array.size
        and not limits.min <= int(value.array.min()) <= int(value.array.max()) <= limits.max
    ):
        raise op.refusal(
            f"the constant {value.name!r} holds a number that {shown(op.result_type)} has not",
            "correct the constant and export anew",
        )
    return replace(value, array=value.array.astype(target))


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
    return Constant(op.output, kind, _array(kind, value))


_CONSTANT_KINDS: dict[str, tuple[Kind, type, bool]] = {
    "value_float": (Kind.REAL, float, False),
    "value_floats": (Kind.REAL, float, True),
    "value_int": (Kind.INTEGER, int, False),
    "value_ints": (Kind.INTEGER, int, True),
    "value_string": (Kind.TEXT, bytes, False),
    "value_strings": (Kind.TEXT, bytes, True),
}


def _array(kind: Kind, value: Any) -> Any:  # noqa: ANN401  numpy decides the type
    if kind is Kind.TEXT:
        return np.zeros((len(value),) if isinstance(value, tuple) else (), dtype=np.int8)
    return np.array(value, dtype=np.float64 if kind is Kind.REAL else np.int64)


FAMILY = Family({"Cast": _cast, "Constant": _constant, "Dropout": _dropout, "Identity": _identity})
