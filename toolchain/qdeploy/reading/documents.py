"""JSON and TOML of anybody as plain values: no key twice, and no short text that asks for much.

The readers of Python's library recurse, make integers of any length, and take quadratic time for
keys of many parts; so what is too deep, too long or too much is found before, or named after.
"""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any

DEEPEST = 64
"""Objects and lists inside each other."""
LARGEST_BITS = 4096
"""Of an integer."""
MOST_VALUES = 1 << 22
"""Numbers, texts, lists and objects in one text: an empty list of 3 bytes takes 64 of memory."""
_MOST_DIGITS = 1233
"""Of 4096 bits, in decimal."""
_LONGEST_SHOWN = 40
_BRACKETS = re.compile(
    r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+(?:([\[{])|([\]}])|(")|\Z)', re.DOTALL
)
"""The next bracket outside texts, or a text without an end."""
_LONG_KEY = re.compile(rf"(?:(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEEPEST}}}")
"""A key of so many parts takes the square of their number in time, and makes as many tables."""

Number = Callable[[str], object]
"""Makes a value of a number as it is written."""


class MalformedError(ValueError):
    """A text is not of its language, or exceeds a limit; the words say what and where."""


def number(spelled: str) -> int | float:
    """Return a number of JSON.

    Raises:
        MalformedError: it is not finite, or an integer of more than 4096 bits.
    """
    if spelled.removeprefix("-").isdigit():
        return integer(spelled)
    value = float(spelled)
    if not math.isfinite(value):
        raise MalformedError(f"{spelled[:_LONGEST_SHOWN]} is no finite number")
    return value


def integer(spelled: str) -> int:
    """Return a number of JSON that is to be an integer.

    Raises:
        MalformedError: it is none, or has more than 4096 bits.
    """
    if not spelled.removeprefix("-").isdigit():
        raise MalformedError(f"number {spelled[:_LONGEST_SHOWN]} is no integer")
    if len(spelled) > _MOST_DIGITS:
        raise MalformedError(f"an integer has more than {LARGEST_BITS} bits")
    return int(spelled)


def parse_json(text: str, number: Number = number) -> Any:  # noqa: ANN401  any JSON value
    """Return the value of a JSON text; `number` also gets `NaN` and the like.

    Raises:
        MalformedError: it is no JSON, a key stands twice in an object, or it exceeds a limit.
    """
    _require_moderate(text)
    try:
        return json.loads(
            text,
            parse_int=number,
            parse_float=number,
            parse_constant=number,
            object_pairs_hook=_once,
        )
    except json.JSONDecodeError as problem:
        raise MalformedError(str(problem)) from problem


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("a key appears twice")
    return found


def _require_moderate(text: str) -> None:
    """Refuse what takes too much memory, or is nested too deep, before anything is made of it."""
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise MalformedError(f"it has more than {MOST_VALUES} values")
    depth = 0
    for found in _BRACKETS.finditer(text):
        opens, closes, endless = found.groups()
        if endless:
            raise MalformedError("a text in it has no end")
        depth += bool(opens) - bool(closes)
        if depth > DEEPEST:
            raise MalformedError(f"it is nested more than {DEEPEST} deep")


def parse_toml(text: str, number: Number = float) -> dict[str, Any]:
    """Return the table of a TOML text; `number` gets what is no integer, `inf` and `nan` too.

    Raises:
        MalformedError: it is no TOML, or exceeds a limit.
    """
    if _LONG_KEY.search(text):
        raise MalformedError(f"a key has more than {DEEPEST} parts")
    try:
        table = tomllib.loads(text, parse_float=number)
    except (ValueError, RecursionError) as problem:
        raise MalformedError(_why(problem)) from problem
    _require_limits(table)
    return table


def _why(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return f"it is nested more than {DEEPEST} deep"
    if isinstance(problem, tomllib.TOMLDecodeError):
        return str(problem)
    return f"an integer has more than {LARGEST_BITS} bits"  # Python's own limit is above ours


def _require_limits(table: dict[str, Any]) -> None:
    """Refuse what TOML's reader lets through: large integers in hexadecimal, and deep tables."""
    level: list[Any] = [table]
    for _ in range(DEEPEST):
        if any(isinstance(v, int) and v.bit_length() > LARGEST_BITS for v in level):
            raise MalformedError(f"an integer has more than {LARGEST_BITS} bits")
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise MalformedError(f"it is nested more than {DEEPEST} deep")


def _inside(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
