"""A bound on the stack one inference needs: the compiler's figure per function, summed over calls.

The compiler says how much every function takes (-fstack-usage); who calls whom is read from the
linked image, where nothing is left to guess. Where a call goes through a register, or a function
may call itself, there is no bound and none is claimed.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Symbol, SymbolTableSection

from qdeploy.crossbuild._thumb import Jump, jumps


class _UnboundedError(Exception):
    """Why there is no bound."""


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    start: int
    jumps: tuple[Jump, ...]


def stack_bound(folder: Path, elf: bytes, entry: int) -> int | None:
    """Return the bytes of stack that the function at `entry` and all it calls need, or None."""
    usage = _usage(folder)
    functions = {function.start: function for function in _functions(elf)}
    try:
        return _deepest(entry, usage, functions)
    except _UnboundedError:
        return None


def _usage(folder: Path) -> Mapping[str, int]:
    """Bytes by function name; the larger figure where two static functions share a name."""
    usage: dict[str, int] = {}
    for path in sorted(folder.rglob("*.su")):
        for line in path.read_text("utf-8").splitlines():
            place, size, kind = line.split("\t")
            name = place.rsplit(":", 1)[-1]
            if kind == "static":  # "dynamic" has no fixed size: its function stays unknown
                usage[name] = max(usage.get(name, 0), int(size))
    return usage


def _deepest(entry: int, usage: Mapping[str, int], functions: Mapping[int, _Function]) -> int:
    path: list[int] = []

    @cache
    def depth(start: int) -> int:
        function = functions.get(start)
        if function is None or function.name not in usage or start in path:
            raise _UnboundedError
        path.append(start)
        below = max((depth(target) for target in _calls(function, functions)), default=0)
        path.pop()
        return usage[function.name] + below

    return depth(entry)


def _calls(function: _Function, functions: Mapping[int, _Function]) -> Iterator[int]:
    for jump in function.jumps:
        if jump.target is None:
            raise _UnboundedError
        if jump.is_call or jump.target in functions:
            yield jump.target


def _functions(elf: bytes) -> Iterator[_Function]:
    file = ELFFile(io.BytesIO(elf))
    table, text = file.get_section_by_name(".symtab"), file.get_section_by_name(".text")
    if not isinstance(table, SymbolTableSection) or text is None:
        return
    symbols = list(table.iter_symbols())
    code, base = text.data(), text["sh_addr"]
    constants = _constants(symbols)
    for symbol in symbols:
        start, size = symbol["st_value"] & ~1, symbol["st_size"]
        if symbol["st_info"]["type"] == "STT_FUNC" and size:
            inside = range(start, start + size)
            body = code[start - base : start - base + _code_size(inside, constants)]
            leaving = (j for j in jumps(body, start) if j.is_call or j.target not in inside)
            yield _Function(symbol.name, start, tuple(leaving))


def _constants(symbols: list[Symbol]) -> tuple[int, ...]:
    """Where the mapping symbols say that constants begin between instructions."""
    return tuple(sorted(s["st_value"] for s in symbols if s.name.split(".")[0] == "$d"))


def _code_size(function: range, constants: tuple[int, ...]) -> int:
    """Bytes before the constants: compilers put those behind the last instruction."""
    return min((c for c in constants if c in function), default=function.stop) - function.start
