"""Canonical JSON, read strictly: what every kind of certificate file shares.

Sorted keys, ASCII, no floating point. Corners of regions are hexadecimal doubles and bounds are
decimal strings, so that no JSON reader rounds them. Nothing read here is believed.
"""

import hashlib
import itertools
import json
import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, TypeVar

from qdeploy.diagnostics import RefusedError
from qdeploy.proof.cone import Dual
from qdeploy.proof.packed import LARGEST_BITS, pack, unpack

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_LARGEST_DIGITS = 1233
"""Decimal digits of a 4096-bit integer."""
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

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key appears twice")
        return found

    def no_float(literal: str) -> float:
        raise ValueError(f"number {literal[:LONGEST_NUMBER]} is no integer")

    def limited(literal: str) -> int:
        if len(literal) > _LARGEST_DIGITS:
            raise ValueError("an integer has more than 4096 bits")
        return int(literal)

    def load() -> Any:  # noqa: ANN401  any JSON value
        return json.loads(
            source.decode("ascii"),
            object_pairs_hook=unique,
            parse_float=no_float,
            parse_constant=no_float,
            parse_int=limited,
        )

    data = refusing("certificate", load)
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
    cut = words[:_LONGEST_NAME]
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


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
        "factor": pack(itertools.chain.from_iterable(dual.factor)),
    }


def decode_dual(data: Json) -> Dual:
    """Read a dual."""
    i, j, weights = _columns(data["products"], 3)
    k, others = _columns(data["complements"], 2)
    products = tuple(zip(i, j, weights, strict=True))
    complements = tuple(zip(k, others, strict=True))
    factor = _triangle(unpack(data["factor"]))
    return Dual(integer(data["t"]), integer(data["tau"]), products, complements, factor)


def _pack_entries(entries: Sequence[tuple[int, ...]]) -> str:
    """Pack indices, each less that of the entry before, and the multiplier of every entry."""
    rows = [(0, 0, 0), *entries]
    return pack(
        value
        for before, entry in itertools.pairwise(rows)
        for value in (*map(operator.sub, entry[:-1], before), entry[-1])
    )


def _columns(text: object, width: int) -> list[list[int]]:
    values = unpack(text)
    if len(values) % width:
        raise ValueError("a list of multipliers ends within an entry")
    indices = [list(itertools.accumulate(values[k::width])) for k in range(width - 1)]
    return [*indices, values[width - 1 :: width]]


def _triangle(values: list[int]) -> tuple[tuple[int, ...], ...]:
    size = (math.isqrt(8 * len(values) + 1) - 1) // 2
    if size * (size + 1) // 2 != len(values):
        raise ValueError("the factor is no triangle")
    starts = (row * (row + 1) // 2 for row in range(size))
    return tuple(tuple(values[at : at + row + 1]) for row, at in enumerate(starts))


def encode_point(point: tuple[Fraction, ...]) -> list[str]:
    """Return exact doubles as hexadecimal."""
    return [float(v).hex() for v in point]


def decode_point(point: list[str]) -> tuple[Fraction, ...]:
    """Read exact doubles."""
    return tuple(Fraction(float.fromhex(v)) for v in point)
