"""Running a compiler or linker."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


class ToolFailedError(RuntimeError):
    """A compiler refused what we generated: a bug of ours, or a region that overflows."""

    def __init__(self, command: Sequence[str], output: str) -> None:
        super().__init__(f"{' '.join(command)}\n{output}")
        self.output = output


def run_tool(command: Sequence[str], folder: Path) -> str:
    """Run a command in `folder`; return what it printed.

    The environment is cut down to what finding programs needs: a variable such as CPATH must not
    change what is built, nor a language what is printed, nor today's date what a board's own files
    make of __DATE__.

    Raises:
        ToolFailedError: it failed.
    """
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise ToolFailedError(command, output)
    return output


@cache
def first_line(*command: str) -> str:
    """Return the first line a command prints, as for `--version`."""
    return run_tool(command, Path.cwd()).splitlines()[0].strip()
