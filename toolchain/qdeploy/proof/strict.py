"""Canonical JSON, read strictly: what every kind of certificate file shares.

Sorted keys, ASCII, no floating point. Corners of regions are hexadecimal doubles and bounds are
decimal strings, so that no JSON reader rounds them. Nothing read here is believed.
"""

import hashlib
import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, TypeVar

from qdeploy.diagnostics import RefusedError
from qdeploy.proof.cone import Dual

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_LARGEST_DIGITS = 1233
"""Decimal digits of a 4096-bit integer."""
_DUAL_BITS = 256
"""Of an integer in a dual: multipliers of order 1 have about 40."""
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


def integer(value: object) -> int:
    """Return an integer of at most 256 bits."""
    if type(value) is not int or value.bit_length() > _DUAL_BITS:
        raise TypeError("an integer of reasonable size is expected")
    return value


def text(value: object) -> str:
    """Return a short printable text: it may come to stand on a terminal or a page."""
    if not isinstance(value, str) or len(value) > _LONGEST_NAME or not value.isprintable():
        raise TypeError("a short printable text is expected")
    return value


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
    """Return a dual as JSON."""
    return {
        "t": dual.t,
        "tau": dual.tau,
        "products": [list(entry) for entry in dual.products],
        "complements": [list(entry) for entry in dual.complements],
        "factor": [list(row) for row in dual.factor],
    }


def decode_dual(data: Json) -> Dual:
    """Read a dual."""
    products = tuple((integer(i), integer(j), integer(m)) for i, j, m in data["products"])
    complements = tuple((integer(k), integer(m)) for k, m in data["complements"])
    factor = tuple(tuple(integer(v) for v in row) for row in data["factor"])
    return Dual(integer(data["t"]), integer(data["tau"]), products, complements, factor)


def encode_point(point: tuple[Fraction, ...]) -> list[str]:
    """Return exact doubles as hexadecimal."""
    return [float(v).hex() for v in point]


def decode_point(point: list[str]) -> tuple[Fraction, ...]:
    """Read exact doubles."""
    return tuple(Fraction(float.fromhex(v)) for v in point)
