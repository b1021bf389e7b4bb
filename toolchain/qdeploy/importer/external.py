"""Tensors whose bytes lie in another file: read from the model's own folder, nowhere else."""

from pathlib import Path
from typing import Any

import onnx

from qdeploy.diagnostics import InputError
from qdeploy.importer.names import readable, text
from qdeploy.importer.tensors import StoredTensor, stored_bytes
from qdeploy.reading import PathError, is_file, opened, resolved

MAX_EXTERNAL_BYTES = 1 << 26
"""All external tensors of one model together."""


def is_external(proto: Any) -> bool:  # noqa: ANN401  a protobuf message
    """Whether the tensor's bytes lie outside the model file."""
    return bool(proto.data_location == onnx.TensorProto.EXTERNAL)


def load(proto: Any, model: Path, budget: int) -> bytes:  # noqa: ANN401  a protobuf message
    """Return the bytes of an external tensor, at most `budget` of them."""
    tensor = StoredTensor(proto, model.name)
    length = stored_bytes(tensor)
    if length > budget:
        raise tensor.refusal(
            f"the external tensors need more than {MAX_EXTERNAL_BYTES} bytes",
            "a network of that size does not fit a microcontroller",
        )
    entries = {text(entry.key): text(entry.value) for entry in proto.external_data}
    source = _inside(tensor, model, entries.get("location", ""))
    if _number(tensor, entries, "length", length) != length:
        raise _damaged(tensor, f"its length is {entries['length']}, its shape asks for {length}")
    return _read(tensor, source, _number(tensor, entries, "offset", 0), length)


def _inside(tensor: StoredTensor, model: Path, location: str) -> Path:
    """Return the regular file `location` in the model's folder, symbolic links resolved."""
    folder = _resolved(tensor, model).parent
    if not location or "\0" in location:
        raise _damaged(tensor, "it names no file")
    candidate = _resolved(tensor, folder / location)
    if not candidate.is_relative_to(folder):
        raise tensor.refusal(
            f"the data of tensor {tensor.name!r} would be read from {readable(location)!r}, "
            "outside the model's folder",
            "put the data file beside the model",
        )
    if not is_file(candidate):
        raise tensor.refusal(
            f"the data file {readable(location)!r} of tensor {tensor.name!r} is missing",
            "put the data file beside the model",
        )
    return candidate


def _resolved(tensor: StoredTensor, path: Path) -> Path:
    try:
        return resolved(path)
    except PathError as problem:
        raise _damaged(tensor, str(problem)) from problem


def _number(tensor: StoredTensor, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004  fits int64
        raise _damaged(tensor, f"its {key} is {text[:40]!r}")
    return int(text)


def _read(tensor: StoredTensor, source: Path, offset: int, length: int) -> bytes:
    try:
        with opened(source) as stream:
            stream.seek(offset)
            data = stream.read(length)
    except PathError as problem:
        raise _damaged(tensor, f"{source.name} cannot be read: {problem}") from problem
    if len(data) != length:
        raise _damaged(tensor, f"{source.name} ends before its last byte")
    return data


def _damaged(tensor: StoredTensor, why: str) -> InputError:
    return tensor.refusal(
        f"the external data of tensor {tensor.name!r} is damaged: {why}",
        "export the model anew, or store the tensors inside the model file",
    )
