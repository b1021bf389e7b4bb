"""Lists of integers as text: each in as few groups of seven bits as it needs, in base64.

A value v >= 0 becomes the number 2v, a value v < 0 the number -2v - 1, and its groups stand with
the lowest first, all but the last with 128 added. Unlike compressed data this has one spelling,
whatever library wrote it, and never grows by more than a constant factor when it is read.
"""

import base64
from collections.abc import Iterable

LARGEST_BITS = 256
"""Of an integer in a dual: multipliers of order 1 have about 40."""
LARGEST_LIST = 1 << 22
"""Integers in one list; all products of 1600 forms with each other."""
_GROUP = 7
_MORE = 1 << _GROUP
_ENDS = bytes(range(_MORE))


def pack(values: Iterable[int]) -> str:
    """Return integers as text."""
    out = bytearray()
    for value in values:
        rest = 2 * value if value >= 0 else -2 * value - 1
        while rest >= _MORE:
            out.append(rest & (_MORE - 1) | _MORE)
            rest >>= _GROUP
        out.append(rest)
    return base64.b64encode(out).decode("ascii")


def unpack(text: object) -> list[int]:
    """Read integers; that it was the one way to write them, writing them again shows.

    Raises:
        TypeError: it is no text.
        ValueError: it is no base64, ends within an integer, or holds too many or too large ones.
    """
    if not isinstance(text, str):
        raise TypeError("a list of integers is a text in base64")
    data = base64.b64decode(text, validate=True)
    if len(data.translate(None, delete=_ENDS)) < len(data) - LARGEST_LIST:
        raise ValueError(f"a list has more than {LARGEST_LIST} integers")
    values: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & (_MORE - 1)) << shift
        shift += _GROUP
        if shift > LARGEST_BITS + _GROUP:
            raise ValueError(f"an integer has more than {LARGEST_BITS} bits")
        if byte < _MORE:
            values.append(-(number >> 1) - 1 if number & 1 else number >> 1)
            number = shift = 0
    if shift:
        raise ValueError("a list ends within an integer")
    return values
