"""Small ONNX models made in memory, and a second, independent reading of them in exact numbers."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
Shape = Sequence[int | str | None]


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    """Make a node; tensor names are separated by blanks, `-` is an omitted one."""
    domain = attributes.pop("domain", "")
    names = ["" if n == "-" else n for n in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=name, domain=domain, **attributes)


@dataclass(frozen=True)
class Graph:
    """A model to be written: one float32 input `x` unless told otherwise."""

    nodes: Sequence[onnx.NodeProto]
    shape: Shape = (1, 3)
    outputs: Sequence[str] = ("y",)
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    opset: int = 13
    input_type: int = TensorProto.FLOAT
    listed: bool = False
    """Whether the initializers are graph inputs, too, as before IR version 4."""
    declared: Sequence[onnx.ValueInfoProto] = ()
    """What the file says about its tensors; outputs have no type unless it stands here."""

    def proto(self) -> onnx.ModelProto:
        """Return the model."""
        inputs = [helper.make_tensor_value_info("x", self.input_type, list(self.shape))]
        tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in self.parameters.items()]
        if self.listed:
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
        said = {v.name: v for v in self.declared}
        outputs = [said.pop(n, helper.make_empty_tensor_value_info(n)) for n in self.outputs]
        graph = helper.make_graph(
            list(self.nodes), "g", inputs, outputs, tensors, value_info=list(said.values())
        )
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid(ML, 1)]
        version = 3 if self.listed else min(8, helper.find_min_ir_version_for(imports[:1]))
        return helper.make_model(graph, opset_imports=imports, ir_version=max(3, version))

    def save(self, folder: Path, name: str = "model.onnx") -> Path:
        """Write the model into `folder`."""
        path = folder / name
        path.write_bytes(self.proto().SerializeToString())
        return path

    def but(self, **changes: Any) -> "Graph":
        """Return the graph with fields replaced."""
        return replace(self, **changes)


def fractions(array: Any) -> np.ndarray:
    """Return `array` with Fractions for elements."""
    source = np.asarray(array)
    result = np.empty(source.size, dtype=object)
    # An infinite limit of a Clip stays what it is.
    result[:] = [v if abs(v) == float("inf") else Fraction(v) for v in source.ravel().tolist()]
    return result.reshape(source.shape)


def exact_outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Evaluate `model` on one input, exactly, by ONNX's own shape rules; return it flattened.

    Written on numpy alone, so that it shares nothing with the importer it is compared with.
    """
    stored = {t.name for t in model.graph.initializer}
    (declared,) = (v for v in model.graph.input if v.name not in stored)
    shape = [d.dim_value or 1 for d in declared.type.tensor_type.shape.dim]
    values = {declared.name: fractions(x).reshape(shape)}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = fractions(array) if array.dtype.kind == "f" else array
    opset = model.opset_import[0].version
    for proto in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        operands = [values.get(n) for n in proto.input]
        result = _OPERATORS[proto.op_type](operands, attributes, opset)
        values[proto.output[0]] = np.asarray(result)
    return values[model.graph.output[0].name].ravel()


def _gemm(v, a, opset):
    left = v[0].T if a.get("transA") else v[0]
    right = v[1].T if a.get("transB") else v[1]
    result = (left @ right) * Fraction(a.get("alpha", 1.0))
    return result if len(v) < 3 or v[2] is None else result + v[2] * Fraction(a.get("beta", 1.0))


def _constant(v, a, opset):
    ((name, value),) = a.items()
    array = numpy_helper.to_array(value) if name == "value" else np.array(value)
    return fractions(array) if array.dtype.kind == "f" else array


def _flatten(v, a, opset):
    axis = a.get("axis", 1)
    axis = axis if axis >= 0 else axis + v[0].ndim
    return v[0].reshape(prod(v[0].shape[:axis]), -1)


def _reshape(v, a, opset):
    wanted = [int(d) for d in v[1]]
    return v[0].reshape([v[0].shape[i] if d == 0 else d for i, d in enumerate(wanted)])


def _squeeze(v, a, opset):
    axes = a.get("axes") if opset < 13 else (v[1] if len(v) > 1 else None)
    return np.squeeze(v[0], None if axes is None else tuple(int(i) for i in axes))


def _unsqueeze(v, a, opset):
    axes = a["axes"] if opset < 13 else v[1]
    return np.expand_dims(v[0], tuple(int(i) for i in axes))


def _clip(v, a, opset):
    low, high = [a.get("min"), a.get("max")] if opset < 11 else [*v[1:], None, None][:2]
    result = v[0]
    if low is not None:
        result = np.maximum(result, fractions(low))
    return result if high is None else np.minimum(result, fractions(high))


def _leaky(v, slope):
    return np.where(v >= 0, v, v * slope)


def _shape(v, a, opset):
    extents = v[0].shape
    return np.array(extents[slice(a.get("start"), a.get("end"))], dtype=np.int64)


def _scaler(v, a, opset):
    offset, scale = (fractions(np.array(a[name])) for name in ("offset", "scale"))
    return (v[0] - offset) * scale


def _hard_sigmoid(v, a, opset):
    moved = v[0] * Fraction(a.get("alpha", float(np.float32(0.2)))) + Fraction(a.get("beta", 0.5))
    return np.clip(moved, Fraction(0), Fraction(1))


_OPERATORS = {
    "Clip": _clip,
    "LeakyRelu": lambda v, a, opset: _leaky(
        v[0], Fraction(a.get("alpha", float(np.float32(0.01))))
    ),
    "PRelu": lambda v, a, opset: _leaky(v[0], v[1]),
    "HardSigmoid": _hard_sigmoid,
    "Gemm": _gemm,
    "MatMul": lambda v, a, opset: v[0] @ v[1],
    "Add": lambda v, a, opset: v[0] + v[1],
    "Sub": lambda v, a, opset: v[0] - v[1],
    "Mul": lambda v, a, opset: v[0] * v[1],
    "Div": lambda v, a, opset: v[0] / v[1],
    "Relu": lambda v, a, opset: np.maximum(v[0], Fraction(0)),
    "Constant": _constant,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda v, a, opset: np.transpose(v[0], a.get("perm")),
    "Shape": _shape,
    "Gather": lambda v, a, opset: np.take(v[0], v[1], a.get("axis", 0)),
    "Concat": lambda v, a, opset: np.concatenate(v, a["axis"]),
    "Scaler": _scaler,
    "Max": lambda v, a, opset: functools.reduce(np.maximum, v),
    "Min": lambda v, a, opset: functools.reduce(np.minimum, v),
    "Identity": lambda v, a, opset: v[0],
    "Dropout": lambda v, a, opset: v[0],
    "Cast": lambda v, a, opset: v[0],
}
