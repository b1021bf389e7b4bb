"""A box in a JSON or TOML file: `lo` and `hi`, each a list or one number for all inputs."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.regions.numbers import REGION_FILE, box_of, decimal
from qdeploy.ir import Box
from qdeploy.reading import MalformedError, parse_json, parse_toml, read_text

_FIELDS = ("lo", "hi")
_FIX = 'write {"lo": [...], "hi": [...]}, or one number instead of a list'


def read(path: Path, n_inputs: int) -> tuple[Box, ...]:
    """Return the box in the file `path`."""
    where = Where(path.name)
    table = _table(path, where)
    if not isinstance(table, dict) or set(table) != set(_FIELDS):
        found = ", ".join(sorted(map(repr, table))) if isinstance(table, dict) else "no table"
        raise InputError(
            f"a box has the fields 'lo' and 'hi', this file has {found[:200] or 'none'}",
            where=where,
            fix=_FIX,
        )
    lo, hi = (_corner(table[field], field, n_inputs, path.name) for field in _FIELDS)
    return (box_of(lo, hi, where, path.name),)


def _table(path: Path, where: Where) -> Any:  # noqa: ANN401  any JSON or TOML value
    def number(spelled: str) -> Fraction:
        return decimal(spelled.replace("_", ""), where)

    text = read_text(path, REGION_FILE)
    toml = path.suffix.lower() == ".toml"
    try:
        return parse_toml(text, number) if toml else parse_json(text, number)
    except MalformedError as problem:
        language = "TOML" if toml else "JSON"
        raise InputError(f"this is no {language}: {problem}", where=where, fix=_FIX) from problem


def _corner(value: Any, field: str, n_inputs: int, file: str) -> tuple[Fraction, ...]:  # noqa: ANN401  any parsed value
    where = Where(file, f"field {field!r}")
    if _is_number(value):
        return (_fraction(value, where),) * n_inputs
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise InputError(f"{field!r} holds something that is no number", where=where, fix=_FIX)
    if len(value) != n_inputs:
        raise InputError(
            f"{field!r} has {len(value)} numbers, the network has {n_inputs} inputs",
            where=where,
            fix="give one number for each input, in the order of the network's input",
        )
    return tuple(_fraction(v, where) for v in value)


def _fraction(value: int | Fraction, where: Where) -> Fraction:
    """Return the number; TOML's integers, which its reader converts, meet the size limit here."""
    return value if isinstance(value, Fraction) else decimal(str(value), where)


def _is_number(value: object) -> bool:
    return isinstance(value, int | Fraction) and not isinstance(value, bool)
