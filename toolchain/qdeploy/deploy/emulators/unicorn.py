"""Unicorn: a CPU emulator from PyPI; the board around it is ours, in `_unicorn_machine.py`.

It runs in a process of its own, so that its serial port is reached as any other, and so that
nothing the emulated program does can touch this process. The engine is an optional extra and is
never imported here.
"""

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdeploy import scratch
from qdeploy.boards import Board, Hardware
from qdeploy.deploy._protocol import Running
from qdeploy.deploy.emulators._child import Child, NoPortError, child
from qdeploy.deploy.emulators._endings import CHECK, ended
from qdeploy.diagnostics import ExitCode, InputError, MissingToolError, Where, install
from qdeploy.ir import Firmware

_MACHINE = Path(__file__).with_name("_unicorn_machine.py")


class Unicorn:
    """See the module."""

    keeps_time = False

    def version(self) -> str | None:
        """Of the installed wheel."""
        if importlib.util.find_spec("unicorn") is None:
            return None
        return importlib.metadata.version("unicorn")

    def missing(self) -> MissingToolError:
        """The extra of our own package."""
        return MissingToolError("the emulator unicorn is not installed", fix=install("run"))

    @contextmanager
    def start(self, firmware: Firmware, board: Board, *, counting: bool) -> Iterator[Running]:
        """Run the image; a pseudo terminal is its UART."""
        if self.version() is None or board.hardware is None:
            raise self.missing()
        with scratch.folder("unicorn") as folder:
            image = folder / "firmware.bin"
            image.write_bytes(firmware.bin)
            facts = json.dumps(_facts(board.hardware, counting=counting))
            # -P: this folder's unicorn.py must not be taken for the package
            command = [sys.executable, "-P", str(_MACHINE), facts, str(image)]
            with child(command, folder) as running:
                port = _port(running, board)
                yield Running(port, lambda: ended(running.last_words(), board), running.said)

    def instructions(self, ticks: int, board: Board) -> int:
        """Our SysTick counts them one by one."""
        del board
        return ticks


def _port(running: Child, board: Board) -> str:
    try:
        return running.line_with("/").strip()
    except NoPortError as error:
        code = running.process.returncode
        if code == ExitCode.MISSING:
            raise MissingToolError(
                f"the Python package unicorn is damaged: {running.said()}", fix=install("run")
            ) from error
        if code != ExitCode.BAD_INPUT:
            raise
        raise InputError(
            f"unicorn cannot be this board: {running.said()}",
            where=Where(board.file),
            fix=f"{CHECK}, a Cortex-M with a CMSDK UART; or name another emulator",
        ) from error


def _facts(hardware: Hardware, *, counting: bool) -> dict[str, object]:
    return {
        "cpu": hardware.cpu,
        "flash": [hardware.flash.start, hardware.flash.bytes],
        "ram": [hardware.ram.start, hardware.ram.bytes],
        "uart": hardware.uart.base,
        "counting": counting,
    }


EMULATOR = Unicorn()
