"""Counting the parts of an encoded model before it is decoded.

Two bytes of protobuf can stand for an object of two hundred, so a file within the size limit could
still fill the memory. Only tags and lengths are looked at here; contents are skipped.
"""

from collections.abc import Iterator
from typing import Any

_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_LONGEST_VARINT = 10


def count_parts(data: bytes, message: Any, limit: int) -> int:  # noqa: ANN401  a protobuf descriptor
    """Return how many strings and messages `data` holds, or a number above `limit`.

    Raises:
        ValueError: `data` is no encoded message of that type.
    """
    count = 0
    regions = [(0, len(data), message)]
    while regions and count <= limit:
        start, end, descriptor = regions.pop()
        for number, content_start, content_end in _delimited(data, start, end):
            count += 1
            if count > limit:
                break
            field = descriptor.fields_by_number.get(number)
            if field is not None and field.message_type is not None:
                regions.append((content_start, content_end, field.message_type))
    return count


def _delimited(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield field number, start and end of each length-delimited field."""
    position = start
    while position < end:
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _DELIMITED:
            length, position = _varint(data, position)
            if position + length > end:
                raise ValueError("a field is longer than what holds it")
            yield tag >> 3, position, position + length
            position += length
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind} does not occur in ONNX")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[position : position + _LONGEST_VARINT]):
        value |= (byte & 127) << 7 * index
        if byte < 128:  # noqa: PLR2004  the top bit says that more follows
            return value, position + index + 1
    raise ValueError("a number does not end")
