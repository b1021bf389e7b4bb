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
from qdeploy.importer.elements import declared_type
from qdeploy.importer.foreign import other_kind
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
NEWEST: Mapping[str, int] = MappingProxyType(
    {
        "": int(onnx.defs.onnx_opset_version()),
        "ai.onnx.ml": max(int(release[3]) for release in onnx.helper.VERSION_TABLE),
    }
)
"""The newest opset that is known, by domain."""
_OLDEST_FORMAT = 3
"""Since this IR version a file says which opsets it uses."""
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

    @property
    def spot(self) -> str:
        """Where it is, for messages."""
        return f"node {self.name!r} ({self.operator})"


@dataclass(frozen=True, slots=True)
class Declared:
    """What the file says about a tensor: type and shape, where it says them."""

    role: str
    """`input`, `output` or `tensor`."""
    name: str
    type: str
    """See `qdeploy.importer.elements`; empty: not declared."""
    extents: tuple[Extent, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """What the importer reads from; `parameters` are the initializers."""

    path: Path
    sha256: str
    producer: str
    opsets: Mapping[str, int]
    """By domain, that of ONNX itself being empty."""
    inputs: tuple[Declared, ...]
    outputs: tuple[str, ...]
    nodes: tuple[GraphNode, ...]
    parameters: Mapping[str, StoredTensor]
    declarations: tuple[Declared, ...]
    """Of all tensors but the inputs."""

    @property
    def file(self) -> str:
        """The file's name, for messages."""
        return readable(self.path.name)

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
        where=Where(readable(path.name)),
        fix="export the network as a binary .onnx file (ModelProto)",
    )


def _parsed(data: bytes, path: Path) -> Any:  # noqa: ANN401  a protobuf message
    proto = onnx.ModelProto()
    try:
        _refuse_too_many_parts(data, path)
        proto.ParseFromString(data)
    except (DecodeError, ValueError) as problem:
        raise _other_file(path, "it cannot be decoded", data) from problem
    if not proto.HasField("graph") or not proto.graph.output:
        raise _other_file(path, "it holds no graph", data)
    return proto


def _other_file(path: Path, why: str, data: bytes) -> InputError:
    """Return the error for a file that is no ONNX, and say what it is where that shows."""
    found = other_kind(data, path.suffix)
    if found is None:
        return _no_onnx(path, why)
    kind, fix = found
    return InputError(
        f"this is no ONNX model but {kind}", where=Where(readable(path.name)), fix=fix
    )


def _refuse_too_many_parts(data: bytes, path: Path) -> None:
    if count_parts(data, onnx.ModelProto.DESCRIPTOR, MAX_PARTS) > MAX_PARTS:
        raise InputError(
            f"the model has more than {MAX_PARTS} parts (nodes, names, attributes, tensors)",
            where=Where(readable(path.name)),
            fix="a network of that size does not fit a microcontroller",
        )


def _model(proto: Any, data: bytes, path: Path) -> ModelFile:  # noqa: ANN401  a protobuf message
    graph = proto.graph
    _check_size(graph, path)
    _refuse_sparse(graph, path)
    functions = {_operator(text(f.domain), text(f.name)) for f in proto.functions}
    nodes = tuple(_node(n, i, functions) for i, n in enumerate(graph.node))
    parameters, outside = _parameters(graph, path)
    model = ModelFile(
        path=path,
        sha256=hashlib.sha256(data + outside).hexdigest(),
        producer=readable(f"{text(proto.producer_name)} {text(proto.producer_version)}".strip()),
        opsets=_opsets(proto, path),
        inputs=tuple(_declared("input", v) for v in graph.input if v.name not in parameters),
        outputs=tuple(text(v.name) for v in graph.output),
        nodes=nodes,
        parameters=parameters,
        declarations=_declarations(graph, parameters),
    )
    _check_names(model)
    return model


def _check_size(graph: Any, path: Path) -> None:  # noqa: ANN401  a protobuf message
    amounts = (graph.node, graph.initializer, graph.input)
    if max(map(len, amounts)) > MAX_NODES or len(graph.output) > MAX_OUTPUTS:
        raise InputError(
            f"the graph has {len(graph.node)} nodes, {len(graph.initializer)} initializers, "
            f"{len(graph.input)} inputs and {len(graph.output)} outputs",
            where=Where(readable(path.name)),
            fix=f"at most {MAX_NODES} of each and {MAX_OUTPUTS} outputs are possible",
        )


