"""What is computed from a network's parameters, once for as long as they live.

Parameters are read-only, so whatever follows from one of them never changes. Converting a million
fractions takes seconds, and several stages need the same numbers.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from qdeploy.ir.network import FractionArray

T = TypeVar("T")


class Derived(Generic[T]):
    """Values by array and key; they leave with their array."""

    def __init__(self, most: int | None = None) -> None:
        """Keep so many values of an array at most, the latest; None: all."""
        self._most = most
        self._known: dict[int, tuple[weakref.ref[FractionArray], dict[Hashable, T]]] = {}

    def __len__(self) -> int:
        """Return of how many arrays something is kept."""
        return len(self._known)

    def get(self, array: FractionArray, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value for a read-only array and a key, computed when first asked for."""
        if array.flags.writeable:
            return compute()
        number = id(array)
        found = self._known.get(number)
        # An array that has gone may have left its number to another one.
        if found is None or found[0]() is not array:
            gone = weakref.ref(array, lambda _: self._known.pop(number, None))
            found = self._known[number] = (gone, {})
        values: dict[Hashable, T] = found[1]
        if key not in values:
            value = compute()
            if self._most is not None and len(values) >= self._most:
                del values[next(iter(values))]
            values[key] = value
        return values[key]
