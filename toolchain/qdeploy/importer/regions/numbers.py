"""Decimals read exactly, boxes within limits: what every way to write a region shares."""

import re
from fractions import Fraction

from qdeploy.diagnostics import InputError, Where
from qdeploy.ir import Box
from qdeploy.reading import Kind

REGION_FILE = Kind(
    "the region file",
    4 << 20,
    "give the path of an existing region file",
    "write one number for each side of the box",
)
_DECIMAL = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(_DECIMAL, re.ASCII)
_ENDLESS = re.compile(r"[+-]?(?:inf|infinity|nan|∞)", re.IGNORECASE)
RANGE = re.compile(
    rf"({_DECIMAL}|{_ENDLESS.pattern}):({_DECIMAL}|{_ENDLESS.pattern})", re.ASCII | re.IGNORECASE
)
"""Also of ends that are no finite numbers: `decimal` says so, and what to do."""
_FINITE = (
    "give finite numbers, for example -1:1; build and certify also take --input-format in the "
    "place of --inputs, and then mean all that the device's input can hold"
)
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
    if _ENDLESS.fullmatch(text) is not None:
        raise InputError(
            f"{text!r} is no finite number, and a box needs finite ends", where=where, fix=_FINITE
        )
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
