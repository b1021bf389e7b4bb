"""Numbers as C text: the one place that turns an integer into a literal, and refuses a misfit."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_RANGES = {f"int{bits}_t": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)}
_RANGES |= {f"uint{bits}_t": (0, (1 << bits) - 1) for bits in (8, 16, 32)}

_INDENT = "    "
_LINE_WIDTH = 100


def c_int(value: int, ctype: str) -> str:
    """Return `value` as an integer constant expression for an object of type `ctype`.

    In C a minus sign is an operator, so the smallest 32 and 64 bit values have no literal of
    their own type: they are written as a sum.

    Raises:
        OverflowError: the value does not fit the type.
    """
    low, high = _RANGES[ctype]
    if not low <= value <= high:
        raise OverflowError(f"{value} does not fit {ctype}")
    if value == low and ctype in ("int32_t", "int64_t"):
        return f"(-{high} - 1)"
    return str(int(value))


def c_macro(value: int, ctype: str) -> str:
    """Return `value` as the text of a macro: parenthesised where it is no single token."""
    text = c_int(value, ctype)
    return f"({text})" if text.startswith("-") else text


def c_array(values: NDArray[np.int64], ctype: str) -> str:
    """Return the initialisers of a table, every row of a matrix on lines of its own."""
    rows = np.atleast_2d(np.asarray(values)).tolist()
    cells = [[c_int(value, ctype) for value in row] for row in rows]
    width = max((len(cell) for row in cells for cell in row), default=1)
    return ",\n".join(_lines(row, width) for row in cells)


def _lines(cells: Sequence[str], width: int) -> str:
    per_line = max(1, (_LINE_WIDTH - len(_INDENT)) // (width + 2))
    chunks = (cells[start : start + per_line] for start in range(0, len(cells), per_line))
    return ",\n".join(_INDENT + _aligned(chunk, width) for chunk in chunks)


def _aligned(cells: Iterable[str], width: int) -> str:
    return ", ".join(cell.rjust(width) for cell in cells)


def c_bytes(hexadecimal: str) -> str:
    """Return the bytes of a hexadecimal string as initialisers, eight a line."""
    cells = [f"0x{byte:02x}" for byte in bytes.fromhex(hexadecimal)]
    chunks = (cells[start : start + 8] for start in range(0, len(cells), 8))
    return ",\n".join(_INDENT * 2 + ", ".join(chunk) for chunk in chunks)
