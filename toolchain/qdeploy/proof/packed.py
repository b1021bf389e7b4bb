"""Lists of integers as text: each in as few groups of seven bits as it needs, in base64.

A value v >= 0 becomes the number 2v, a value v < 0 the number -2v - 1, and its groups stand with
the lowest first, all but the last with 128 added. Unlike compressed data this has one spelling,
whatever library wrote it.

What was read stays packed, in three quarters of its text's bytes, and every reader of it unpacks it
again: as Python's integers a list would take forty times as much.
"""

import base64
import itertools
import math
import operator
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

LARGEST_BITS = 256
"""Of an integer in a dual: multipliers of order 1 have about 40."""
LARGEST_LIST = 1 << 22
"""Integers in one list; all products of 1600 forms with each other."""
LARGEST_TOTAL = 1 << 24
"""Integers in all lists of a file; a search stores half as many slopes over a region at most."""
_GROUP = 7
_MORE = 1 << _GROUP
_ENDS = bytes(range(_MORE))
_LONGEST = LARGEST_BITS // _GROUP + 1
"""Groups of one integer."""
_TOO_LONG = re.compile(rb"[\x80-\xff]{%d}" % _LONGEST)
_NOT_NEEDED = re.compile(rb"[\x80-\xff]\x00")

T = TypeVar("T")


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


class Stored(Sequence[T]):
    """A list that is made again whenever somebody goes through it."""

    __slots__ = ()

    @abstractmethod
    def __iter__(self) -> Iterator[T]: ...

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        """Return what stands at a place; it costs as much as all of the list."""
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(map(operator.eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))


class Integers(Stored[int]):
    """Integers, as they are packed."""

    __slots__ = ("_count", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = len(data) - len(data.translate(None, delete=_ENDS))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        number = shift = 0
        for byte in self._data:
            number |= (byte & (_MORE - 1)) << shift
            shift += _GROUP
            if byte < _MORE:
                yield -(number >> 1) - 1 if number & 1 else number >> 1
                number = shift = 0

    @property
    def text(self) -> str:
        """What they are written as."""
        return base64.b64encode(self._data).decode("ascii")


class Entries(Stored[tuple[int, ...]]):
    """Indices, each stored as what it is more than in the entry before, and one more integer."""

    __slots__ = ("_width", "values")

    def __init__(self, values: Integers, width: int) -> None:
        if len(values) % width:
            raise ValueError("a list of multipliers ends within an entry")
        self.values = values
        self._width = width

    def __len__(self) -> int:
        return len(self.values) // self._width

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        rest = iter(self.values)
        indices = [0] * (self._width - 1)
        for entry in zip(*[rest] * self._width, strict=True):
            indices = list(map(operator.add, indices, entry))
            yield (*indices, entry[-1])


class Triangle(Stored[tuple[int, ...]]):
    """Rows of one integer, two, three and so on."""

    __slots__ = ("_size", "values")

    def __init__(self, values: Integers) -> None:
        self._size = (math.isqrt(8 * len(values) + 1) - 1) // 2
        if self._size * (self._size + 1) // 2 != len(values):
            raise ValueError("the factor is no triangle")
        self.values = values

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        rest = iter(self.values)
        return (tuple(itertools.islice(rest, row + 1)) for row in range(self._size))


def unpack(text: object) -> Integers:
    """Read integers in the one way to write them.

    Raises:
        TypeError: it is no text.
        ValueError: it is no base64, ends within an integer, holds too many or too large ones, or
            one that is longer than it need be.
    """
    if not isinstance(text, str):
        raise TypeError("a list of integers is a text in base64")
    data = base64.b64decode(text, validate=True)
    found = Integers(data)
    if len(found) > LARGEST_LIST:
        raise ValueError(f"a list has more than {LARGEST_LIST} integers")
    if _TOO_LONG.search(data):
        raise ValueError(f"an integer has more than {LARGEST_BITS} bits")
    if _NOT_NEEDED.search(data):
        raise ValueError("an integer has a group more than it needs")
    if data and data[-1] >= _MORE:
        raise ValueError("a list ends within an integer")
    return found
