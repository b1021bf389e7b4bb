"""The whole program of a board: the library, the runtime that serves it, and the board itself.

All files lie in one folder, a board's own below it, so nothing in them depends on where they are
compiled.
"""

from pathlib import Path, PurePosixPath

from qdeploy.boards import SOURCES_IN, Board, Hardware, read_sources
from qdeploy.diagnostics import InputError, Where
from qdeploy.generate._environment import render
from qdeploy.generate.library import Names, library
from qdeploy.ir import FixedNetwork, FixedTensor, SourceTree, program_digest
from qdeploy.resources import folder

_INCLUDES = ("qd_board.h", "qd_cobs.h", "qd_crc32.h", "qd_serial.h", "qd_timed.h")
_SOURCES = ("qd_cobs.c", "qd_crc32.c", "qd_loop.S", "qd_serial.c", "qd_timed.c")
_SMALLEST_PAYLOAD = 128
"""What the replies of fixed form need, with room to grow."""
_BATCH_BYTES = 512
"""Of vectors and their results. At 115 200 baud they take 45 ms, beside which the one or two of an
exchange do not matter; a larger batch only takes RAM."""
_RAM_SHARE = 16
_COUNT_BYTES = 4
"""The cost of an inference, before its outputs."""


def firmware(program: FixedNetwork, board: Board, name: str | None = None) -> SourceTree:
    """Return everything a compiler needs to build `program` for `board`.

    For the host that is the library alone, called by its name if it has one. Boards with equal
    hardware get equal files.
    """
    made = library(program, name)
    if board.hardware is None:
        return made
    names = Names(name, program_digest(program))
    parts = {**_runtime(), **_board_files(program, board.hardware, names)}
    twice = made.files.keys() & parts.keys()
    if twice:
        raise ValueError(f"the library and the firmware both have {sorted(twice)}")
    ours = {**made.files, **parts}
    return SourceTree({**ours, **_sources(board, frozenset(ours))})


def _sources(board: Board, ours: frozenset[str]) -> dict[str, bytes]:
    """Return the files of the board's folder, none of which may hide one of ours."""
    hardware = board.hardware
    if hardware is None or hardware.home is None:
        raise ValueError(f"of {board.name} only the facts are known, not its sources")
    found = read_sources(hardware.home)
    for name in found:
        if name.endswith(".h") and PurePosixPath(name).name in ours:
            raise InputError(
                f"{name} of the board has the name of a header of the runtime",
                where=Where(board.file),
                fix="rename it",
            )
    return {f"{SOURCES_IN}/{name}": data for name, data in found.items()}


def _runtime() -> dict[str, bytes]:
    home = folder("firmware")
    paths = [home / "include" / name for name in _INCLUDES]
    paths += [home / "src" / name for name in _SOURCES]
    paths += _files(home / "startup") + _files(home / "drivers")
    return {path.name: path.read_bytes() for path in paths}


def _files(home: Path) -> list[Path]:
    return sorted(path for path in home.iterdir() if path.suffix in (".c", ".h", ".S"))


def _board_files(program: FixedNetwork, hardware: Hardware, names: Names) -> dict[str, bytes]:
    vector = _code_bytes(program.input)
    result = _COUNT_BYTES + _whole_words(_code_bytes(program.output))
    batch = max(1, min(hardware.ram.bytes // _RAM_SHARE, _BATCH_BYTES) // (vector + result))
    title = _comment(hardware.title)
    config = render(
        "qd_config.h.j2",
        title=title,
        model=names.symbol,
        clock_hz=hardware.clock_hz,
        uart=hardware.uart,
        request_bytes=_capacity(batch * vector),
        reply_bytes=_capacity(batch * result),
    )
    script = render(
        "link.ld.j2",
        title=title,
        flash=hardware.flash,
        ram=hardware.ram,
        stack_bytes=hardware.stack_bytes,
    )
    return {"qd_config.h": config, "link.ld": script}


def _comment(text: str) -> str:
    """Return a text that does not end the comment it is printed in."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.replace("*/", "* /").replace("/*", "/ *")


def _code_bytes(tensor: FixedTensor) -> int:
    return tensor.tensor.size * tensor.format.container_bits // 8


def _capacity(batch: int) -> int:
    """Payload bytes: the batch, or what every other exchange needs."""
    return _whole_words(max(batch, _SMALLEST_PAYLOAD))


def _whole_words(size: int) -> int:
    return -(-size // 4) * 4
