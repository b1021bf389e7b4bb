"""Decimals read exactly, files read within limits: what every way to write a region shares."""

import re
from fractions import Fraction
from pathlib import Path

from qdeploy.diagnostics import InputError, Where
from qdeploy.ir import Box

MAX_TEXT_BYTES = 4 << 20
_DECIMAL = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(_DECIMAL, re.ASCII)
RANGE = re.compile(rf"({_DECIMAL}):({_DECIMAL})", re.ASCII)
_LONGEST_NUMBER = 400
_LARGEST_EXPONENT = 400
"""Beyond every double; a longer one would only cost time and memory."""
LARGEST = 10**300
"""Corners are doubles; this leaves room to add a radius."""
MAX_SIDES = 1 << 20
"""Sides of all boxes of a region together."""


def decimal(text: str, where: Where) -> Fraction:
    """Return the number `text` spells.

    Raises:
        InputError: it spells none, or none of a sensible size.
    """
    if _NUMBER.fullmatch(text) is None:
        raise InputError(
            f"{text[:40]!r} is no number", where=where, fix="write a finite decimal, like -0.25"
        )
    exponent = re.split("[eE]", text)[1:]
    too_long = len(text) > _LONGEST_NUMBER
    if too_long or any(len(e) > 5 or abs(int(e)) > _LARGEST_EXPONENT for e in exponent):  # noqa: PLR2004
        raise InputError(
            f"the number {text[:40]!r} is too long",
            where=where,
            fix=f"write at most {_LONGEST_NUMBER} characters and exponents up to "
            f"{_LARGEST_EXPONENT}",
        )
    value = Fraction(text)
    if abs(value) > LARGEST:
        raise InputError(
            f"the number {text[:40]!r} is too large", where=where, fix="stay within 1e300"
        )
    return value


def read_text(path: Path) -> str:
    """Return the text of a region file."""
    fix = "give the path of an existing region file"
    if not path.is_file():
        raise InputError("there is no such file", where=Where(str(path)), fix=fix)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_TEXT_BYTES + 1)
    except OSError as problem:
        what = f"the file cannot be read: {problem.strerror}"
        raise InputError(what, where=Where(str(path)), fix=fix) from problem
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(
            f"the file is larger than {MAX_TEXT_BYTES} bytes",
            where=Where(path.name),
            fix="write one number for each side of the box",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise InputError(
            "the file is no UTF-8 text", where=Where(path.name), fix="save it as UTF-8"
        ) from problem


def check_sides(boxes: int, n_inputs: int, where: Where) -> None:
    """Refuse more boxes than fit into memory, before they are made."""
    if boxes * n_inputs > MAX_SIDES:
        raise InputError(
            f"{boxes} boxes over {n_inputs} inputs are too many",
            where=where,
            fix=f"give at most {MAX_SIDES // n_inputs} boxes",
        )


def box_of(lo: tuple[Fraction, ...], hi: tuple[Fraction, ...], where: Where, name: str) -> Box:
    """Return the box [lo, hi]; the first side whose ends are swapped is an error."""
    for index, (low, high) in enumerate(zip(lo, hi, strict=True)):
        if low > high:
            raise InputError(
                f"input {index}: the lower end is above the upper end",
                where=where,
                fix="swap the two",
            )
    return Box.enclosing(lo, hi, name)
