"""What the ONNX standard says of an operator in an opset: its inputs, attributes and types.

The tables are the onnx package's own, so nothing is repeated here that could disagree with them.
Types are written as ONNX writes them: `tensor(float)`, `seq(map(int64,tensor(float)))`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import onnx

from qdeploy.diagnostics import InputError
from qdeploy.importer.elements import shown, tensor_of
from qdeploy.importer.names import readable
from qdeploy.importer.operation import Operation

_ANEW = "check the model with onnx.checker and export it anew"
_MOST_INPUTS = 8
"""Of operators that take any number; exporters write two."""
_KINDS = onnx.AttributeProto.AttributeType


# --- the standard's tables -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Formal:
    """One input as the standard declares it; the last one of an operator may stand for many."""

    name: str
    needed: bool
    types: frozenset[str]
    parameter: str
    """Inputs and outputs of one parameter have one type."""


@dataclass(frozen=True, slots=True)
class _Signature:
    """An operator in one opset."""

    attributes: Mapping[str, int]
    required: frozenset[str]
    inputs: tuple[_Formal, ...]
    counts: tuple[int, int]
    """Fewest and most inputs."""
    result: _Formal


@cache
def _signature(operator: str, version: int) -> _Signature | None:
    """Return the operator as it is in opset `version`, None where there is none."""
    domain, _, name = operator.rpartition("::")
    try:
        schema = onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None
    attributes = dict(schema.attributes)
    return _Signature(
        MappingProxyType({key: _kind_of(a) for key, a in attributes.items()}),
        frozenset(key for key, a in attributes.items() if a.required),
        tuple(_formal(parameter) for parameter in schema.inputs),
        (schema.min_input, schema.max_input),
        _formal(schema.outputs[0]),
    )


def _kind_of(attribute: Any) -> int:  # noqa: ANN401  onnx's own type
    return int(attribute.type.value)


def _formal(parameter: Any) -> _Formal:  # noqa: ANN401  onnx's own type
    needed = parameter.option == onnx.defs.OpSchema.FormalParameterOption.Single
    return _Formal(parameter.name, needed, frozenset(parameter.types), parameter.type_str)


def result_type(op: Operation, operator: str, opsets: Mapping[str, int], proto: Any) -> str:  # noqa: ANN401  a protobuf message
    """Return the type of the node's first output, if the standard knows such a node.

    Raises:
        InputError: inputs, attributes or types are others than in these opsets.
    """
    domain = operator.rpartition("::")[0]
    signature = _signature(operator, opsets[domain]) if domain in opsets else None
    if signature is None:
        raise op.refusal(
            f"operator {op.op_type!r} does not exist in the opsets that the model imports", _ANEW
        )
    _check_attributes(op, signature, proto)
    bound = _bound_types(op, signature)
    return _type_of_result(op, signature, bound, proto)


# --- attributes ------------------------------------------------------------------------------


def _check_attributes(op: Operation, signature: _Signature, proto: Any) -> None:  # noqa: ANN401
    for attribute in proto.attribute:
        name, expected = attribute.name, signature.attributes.get(attribute.name)
        if expected is None:
            raise op.refusal(
                f"attribute {readable(name)!r} of operator {op.op_type!r} does not exist "
                f"in opset {op.opset}",
                f"export without it; there {_are(signature.attributes)}",
            )
        if attribute.type != expected:
            raise op.refusal(
                f"attribute {name!r} of operator {op.op_type!r} is {_kind_name(attribute.type)}, "
                f"the standard asks for {_kind_name(expected)}",
                _ANEW,
            )
    missing = sorted(signature.required - {attribute.name for attribute in proto.attribute})
    if missing:
        raise op.refusal(f"operator {op.op_type!r} lacks its attribute {missing[0]!r}", _ANEW)


def _are(known: Mapping[str, int]) -> str:
    return f"are {', '.join(sorted(known))}" if known else "is none"


def _kind_name(code: int) -> str:
    return str(_KINDS.Name(code)) if code in _KINDS.values() else f"type {code}"


# --- inputs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bound:
    """The type that a type parameter stands for, and the tensor that decided it."""

    kind: str
    name: str


def _bound_types(op: Operation, signature: _Signature) -> dict[str, _Bound]:
    """Return what the operands make of the operator's type parameters."""
    _check_count(op, *signature.counts)
    bound: dict[str, _Bound] = {}
    for index, (name, kind) in enumerate(zip(op.inputs, op.types, strict=True)):
        formal = signature.inputs[min(index, len(signature.inputs) - 1)]
        if name:
            _check_operand(op, formal, _Bound(kind, name), bound)
        elif formal.needed:
            raise op.refusal(f"operator {op.op_type!r} lacks its input {formal.name!r}", _ANEW)
    return bound


