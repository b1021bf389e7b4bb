"""A child process that never outlives its use."""

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qdeploy.diagnostics import MissingToolError, visible

_START_S = 15.0
_END_S = 2.0
_WORDS = 4000
_LINES = 2
_LONGEST_LINE = 300
_IDLE = re.compile(r"warning: nic .* has no peer|terminating on signal|^Use -machine help|^R\d\d=")
"""What an emulator says in any case, or adds for who types its command."""


class NoPortError(MissingToolError):
    """The emulator ended, or did not say where its serial port is."""


class Child:
    """A running program whose standard output is read line by line."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Path) -> None:
        self.process = process
        self._errors = errors

    def line_with(self, text: str) -> str:
        """Return the first line of its output that contains `text`.

        Raises:
            MissingToolError: it ended, or said nothing of the kind in time.
        """
        end = time.monotonic() + _START_S
        output = b""
        while time.monotonic() < end:
            output += self._read(end)
            complete = output.decode("utf-8", "replace").split("\n")[:-1]
            for line in complete:
                if text in line:
                    return line
            if self.process.poll() is not None:
                break
        raise NoPortError(
            f"the emulator did not start: {self._silence()}",
            fix="run `qdeploy doctor`",
        )

    def _silence(self) -> str:
        if self.process.poll() is None:
            return f"it named no serial port within {_START_S:g} s"
        return self.last_words()

    def _read(self, end: float) -> bytes:
        stream = self.process.stdout
        if stream is None:
            raise ValueError("the child was started without a pipe")
        ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
        return os.read(stream.fileno(), 4096) if ready else b""

    def last_words(self) -> str:
        """What it wrote to standard error and how it ended.

        A serial port hangs up a moment before its process has ended: so wait for that.
        """
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "it still runs, and has closed its serial port"
        said = self.said()
        ending = f"it ended with status {self.process.returncode}"
        return f"{ending}, saying: {said}" if said else ending

    def said(self) -> str:
        """What it has written to standard error so far: the first lines, on one."""
        with self._errors.open("rb") as stream:
            text = stream.read(_WORDS).decode("utf-8", "replace")
        lines = [visible(line.strip())[:_LONGEST_LINE] for line in text.splitlines()]
        telling = [line for line in lines if line and _IDLE.search(line) is None]
        return "; ".join(telling[:_LINES])


@contextmanager
def child(command: Sequence[str], folder: Path) -> Iterator[Child]:
    """Run a program until the context ends, however it ends."""
    errors = folder / "stderr.txt"
    with errors.open("wb") as sink:
        process = subprocess.Popen(
            [*_leash(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,  # Ctrl-C is for us; we end it in order
        )
    try:
        yield Child(process, errors)
    finally:
        _end(process)


def _leash() -> tuple[str, ...]:
    """Where the system offers it, the child is killed when we are killed without warning."""
    program = shutil.which("setpriv")
    return () if program is None else (program, "--pdeathsig", "KILL", "--")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
