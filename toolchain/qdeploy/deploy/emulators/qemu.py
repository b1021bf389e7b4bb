"""QEMU's system emulator. Its serial port is a pseudo terminal.

Counting: with `-icount shift=N` every instruction takes 2**N ns of virtual time, and SysTick
counts that. N is chosen so that an instruction is two ticks or more; a difference of two readings
is off by less than one tick, so rounding gives the exact number.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, partial

from qdeploy import scratch
from qdeploy.boards import Board
from qdeploy.deploy._protocol import Running
from qdeploy.deploy.emulators._child import Child, NoPortError, child
from qdeploy.deploy.emulators._endings import ended
from qdeploy.diagnostics import InputError, MissingToolError, QdeployError, Where
from qdeploy.ir import Firmware

_PROGRAM = "qemu-system-arm"
_PORT = re.compile(r"char device redirected to (\S+)")
_TICKS_PER_INSTRUCTION = 2
_NS = 1_000_000_000
_REFUSED = 1
"""Its status where it does not take its command."""


class Qemu:
    """See the module."""

    keeps_time = True

    def version(self) -> str | None:
        """As `--version` says it."""
        path = shutil.which(_PROGRAM)
        return None if path is None else _version(path)

    def missing(self) -> MissingToolError:
        """The Debian package."""
        return MissingToolError(f"{_PROGRAM} is not installed", fix="apt install qemu-system-arm")

    @contextmanager
    def start(self, firmware: Firmware, board: Board, *, counting: bool) -> Iterator[Running]:
        """Run the image; a pseudo terminal is its UART."""
        path = shutil.which(_PROGRAM)
        if path is None or board.emulator is None:
            raise self.missing()
        if not board.emulator.machine:
            raise _refusal(board, "QEMU is not told which machine to be")
        with scratch.folder("qemu") as folder:
            image = folder / "firmware.elf"
            image.write_bytes(firmware.elf)
            command = [path, "-M", board.emulator.machine, "-kernel", str(image)]
            command += ["-display", "none", "-nodefaults", "-monitor", "none", "-serial", "pty"]
            if counting:
                command += ["-icount", f"shift={_shift(board)},sleep=off"]
            with child(command, folder) as running:
                yield Running(_port(running, board), partial(_end, running, board), running.said)

    def instructions(self, ticks: int, board: Board) -> int:
        """Ticks of virtual time to instructions."""
        return round(ticks / (_clock(board) * (1 << _shift(board)) / _NS))


def _port(running: Child, board: Board) -> str:
    try:
        found = _PORT.search(running.line_with("redirected"))
    except NoPortError as error:
        if running.process.returncode == _REFUSED:
            raise _refusal(board, running.said()) from error
        raise
    if found is None:
        raise MissingToolError("QEMU named no serial port", fix="install QEMU 7.2")
    return found[1]


def _end(running: Child, board: Board) -> QdeployError:
    """Say how it ended: its status tells whether it would not be the machine at all."""
    words = running.last_words()
    if running.process.returncode == _REFUSED:
        return _refusal(board, running.said())
    return ended(words, board)


def _refusal(board: Board, said: str) -> QdeployError:
    """Say why QEMU will not be the machine that board.toml names."""
    named = "" if board.emulator is None else board.emulator.machine
    words = said.replace(f"{_PROGRAM}: ", "")
    what = f"QEMU refuses the machine {named!r}: {words}" if named else words
    where = Where(board.file, "emulator.machine")
    fix = f"name one with a Cortex-M that `{_PROGRAM} -M help` lists"
    if board.own:
        return InputError(what, where=where, fix=fix)
    return MissingToolError(what, where=where, fix="install QEMU 7.2 or newer")


def _clock(board: Board) -> Fraction:
    if board.hardware is None:
        raise ValueError(f"{board.name} has no clock")
    return Fraction(board.hardware.clock_hz)


def _shift(board: Board) -> int:
    """The smallest N with at least two ticks in 2**N ns."""
    shift = 0
    while _clock(board) * (1 << shift) < _TICKS_PER_INSTRUCTION * _NS:
        shift += 1
    return shift


@cache
def _version(path: str) -> str:
    said = subprocess.run([path, "--version"], capture_output=True, check=True)
    words = said.stdout.decode("utf-8", "replace").split()
    return words[3] if len(words) > 3 else "unknown"  # noqa: PLR2004  "QEMU emulator version X"


EMULATOR = Qemu()
