"""The canonical text of an integer program, and its digest.

The digest is what library, device and certificate carry to say "this very program": SHA-256
of the canonical JSON (sorted keys, no spaces, ASCII) that `encode_program` describes.
"""

import base64
import hashlib
import json
from typing import Any

import numpy as np

from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir.network import IDENTIFIER, Tensor
from qdeploy.ir.program import Accumulator, FixedArray, FixedNetwork, FixedNode, FixedTensor

PROGRAM_SCHEMA = 1


def encode_program(program: FixedNetwork) -> dict[str, Any]:
    """Return the program as plain JSON values. Source names and titles are left out."""
    return {
        "schema": PROGRAM_SCHEMA,
        "inputs": list(program.inputs),
        "outputs": list(program.outputs),
        "tensors": [
            {
                "id": t.id,
                "shape": list(t.tensor.shape),
                "format": [t.format.ib, t.format.fb],
                "rounding": t.rounding.value,
            }
            for t in program.tensors
        ],
        "nodes": [_encode_node(n) for n in program.nodes],
    }


def _encode_node(node: FixedNode) -> dict[str, Any]:
    accumulator = node.accumulator
    return {
        "name": node.name,
        "op": node.op,
        "inputs": list(node.inputs),
        "output": node.output,
        "arrays": {k: _encode_array(a) for k, a in node.arrays.items()},
        "integers": dict(node.integers),
        "accumulator": None
        if accumulator is None
        else [accumulator.bits, accumulator.fb, accumulator.bound],
    }


def _encode_array(array: FixedArray) -> dict[str, Any]:
    little = np.ascontiguousarray(array.raw, dtype=f"<i{array.format.container_bits // 8}")
    return {
        "shape": list(array.raw.shape),
        "format": [array.format.ib, array.format.fb],
        "codes": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def decode_program(data: dict[str, Any], name: str = "program") -> FixedNetwork:
    """Rebuild a program from `encode_program`'s values.

    Raises:
        KeyError, TypeError, ValueError: the data is not of that form.
    """
    if data["schema"] != PROGRAM_SCHEMA:
        raise ValueError(f"program schema {data['schema']!r} is not {PROGRAM_SCHEMA}")
    tensors = tuple(
        FixedTensor(
            Tensor(_text(t["id"]), tuple(_integers(t["shape"]))),
            _format(t["format"]),
            Rounding(_text(t["rounding"])),
        )
        for t in data["tensors"]
    )
    return FixedNetwork(
        name,
        _texts(data["inputs"]),
        _texts(data["outputs"]),
        tensors,
        tuple(_decode_node(n) for n in data["nodes"]),
    )


def _decode_node(data: dict[str, Any]) -> FixedNode:
    accumulator = data["accumulator"]
    integers = {_text(k): v for k, v in data["integers"].items()}
    _integers(list(integers.values()))
    name, op = _text(data["name"]), _text(data["op"])
    for word in (name, op):
        if IDENTIFIER.fullmatch(word) is None:
            raise ValueError(f"node name or operator {word[:80]!r} is no C identifier")
    return FixedNode(
        name,
        op,
        _texts(data["inputs"]),
        _text(data["output"]),
        {_text(k): _decode_array(a) for k, a in data["arrays"].items()},
        integers,
        None if accumulator is None else Accumulator(*_integers(accumulator)),
    )


def _decode_array(data: dict[str, Any]) -> FixedArray:
    fmt = _format(data["format"])
    raw = base64.b64decode(_text(data["codes"]), validate=True)
    codes = np.frombuffer(raw, dtype=f"<i{fmt.container_bits // 8}").astype(np.int64)
    shape = _integers(data["shape"])
    if any(extent < 1 for extent in shape):
        raise ValueError("an array has an empty shape")
    return FixedArray(codes.reshape(shape), fmt)


def _format(data: object) -> QFormat:
    ib, fb = _integers(data)
    return QFormat(ib, fb)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError("a list of texts is expected")
    return tuple(_text(v) for v in values)


def _integers(values: object) -> list[int]:
    if not isinstance(values, list) or any(type(v) is not int for v in values):
        raise TypeError("a list of integers is expected")
    return values


def program_digest(program: FixedNetwork) -> str:
    """SHA-256, in hex, of the program's canonical JSON."""
    text = json.dumps(encode_program(program), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