def _check_count(op: Operation, fewest: int, most: int) -> None:
    count = len(op.inputs)
    if fewest <= count <= min(most, _MOST_INPUTS):
        return
    span = str(fewest) if fewest == most else f"{fewest} to {min(most, _MOST_INPUTS)}"
    fix = _ANEW if most <= _MOST_INPUTS else "split it into several of fewer inputs"
    raise op.refusal(f"operator {op.op_type!r} has {count} inputs instead of {span}", fix)


def _check_operand(
    op: Operation, formal: _Formal, operand: _Bound, bound: dict[str, _Bound]
) -> None:
    if operand.kind not in formal.types:
        raise op.refusal(
            f"operator {op.op_type!r} takes no {shown(operand.kind)} in opset {op.opset}, "
            f"and {readable(operand.name)!r} is of that type",
            "export the model in float32, or with a Cast right behind an integer input",
        )
    first = bound.setdefault(formal.parameter, operand)
    if first.kind != operand.kind:
        raise _mixed(op, first, operand)


def _mixed(op: Operation, first: _Bound, second: _Bound) -> InputError:
    return op.refusal(
        f"operator {op.op_type!r} takes {readable(first.name)!r} of type {shown(first.kind)} "
        f"together with {readable(second.name)!r} of type {shown(second.kind)}",
        "the standard asks for one type: convert one of them with a Cast, or export anew",
    )


# --- results ---------------------------------------------------------------------------------


def _type_of_result(
    op: Operation,
    signature: _Signature,
    bound: Mapping[str, _Bound],
    proto: Any,  # noqa: ANN401  a protobuf message
) -> str:
    result = signature.result
    if result.parameter in bound:
        return bound[result.parameter].kind
    by_attributes = _BY_ATTRIBUTES.get(op.op_type)
    kind = next(iter(result.types)) if by_attributes is None else by_attributes(proto)
    # Before opset 9 a Constant had to be of reals; exporters and runtimes take it for a parameter.
    if kind not in result.types and op.op_type != "Constant":
        raise op.refusal(
            f"operator {op.op_type!r} makes no {shown(kind)} in opset {op.opset}",
            "export the model in float32",
        )
    return kind


def _cast_type(proto: Any) -> str:  # noqa: ANN401  a protobuf message
    return tensor_of(next(a.i for a in proto.attribute if a.name == "to"))


def _map_type(proto: Any) -> str:  # noqa: ANN401  a protobuf message
    names = {a.name for a in proto.attribute}
    keys = "string" if "classlabels_strings" in names else "int64"
    return f"seq(map({keys},tensor(float)))"


def _constant_type(proto: Any) -> str:  # noqa: ANN401  a protobuf message
    for attribute in proto.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            return tensor_of(attribute.t.data_type)
        if attribute.type in _ELEMENTS:
            return tensor_of(_ELEMENTS[attribute.type])
    return tensor_of(onnx.TensorProto.UNDEFINED)


_ELEMENTS: Mapping[int, int] = MappingProxyType(
    {
        onnx.AttributeProto.FLOAT: onnx.TensorProto.FLOAT,
        onnx.AttributeProto.FLOATS: onnx.TensorProto.FLOAT,
        onnx.AttributeProto.INT: onnx.TensorProto.INT64,
        onnx.AttributeProto.INTS: onnx.TensorProto.INT64,
        onnx.AttributeProto.STRING: onnx.TensorProto.STRING,
        onnx.AttributeProto.STRINGS: onnx.TensorProto.STRING,
    }
)
_BY_ATTRIBUTES: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {"Cast": _cast_type, "Constant": _constant_type, "ZipMap": _map_type}
)
"""Operators whose result has the type that an attribute names."""
