"""Canonical JSON, read strictly: what every kind of certificate file shares.

Sorted keys, ASCII, no floating point. Corners of regions are hexadecimal doubles and bounds are
decimal strings, so that no JSON reader rounds them. Nothing read here is believed.
"""

import hashlib
import itertools
import json
import operator
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, TypeVar

from qdeploy.diagnostics import RefusedError, visible
from qdeploy.proof.cone import Dual
from qdeploy.proof.packed import (
    LARGEST_BITS,
    LARGEST_TOTAL,
    Entries,
    Triangle,
    pack,
    unpack,
)
from qdeploy.reading import integer as integer_literal
from qdeploy.reading import parse_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

LONGEST_NUMBER = 40
_LONGEST_NAME = 200

T = TypeVar("T")
Json = dict[str, Any]


def canonical(value: object) -> str:
    """Return the one way to write a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: object) -> str:
    """SHA-256 of the one way to write a value."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def parse(source: bytes) -> Json:
    """Read a JSON object in which no key stands twice and every number is an integer.

    Raises:
        RefusedError: it is not that.
    """
    data = refusing(
        "certificate", lambda: parse_json(source.decode("ascii"), number=integer_literal)
    )
    if not isinstance(data, dict):
        raise RefusedError("certificate: it is no JSON object")
    return data


def refusing(place: str, action: Callable[[], T]) -> T:
    """Run `action` on untrusted data; whatever is wrong with them is a refusal."""
    try:
        return action()
    except KeyError as problem:
        raise RefusedError(f"{place}: part {shown(str(problem))} is missing") from problem
    except (
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        IndexError,
        RecursionError,
        MemoryError,
    ) as problem:
        raise RefusedError(f"{place}: malformed ({shown(str(problem))})") from problem


def shown(words: str) -> str:
    """Return untrusted words as a terminal may show them: short, and no control characters."""
    return visible(words[:_LONGEST_NAME])


def require_seal(stated: dict[str, str], actual: dict[str, str]) -> None:
    """Name the part that was changed, added or removed.

    Raises:
        RefusedError: digests and parts differ.
    """
    for name in sorted(stated.keys() | actual.keys()):
        if stated.get(name) != actual.get(name):
            change = "changed" if name in stated and name in actual else "added or removed"
            raise RefusedError(f"{shown(name)}: this part was {change}")


def integer(value: object) -> int:
    """Return an integer of at most 256 bits."""
    if type(value) is not int or value.bit_length() > LARGEST_BITS:
        raise TypeError("an integer of reasonable size is expected")
    return value


def text(value: object) -> str:
    """Return a short printable text: it may come to stand on a terminal or a page."""
    if not isinstance(value, str) or len(value) > _LONGEST_NAME or not value.isprintable():
        raise TypeError("a short printable text is expected")
    return value


def list_of_texts(values: object) -> tuple[str, ...]:
    """Return short printable texts."""
    if not isinstance(values, list):
        raise TypeError("a list is expected")
    return tuple(text(value) for value in values)


def texts(values: object) -> dict[str, str]:
    """Return texts by name."""
    if not isinstance(values, dict):
        raise TypeError("an object is expected")
    return {text(k): text(v) for k, v in values.items()}


def bound(value: object) -> Decimal:
    """Return a finite number that is not negative."""
    try:
        number = Decimal(text(value)[:LONGEST_NUMBER])
    except InvalidOperation as problem:
        raise ValueError("a bound is no number") from problem
    if not number.is_finite() or number < 0:
        raise ValueError("a bound is negative or infinite")
    return number


def encode_dual(dual: Dual) -> Json:
    """Return a dual as JSON, its lists packed."""
    return {
        "t": dual.t,
        "tau": dual.tau,
        "products": _pack_entries(dual.products),
        "complements": _pack_entries(dual.complements),
        "factor": _pack_rows(dual.factor),
    }


def decode_dual(data: Json) -> Dual:
    """Read a dual."""
    products = Entries(unpack(data["products"]), 3)
    complements = Entries(unpack(data["complements"]), 2)
    factor = Triangle(unpack(data["factor"]))
    return Dual(integer(data["t"]), integer(data["tau"]), products, complements, factor)


def require_moderate(duals: Iterable[Dual], others: Iterable[int] = ()) -> None:
    """Refuse lists that hold too many integers together, `others` being the lengths of more.

    Raises:
        ValueError: they do.
    """
    stored = sum(
        3 * len(dual.products) + 2 * len(dual.complements) + _below(len(dual.factor))
        for dual in duals
    )
    if stored + sum(others) > LARGEST_TOTAL:
        raise ValueError(f"all lists together have more than {LARGEST_TOTAL} integers")


def _below(size: int) -> int:
    """Return how many numbers a triangle of so many rows has."""
    return size * (size + 1) // 2


def _pack_entries(entries: Sequence[tuple[int, ...]]) -> str:
    """Pack indices, each less that of the entry before, and the multiplier of every entry."""
    if isinstance(entries, Entries):
        return entries.values.text
    rows = [(0, 0, 0), *entries]
    return pack(
        value
        for before, entry in itertools.pairwise(rows)
        for value in (*map(operator.sub, entry[:-1], before), entry[-1])
    )


def _pack_rows(rows: Sequence[tuple[int, ...]]) -> str:
    if isinstance(rows, Triangle):
        return rows.values.text
    return pack(itertools.chain.from_iterable(rows))


def encode_point(point: tuple[Fraction, ...]) -> list[str]:
    """Return exact doubles as hexadecimal."""
    return [float(v).hex() for v in point]


def decode_point(point: list[str]) -> tuple[Fraction, ...]:
    """Read exact doubles."""
    return tuple(Fraction(float.fromhex(v)) for v in point)
