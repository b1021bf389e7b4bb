"""The branches in Thumb code, as far as a call graph needs them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_PIPELINE = 4
"""A branch counts from the address of the instruction after next."""
_ALWAYS = 14
"""Conditions below this one are real; the codes above are no branches."""
_BX_LR = 0x4770


@dataclass(frozen=True, slots=True)
class Jump:
    """A branch; `target` is None where it goes through a register."""

    target: int | None
    is_call: bool


def jumps(code: bytes, start: int) -> Iterator[Jump]:
    """Return every branch in the instructions at address `start`, but returns."""
    halves = [half for (half,) in struct.iter_unpack("<H", code[: len(code) & ~1])]
    position = 0
    while position < len(halves):
        here = start + 2 * position + _PIPELINE
        first = halves[position]
        if first >> 11 < 0b11101:  # noqa: PLR2004  one halfword
            found = _narrow(first, here)
            position += 1
        else:
            found = _wide(first, halves[position + 1], here) if position + 1 < len(halves) else None
            position += 2
        if found is not None:
            yield found


def _narrow(half: int, here: int) -> Jump | None:
    if half & 0xF800 == 0xE000:  # noqa: PLR2004  B
        return Jump(here + _signed(half & 0x7FF, 11) * 2, is_call=False)
    if half & 0xF000 == 0xD000 and half >> 8 & 15 < _ALWAYS:  # noqa: PLR2004  B<cond>
        return Jump(here + _signed(half & 0xFF, 8) * 2, is_call=False)
    if half & 0xFF00 == 0x4700 and half != _BX_LR:  # noqa: PLR2004  BX and BLX register
        return Jump(None, is_call=bool(half & 0x80))
    return None


def _wide(first: int, second: int, here: int) -> Jump | None:
    if first & 0xF800 != 0xF000 or second & 0x8000 == 0:  # noqa: PLR2004  no branch
        return None
    sign, j1, j2 = first >> 10 & 1, second >> 13 & 1, second >> 11 & 1
    if second & 0x5000:  # BL and the unconditional B.W
        i1, i2 = 1 - (j1 ^ sign), 1 - (j2 ^ sign)
        offset = sign << 23 | i1 << 22 | i2 << 21 | (first & 0x3FF) << 11 | second & 0x7FF
        return Jump(here + _signed(offset, 24) * 2, is_call=bool(second & 0x4000))
    if first >> 6 & 15 >= _ALWAYS:  # barriers and special registers
        return None
    offset = sign << 19 | j2 << 18 | j1 << 17 | (first & 0x3F) << 11 | second & 0x7FF
    return Jump(here + _signed(offset, 20) * 2, is_call=False)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
