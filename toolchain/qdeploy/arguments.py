"""Arguments of the Python API, checked as carefully as a command line.

A wrong name or type is a `UsageError` that names the argument, not an error from the depths of
some stage. Types are those that the functions declare.
"""

import difflib
import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from qdeploy.diagnostics import UsageError

_WORDS: Mapping[type, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    Fraction: "a fraction",
    Decimal: "a decimal",
}
_LONGEST = 60


def check_arguments(function: str, given: Mapping[str, object], kinds: type) -> dict[str, Any]:
    """Return the keyword arguments of a function as what its TypedDict `kinds` declares.

    Raises:
        UsageError: one has no such name, or another type.
    """
    hints = typing.get_type_hints(kinds)
    for name in given:
        if name not in hints:
            raise _unknown(function, name, list(hints))
    return {name: check_value(name, value, hints[name]) for name, value in given.items()}


def check_value(name: str, value: object, hint: object, *, needed: bool = False) -> Any:  # noqa: ANN401  whatever is declared
    """Return an argument as one of the declared types; `needed`: there is no default.

    Raises:
        UsageError: it is of another type.
    """
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    wanted = typing.get_args(hint) if union else (hint,)
    if value is None and type(None) in wanted:
        return None
    for kind in wanted:
        found = _as(value, kind)
        if found is not None:
            return found
    words = [_WORDS[kind] for kind in wanted if kind in _WORDS]
    raise UsageError(
        f"{name} must be {' or '.join(words) or 'of another type'}, not {_shown(value)}",
        fix=_fix(name, value, wanted, needed=needed),
    )


def _as(value: object, kind: object) -> object:
    """Return a value as one of a kind, None where it is none; a truth value is no number."""
    if isinstance(value, bool):
        return value if kind is bool else None
    if kind is int and isinstance(value, Integral):
        return int(value)
    if kind is float and isinstance(value, Real) and not isinstance(value, Fraction):
        return float(value)
    fits = isinstance(kind, type) and kind in _WORDS and isinstance(value, kind)
    return value if fits else None


def _unknown(function: str, name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(
        f"{function}() has no argument {name!r}", fix=f"{hint}it takes {', '.join(sorted(known))}"
    )


def _shown(value: object) -> str:
    if value is None:
        return "None"
    text = repr(value)
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{type(value).__name__} {cut}"


def _fix(name: str, value: object, wanted: tuple[object, ...], *, needed: bool) -> str:
    """Return how to write it, where that is plain."""
    if value is None and needed:
        return f"give {name}"
    if value is None:
        return f"leave {name} out to have its default"
    if isinstance(value, str) and {int, float} & set(wanted):
        return f"write {name}={value.strip()[:_LONGEST]} without quotes"
    if str in wanted and isinstance(value, Path | Real):
        return f'write {name}="{str(value)[:_LONGEST]}"'
    return "see help(qdeploy)"


__all__ = ["check_arguments", "check_value"]
