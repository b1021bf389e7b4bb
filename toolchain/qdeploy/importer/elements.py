"""Types and their ranges, written as ONNX does: `tensor(float)`, `seq(tensor(int64))`."""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray


def type_name(code: int) -> str:
    """Return ONNX's name of an element type."""
    known = onnx.TensorProto.DataType
    return str(known.Name(code)) if code in known.values() else f"type {code}"


def tensor_of(code: int) -> str:
    """Return the type of a tensor with elements of type `code`."""
    return f"tensor({type_name(code).lower()})"


def shown(kind: str) -> str:
    """Return a type as messages name it: FLOAT for `tensor(float)`."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return inner.upper() if kind == f"tensor({inner})" else kind


def declared_type(proto: Any) -> str:  # noqa: ANN401  a protobuf message
    """Return the type a TypeProto stands for; empty where it says none, or none of ours."""
    kind = proto.WhichOneof("value")
    if kind == "sequence_type":
        return f"seq({_element_type(proto.sequence_type.elem_type)})"
    return _element_type(proto)


def _element_type(proto: Any) -> str:  # noqa: ANN401  a protobuf message
    """Return a tensor's type, or that of a table of numbers; sequences go no deeper."""
    match proto.WhichOneof("value"):
        case "tensor_type" if proto.tensor_type.elem_type:
            return tensor_of(proto.tensor_type.elem_type)
        case "map_type":
            value = proto.map_type.value_type.tensor_type.elem_type
            return f"map({type_name(proto.map_type.key_type).lower()},{tensor_of(value)})"
        case "sparse_tensor_type":
            return f"sparse_{tensor_of(proto.sparse_tensor_type.elem_type)}"
        case _:
            return ""


LARGEST: Mapping[str, Fraction] = MappingProxyType(
    {
        "tensor(float)": Fraction(float(np.finfo(np.float32).max)),
        "tensor(double)": Fraction(float(np.finfo(np.float64).max)),
        "tensor(float16)": Fraction(float(np.finfo(np.float16).max)),
        "tensor(bfloat16)": Fraction((1 << 8) - 1) * (1 << 120),
    }
)
"""The largest finite number of a type; what an older opset writes for a limit that is not there."""
_SMALLEST: Mapping[str, Fraction] = MappingProxyType(
    {
        "tensor(float)": Fraction(1, 1 << 149),
        "tensor(double)": Fraction(1, 1 << 1074),
        "tensor(float16)": Fraction(1, 1 << 24),
        "tensor(bfloat16)": Fraction(1, 1 << 133),
    }
)


def first_not_finite(array: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity; Fractions and integers have none."""
    if array.dtype.kind != "f":
        return None
    bad = ~np.isfinite(array)
    return tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape)) if bad.any() else None


def fits(values: NDArray[Any], kind: str) -> bool:
    """Whether no finite number becomes infinite in this type, and none but 0 becomes 0."""
    if kind not in LARGEST:
        return True
    bounds = (LARGEST[kind], _SMALLEST[kind])
    if values.dtype == object:
        return all(v == 0 or bounds[1] <= abs(v) <= bounds[0] for v in values.flat)
    largest, smallest = map(float, bounds)
    sizes = np.abs(values.astype(np.float64))
    sizes = sizes[np.isfinite(sizes)]
    return not bool(np.any((sizes > largest) | ((sizes > 0) & (sizes < smallest))))