def _refuse_sparse(graph: Any, path: Path) -> None:  # noqa: ANN401  a protobuf message
    if graph.sparse_initializer:
        name = readable(graph.sparse_initializer[0].values.name)
        raise InputError(
            f"parameter {name!r} is stored as a sparse tensor",
            where=Where(readable(path.name)),
            fix="export with dense initializers",
        )


def _operator(domain: str, name: str) -> str:
    return f"{_plain(domain)}::{name}" if _plain(domain) else name


def _node(proto: Any, index: int, functions: set[str]) -> GraphNode:  # noqa: ANN401  a protobuf message
    operator = _operator(text(proto.domain), text(proto.op_type))
    # A function of the model may carry a standard operator's name and mean something else.
    if operator in functions:
        operator = f"function::{operator}"
    inputs, outputs = tuple(map(text, proto.input)), tuple(map(text, proto.output))
    name = text(proto.name) or (outputs[0] if outputs else "") or f"number {index}"
    return GraphNode(readable(name), readable(operator), inputs, outputs, proto)


def _declarations(graph: Any, parameters: Mapping[str, StoredTensor]) -> tuple[Declared, ...]:  # noqa: ANN401  a protobuf message
    listed = [v for v in graph.input if v.name in parameters]
    return (
        *(_declared("output", v) for v in graph.output),
        *(_declared("tensor", v) for v in (*listed, *graph.value_info)),
    )


def _declared(role: str, proto: Any) -> Declared:  # noqa: ANN401  a protobuf message
    name, kind, tensor = text(proto.name), declared_type(proto.type), proto.type.tensor_type
    if not tensor.HasField("shape"):
        return Declared(role, name, kind, None)
    extents = tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else readable(d.dim_param)
        for d in tensor.shape.dim
    )
    return Declared(role, name, kind, extents)


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
        parameters[name] = StoredTensor(proto, readable(path.name), data)
    return parameters, b"".join(outside)


def _twice(name: str, path: Path) -> InputError:
    return InputError(
        f"the name {readable(name)!r} stands for two tensors",
        where=Where(readable(path.name)),
        fix="check the model with onnx.checker and export it anew",
    )


def _opsets(proto: Any, path: Path) -> Mapping[str, int]:  # noqa: ANN401  a protobuf message
    """Return the versions of the operators that are known here, by domain."""
    if not _OLDEST_FORMAT <= proto.ir_version <= onnx.IR_VERSION:
        raise InputError(
            f"the file's format is version {proto.ir_version} of ONNX's",
            where=Where(readable(path.name)),
            fix=f"export with a version (ir_version) from {_OLDEST_FORMAT} to {onnx.IR_VERSION}",
        )
    opsets = {domain: _opset(proto, path, domain) for domain in NEWEST}
    return {domain: version for domain, version in opsets.items() if version}


def _opset(proto: Any, path: Path, domain: str) -> int:  # noqa: ANN401  a protobuf message
    """Return the version that is imported of a domain, 0 if none is and none has to be."""
    versions = {e.version for e in proto.opset_import if _plain(text(e.domain)) == domain}
    if not versions and domain:
        return 0
    if len(versions) != 1:
        raise _no_onnx(path, f"it names {len(versions)} versions of ONNX's operators")
    (version,) = versions
    oldest, newest = 1 if domain else OLDEST_OPSET, NEWEST[domain]
    if not oldest <= version <= newest:
        raise InputError(
            f"the model uses opset {version}" + (f" of {domain}" if domain else ""),
            where=Where(readable(path.name)),
            fix=f"export with an opset from {oldest} to {newest}, "
            "or convert it with onnx.version_converter",
        )
    return int(version)


def _plain(domain: str) -> str:
    """Return a domain's name, which is empty for ONNX's own operators."""
    return "" if domain == "ai.onnx" else domain


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
                node.spot,
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
        return decode(StoredTensor(proto.t, file), readable(node.outputs[0]))
    return Unreadable(_kind_name(proto.type))


def _kind_name(code: int) -> str:
    known = onnx.AttributeProto.AttributeType
    return str(known.Name(code)) if code in known.values() else f"type {code}"
