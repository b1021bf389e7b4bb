"""Stored tensors as arrays: every size is checked before anything is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.elements import tensor_of, type_name
from qdeploy.importer.names import readable
from qdeploy.importer.shapes import MAX_ELEMENTS
from qdeploy.importer.values import Constant, Kind

_Proto = onnx.TensorProto
_MAX_STORED_RANK = 32
"""numpy's own limit is 64; a shape list takes one axis whatever its length."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """How ONNX stores an element type: as an array, and in which field without raw data."""

    kind: Kind
    dtype: str
    field: str


_STORAGE: Mapping[int, _Storage] = MappingProxyType(
    {
        _Proto.FLOAT: _Storage(Kind.REAL, "<f4", "float_data"),
        _Proto.DOUBLE: _Storage(Kind.REAL, "<f8", "double_data"),
        _Proto.FLOAT16: _Storage(Kind.REAL, "<f2", "int32_data"),
        _Proto.BFLOAT16: _Storage(Kind.REAL, "<u2", "int32_data"),
        _Proto.INT8: _Storage(Kind.INTEGER, "<i1", "int32_data"),
        _Proto.INT16: _Storage(Kind.INTEGER, "<i2", "int32_data"),
        _Proto.INT32: _Storage(Kind.INTEGER, "<i4", "int32_data"),
        _Proto.INT64: _Storage(Kind.INTEGER, "<i8", "int64_data"),
        _Proto.UINT8: _Storage(Kind.INTEGER, "<u1", "int32_data"),
        _Proto.UINT16: _Storage(Kind.INTEGER, "<u2", "int32_data"),
        _Proto.UINT32: _Storage(Kind.INTEGER, "<u4", "uint64_data"),
        _Proto.UINT64: _Storage(Kind.INTEGER, "<u8", "uint64_data"),
        _Proto.BOOL: _Storage(Kind.BOOLEAN, "|b1", "int32_data"),
    }
)
REAL_TYPES = frozenset(tensor_of(c) for c, s in _STORAGE.items() if s.kind is Kind.REAL)
INTEGER_TYPES = frozenset(tensor_of(c) for c, s in _STORAGE.items() if s.kind is Kind.INTEGER)


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor as the file has it; `outside` are its bytes where another file holds them."""

    proto: Any
    file: str
    outside: bytes | None = None

    @property
    def name(self) -> str:
        """Its name, fit to be shown."""
        return readable(self.proto.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, as long as that is one a tensor may have."""
        return tuple(self.proto.dims[: _MAX_STORED_RANK + 1])

    @property
    def type(self) -> str:
        """Its type, see `qdeploy.importer.elements`."""
        return tensor_of(self.proto.data_type)

    def refusal(self, what: str, fix: str) -> InputError:
        """Return the error that says `what` about this tensor."""
        where = Where(self.file, f"tensor {self.name!r}")
        return InputError(what, where=where, fix=fix)


def stored_bytes(tensor: StoredTensor) -> int:
    """Return how many bytes of raw data the tensor's type and shape ask for."""
    storage = _storage(tensor)
    return _count(tensor) * np.dtype(storage.dtype).itemsize


def decode(tensor: StoredTensor, name: str) -> Constant:
    """Return the tensor as a constant called `name`; of text only the shape is kept."""
    if tensor.proto.data_type == _Proto.STRING:
        return Constant(name, Kind.TEXT, np.zeros(_text_shape(tensor), dtype=np.int8))
    storage = _storage(tensor)
    flat = _elements(tensor, storage)
    if tensor.proto.data_type == _Proto.BFLOAT16:
        # A bfloat16 is the upper half of a float32.
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    array = flat.reshape(tuple(tensor.proto.dims))
    return Constant(name, storage.kind, array)


def _text_shape(tensor: StoredTensor) -> tuple[int, ...]:
    """Return the shape of a tensor of texts, which the file must hold."""
    _check_amount(tensor, len(tensor.proto.string_data), _count(tensor), "texts")
    return tuple(tensor.proto.dims)


def _storage(tensor: StoredTensor) -> _Storage:
    storage = _STORAGE.get(tensor.proto.data_type)
    if storage is None:
        raise tensor.refusal(
            f"tensor {tensor.name!r} has elements of type {type_name(tensor.proto.data_type)}",
            "export the parameters as float32",
        )
    return storage


def _count(tensor: StoredTensor) -> int:
    dims = tuple(tensor.proto.dims)
    if len(dims) > _MAX_STORED_RANK or any(d < 0 for d in dims) or prod(dims) > MAX_ELEMENTS:
        raise tensor.refusal(
            f"tensor {tensor.name!r} has {len(dims)} axes and "
            f"{prod(dims) if len(dims) <= _MAX_STORED_RANK else 'too many'} elements",
            f"at most {_MAX_STORED_RANK} axes and {MAX_ELEMENTS} elements are possible",
        )
    return prod(dims)


def _elements(tensor: StoredTensor, storage: _Storage) -> NDArray[Any]:
    count = _count(tensor)
    raw = _raw(tensor)
    if raw is not None:
        _check_amount(tensor, len(raw), count * np.dtype(storage.dtype).itemsize, "bytes")
        return np.frombuffer(raw, dtype=storage.dtype)
    stored = getattr(tensor.proto, storage.field)
    _check_amount(tensor, len(stored), count, "numbers")
    return _from_numbers(tensor, storage, stored)


def _raw(tensor: StoredTensor) -> bytes | None:
    if tensor.outside is not None:
        return tensor.outside
    if tensor.proto.data_location == _Proto.EXTERNAL:
        raise tensor.refusal(
            f"tensor {tensor.name!r} lies in another file", "store it as an initializer"
        )
    return bytes(tensor.proto.raw_data) if tensor.proto.HasField("raw_data") else None


def _check_amount(tensor: StoredTensor, found: int, expected: int, unit: str) -> None:
    if found != expected or tensor.proto.HasField("segment"):
        raise tensor.refusal(
            f"tensor {tensor.name!r} holds {found} {unit}, its shape asks for {expected}",
            "the file is damaged: export the model anew",
        )


def _from_numbers(tensor: StoredTensor, storage: _Storage, stored: Any) -> NDArray[Any]:  # noqa: ANN401  a protobuf list
    """Convert a typed field; half-precision numbers are stored there by their bits."""
    by_bits = storage.kind is Kind.REAL and storage.field == "int32_data"
    if storage.kind is Kind.REAL and not by_bits:
        return np.array(stored, dtype=storage.dtype)
    wide = np.array(stored, dtype=np.uint64 if storage.field == "uint64_data" else np.int64)
    narrow = wide.astype("<u2" if by_bits else storage.dtype)
    if not np.array_equal(narrow.astype(wide.dtype), wide):
        raise tensor.refusal(
            f"tensor {tensor.name!r} holds a number outside its type",
            "the file is damaged: export the model anew",
        )
    return narrow.view(storage.dtype)
