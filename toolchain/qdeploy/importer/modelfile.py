"""An ONNX file as plain values: parsed, within limits, names unique, nothing interpreted yet."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer import external
from qdeploy.importer.names import readable, text
from qdeploy.importer.operation import Attribute, Unreadable
from qdeploy.importer.tensors import StoredTensor, decode
from qdeploy.importer.wire import count_parts
from qdeploy.reading import Kind, read_bytes

MAX_FILE_BYTES = 24 << 20
MODEL = Kind(
    "the model",
    MAX_FILE_BYTES,
    "give the path of an ONNX file",
    "a network of that size does not fit a microcontroller",
)
MAX_NODES = 10_000
MAX_PARTS = 1 << 19
"""Strings and messages in the file: fifty for each of the nodes that are possible."""
OLDEST_OPSET = 8
MAX_OUTPUTS = 16

Extent = int | str
"""One axis of a declared shape: a number, or the name of an open one (possibly empty)."""


@dataclass(frozen=True, slots=True, eq=False)
class GraphNode:
    """A node: names of operator and tensors; its attributes are read when it is needed."""

    name: str
    operator: str
    """`Gemm`, or `ai.onnx.ml::ZipMap` outside the default domain."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    proto: Any


@dataclass(frozen=True, slots=True)
class GraphInput:
    """A declared input: its element type code and shape, None where none is declared."""

    name: str
    element_type: int
    extents: tuple[Extent, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """What the importer reads from; `parameters` are the initializers."""

    path: Path
    sha256: str
    producer: str
    opset: int
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    nodes: tuple[GraphNode, ...]
    parameters: Mapping[str, StoredTensor]

    @property
    def file(self) -> str:
        """The file's name, for messages."""
        return self.path.name

    def refusal(self, what: str, fix: str, spot: str = "") -> InputError:
        """Return the error that says `what` about this file."""
        return InputError(what, where=Where(self.file, spot), fix=fix)


def read(path: Path) -> ModelFile:
    """Read the file at `path`.

    Raises:
        InputError: it is no ONNX file that can be read within the limits.
    """
    data = read_bytes(path, MODEL)
    proto = _parsed(data, path)
    try:
        return _model(proto, data, path)
    except UnicodeDecodeError as problem:
        raise _no_onnx(path, "a name in it is no UTF-8 text") from problem


def _no_onnx(path: Path, why: str) -> InputError:
    return InputError(
        f"this is no ONNX model: {why}",
        where=Where(path.name),
        fix="export the network as a binary .onnx file (ModelProto)",
    )


def _parsed(data: bytes, path: Path) -> Any:  # noqa: ANN401  a protobuf message
    proto = onnx.ModelProto()
    try:
        _refuse_too_many_parts(data, path)
        proto.ParseFromString(data)
    except (DecodeError, ValueError) as problem:
        raise _no_onnx(path, "it cannot be decoded") from problem
    if not proto.HasField("graph") or not proto.graph.output:
        raise _no_onnx(path, "it holds no graph")
    return proto


def _refuse_too_many_parts(data: bytes, path: Path) -> None:
    if count_parts(data, onnx.ModelProto.DESCRIPTOR, MAX_PARTS) > MAX_PARTS:
        raise InputError(
            f"the model has more than {MAX_PARTS} parts (nodes, names, attributes, tensors)",
            where=Where(path.name),
            fix="a network of that size does not fit a microcontroller",
        )


def _model(proto: Any, data: bytes, path: Path) -> ModelFile:  # noqa: ANN401  a protobuf message
    graph = proto.graph
    _check_size(graph, path)
    _refuse_sparse(graph, path)
    functions = {_operator(text(f.domain), text(f.name)) for f in proto.functions}
    nodes = tuple(_node(n, i, functions) for i, n in enumerate(graph.node))
    parameters, outside = _parameters(graph, path)
    inputs = tuple(_input(v) for v in graph.input if v.name not in parameters)
    model = ModelFile(
        path=path,
        sha256=hashlib.sha256(data + outside).hexdigest(),
        producer=readable(f"{text(proto.producer_name)} {text(proto.producer_version)}".strip()),
        opset=_opset(proto, path),
        inputs=inputs,
        outputs=tuple(text(v.name) for v in graph.output),
        nodes=nodes,
        parameters=parameters,
    )
    _check_names(model)
    return model


def _check_size(graph: Any, path: Path) -> None:  # noqa: ANN401  a protobuf message
    amounts = (graph.node, graph.initializer, graph.input)
    if max(map(len, amounts)) > MAX_NODES or len(graph.output) > MAX_OUTPUTS:
        raise InputError(
            f"the graph has {len(graph.node)} nodes, {len(graph.initializer)} initializers, "
            f"{len(graph.input)} inputs and {len(graph.output)} outputs",
            where=Where(path.name),
            fix=f"at most {MAX_NODES} of each and {MAX_OUTPUTS} outputs are possible",
        )


def _refuse_sparse(graph: Any, path: Path) -> None:  # noqa: ANN401  a protobuf message
    if graph.sparse_initializer:
        name = readable(graph.sparse_initializer[0].values.name)
        raise InputError(
            f"parameter {name!r} is stored as a sparse tensor",
            where=Where(path.name),
            fix="export with dense initializers",
        )


def _operator(domain: str, name: str) -> str:
    return name if domain in ("", "ai.onnx") else f"{domain}::{name}"


def _node(proto: Any, index: int, functions: set[str]) -> GraphNode:  # noqa: ANN401  a protobuf message
    operator = _operator(text(proto.domain), text(proto.op_type))
    # A function of the model may carry a standard operator's name and mean something else.
    if operator in functions:
        operator = f"function::{operator}"
    inputs, outputs = tuple(map(text, proto.input)), tuple(map(text, proto.output))
    name = text(proto.name) or (outputs[0] if outputs else "") or f"number {index}"
    return GraphNode(readable(name), readable(operator), inputs, outputs, proto)


def _input(proto: Any) -> GraphInput:  # noqa: ANN401  a protobuf message
    tensor = proto.type.tensor_type
    if not tensor.HasField("shape"):
        return GraphInput(text(proto.name), tensor.elem_type, None)
    extents = tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else readable(d.dim_param)
        for d in tensor.shape.dim
    )
    return GraphInput(text(proto.name), tensor.elem_type, extents)


