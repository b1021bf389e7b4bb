"""`board.toml` -> Board.

Invariants of a board that was read: addresses and sizes lie in 32 bits, the stack fits the RAM,
the core is one the compilers know, and nothing in the file was ignored.
"""

import re
from pathlib import Path

from qdeploy.boards._board import Board, Emulator, Flasher, Hardware, Region, Uart, Verified
from qdeploy.boards._sources import ENTRY, from_here
from qdeploy.boards._toml import Table, read_table
from qdeploy.diagnostics import InputError
from qdeploy.reading import is_file

CPUS = (
    "cortex-m0",
    "cortex-m0plus",
    "cortex-m3",
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m55",
)

_ADDRESSES = 1 << 32
_DEFINE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(=[ -~]{0,200})?")


def read_board(folder: Path) -> Board:
    """Read one board's folder.

    Raises:
        InputError: the file is missing or wrong; it names the key and the fix.
    """
    file = from_here(folder / "board.toml")
    return _board(read_table(folder / "board.toml", file), folder.name, file, folder)


def read_facts(facts: dict[str, object], name: str, file: str) -> Board:
    """Return a board of which only the facts are known, as a build keeps them.

    Raises:
        InputError: a fact is missing or wrong; `file` is what errors call the place.
    """
    return _board(Table(facts, file), name, file, None)


def _board(table: Table, name: str, file: str, folder: Path | None) -> Board:
    board = Board(
        name=name,
        title=table.take("title", str),
        verified=_verified(table),
        how=table.take("how", str),
        hardware=_hardware(table, folder),
        emulator=_emulator(table),
        flasher=_flasher(table),
        usb=table.take_or("usb", ""),
        file=file,
        folder=folder,
    )
    table.done()
    return board


def _verified(table: Table) -> Verified:
    value = table.take("verified", str)
    if value not in set(Verified):
        known = ", ".join(Verified)
        raise table.error("verified", f"verified = {value!r} means nothing", f"use one of {known}")
    return Verified(value)


def _hardware(table: Table, folder: Path | None) -> Hardware | None:
    if folder is not None and "image_of" in table:
        return _hardware_of(table, folder)
    cpu = table.take("cpu", str)
    if cpu == "host":
        return None
    if cpu not in CPUS:
        raise table.error("cpu", f"core {cpu!r} is not known", f"use one of {', '.join(CPUS)}")
    return _described(table, folder, cpu)


def _hardware_of(table: Table, folder: Path) -> Hardware:
    other = table.take("image_of", str)
    if not other.replace("-", "").isalnum():
        raise table.error("image_of", f"{other!r} is no board's name", "name a folder beside it")
    home = folder.parent / other
    original = read_table(home / "board.toml", from_here(home / "board.toml"))
    hardware = None if "image_of" in original else _hardware(original, home)
    if hardware is None:
        raise table.error("image_of", f"{other} has no image of its own", "name one with a board.c")
    return hardware


def _described(table: Table, folder: Path | None, cpu: str) -> Hardware:
    memory = table.table("memory")
    hardware = Hardware(
        title=table.take("title", str),
        cpu=cpu,
        clock_hz=_positive(table, "clock_hz"),
        flash=_region(memory.table("flash")),
        ram=_region(memory.table("ram")),
        stack_bytes=_positive(memory, "stack"),
        uart=_uart(table.table("uart")),
        defines=_defines(table),
        home=folder,
    )
    memory.done()
    if hardware.stack_bytes % 8 or hardware.stack_bytes >= hardware.ram.bytes:
        raise memory.error(
            "stack",
            f"a stack of {hardware.stack_bytes} bytes does not do",
            f"choose a multiple of 8 below the {hardware.ram.bytes} bytes of RAM",
        )
    if folder is not None and not is_file(folder / ENTRY):
        raise InputError(
            f"board {folder.name} has no board.c",
            fix="write one that implements firmware/include/qd_board.h; see docs/add-a-board.md",
        )
    return hardware


def _region(table: Table) -> Region:
    region = Region(table.take("start", int), _positive(table, "bytes"))
    table.done()
    if region.start < 0 or region.start % 4 or region.start + region.bytes > _ADDRESSES:
        raise table.error(
            "start", f"no memory can start at {region.start:#x}", "use an aligned 32-bit address"
        )
    return region


def _uart(table: Table) -> Uart:
    uart = Uart(_positive(table, "base"), _positive(table, "baud"))
    table.done()
    return uart


def _defines(table: Table) -> tuple[str, ...]:
    if "sources" not in table:
        return ()
    inner = table.table("sources")
    defines = inner.take_texts("define")
    inner.done()
    for define in defines:
        if _DEFINE.fullmatch(define) is None:
            raise inner.error(
                "define", f"{define[:80]!r} defines no macro", 'write "NAME" or "NAME=VALUE"'
            )
    return defines


def _positive(table: Table, key: str) -> int:
    value = table.take(key, int)
    if not 0 < value < _ADDRESSES:
        raise table.error(key, f"{key} = {value} is out of range", "use a positive 32-bit number")
    return value


def _emulator(table: Table) -> Emulator | None:
    if "emulator" not in table:
        return None
    inner = table.table("emulator")
    emulator = Emulator(inner.take("tool", str), inner.take_or("machine", ""))
    inner.done()
    return emulator


def _flasher(table: Table) -> Flasher | None:
    if "flash" not in table:
        return None
    inner = table.table("flash")
    flasher = Flasher(inner.take("tool", str), inner.take("target", str))
    inner.done()
    return flasher