def _parameters(graph: Any, path: Path) -> tuple[dict[str, StoredTensor], bytes]:  # noqa: ANN401  a protobuf message
    """Return the initializers by name, and the bytes read from other files, in order."""
    parameters: dict[str, StoredTensor] = {}
    outside: list[bytes] = []
    budget = external.MAX_EXTERNAL_BYTES
    for proto in graph.initializer:
        data = None
        if external.is_external(proto):
            data = external.load(proto, path, budget)
            budget -= len(data)
            outside.append(data)
        name = text(proto.name)
        if name in parameters:
            raise _twice(name, path)
        parameters[name] = StoredTensor(proto, path.name, data)
    return parameters, b"".join(outside)


def _twice(name: str, path: Path) -> InputError:
    return InputError(
        f"the name {readable(name)!r} stands for two tensors",
        where=Where(path.name),
        fix="check the model with onnx.checker and export it anew",
    )


def _opset(proto: Any, path: Path) -> int:  # noqa: ANN401  a protobuf message
    versions = {e.version for e in proto.opset_import if e.domain in ("", "ai.onnx")}
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1:
        raise _no_onnx(path, f"it names {len(versions)} versions of ONNX's operators")
    (version,) = versions
    if not OLDEST_OPSET <= version <= newest:
        raise InputError(
            f"the model uses opset {version}",
            where=Where(path.name),
            fix=f"export with an opset from {OLDEST_OPSET} to {newest}, "
            "or convert it with onnx.version_converter",
        )
    return int(version)


def _check_names(model: ModelFile) -> None:
    if "" in (*model.outputs, *(v.name for v in model.inputs)):
        raise _no_onnx(model.path, "an input or output has no name")
    seen = set(model.parameters)
    produced = (name for node in model.nodes for name in node.outputs if name)
    for name in (*(v.name for v in model.inputs), *produced):
        if name in seen:
            raise _twice(name, model.path)
        seen.add(name)


def attributes(model: ModelFile, node: GraphNode) -> Mapping[str, Attribute]:
    """Return the attributes of `node` as plain values."""
    found: dict[str, Attribute] = {}
    for proto in node.proto.attribute:
        name = readable(proto.name)
        if name in found or proto.ref_attr_name:
            raise model.refusal(
                f"attribute {name!r} is given twice or by reference",
                "check the model with onnx.checker and export it anew",
                f"node {node.name!r} ({node.operator})",
            )
        found[name] = _attribute(proto, model.file, node)
    return MappingProxyType(found)


def _attribute(proto: Any, file: str, node: GraphNode) -> Attribute:  # noqa: ANN401  a protobuf message
    kinds = onnx.AttributeProto
    scalar = {kinds.INT: "i", kinds.FLOAT: "f", kinds.STRING: "s"}.get(proto.type)
    if scalar is not None:
        plain: Attribute = getattr(proto, scalar)
        return plain
    several = {kinds.INTS: "ints", kinds.FLOATS: "floats", kinds.STRINGS: "strings"}.get(proto.type)
    if several is not None:
        return tuple(getattr(proto, several))
    if proto.type == kinds.TENSOR:
        return decode(StoredTensor(proto.t, file), node.outputs[0] if node.outputs else node.name)
    return Unreadable(_kind_name(proto.type))


def _kind_name(code: int) -> str:
    known = onnx.AttributeProto.AttributeType
    return str(known.Name(code)) if code in known.values() else f"type {code}"
