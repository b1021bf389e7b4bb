"""Temporary folders that are gone when their owner is, whatever ended it.

The name of one tells whose it is: `qdeploy-WHAT-PID-START-RANDOM`, with a dot before it where it
lies among a user's files. Its owner also holds a lock on it, which ends with the process. Whoever
makes the next one in the same place first removes those whose owner is dead: by the process
number and its start, and by the lock, which is seen from other containers as well.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qdeploy.diagnostics import MissingToolError

_NAME = re.compile(r"\.?qdeploy-[a-z]+-([0-9]{1,10})-([0-9]{1,20})-[A-Za-z0-9_]+")
_START_FIELD = 19
"""Of /proc/PID/stat, counted behind the name of the program: ticks from boot to start."""


@contextmanager
def folder(what: str, beside: Path | None = None) -> Iterator[Path]:
    """Give an empty folder until the context ends: in the system's place, or in that of `beside`.

    Raises:
        MissingToolError: the system has no place for one.
        OSError: none can be made beside the file.
    """
    made = _in_the_systems_place(what) if beside is None else _made(beside.parent, f".{what}")
    lock = -1
    try:
        lock = _locked(made)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def _in_the_systems_place(what: str) -> Path:
    try:
        return _made(Path(tempfile.gettempdir()), what)
    except OSError as error:
        raise MissingToolError(
            f"no temporary folder can be made: {error.strerror}",
            fix="free some space, or let TMPDIR name a folder that can be written",
        ) from error


def _made(place: Path, what: str) -> Path:
    sweep(place)
    dot, name = ("." if what.startswith(".") else ""), what.removeprefix(".")
    prefix = f"{dot}qdeploy-{name}-{os.getpid()}-{_start(os.getpid())}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=place))


def sweep(place: Path) -> None:
    """Remove from `place` what runs of this user left when they were killed."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found is None or _lives(int(found[1]), found[2]):
                continue
            with suppress(OSError):
                _remove(Path(entry.path))


def _remove(left: Path) -> None:
    """Remove a folder that is ours, unless somebody holds its lock."""
    status = left.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return
    lock = _locked(left)
    if lock < 0:
        return
    try:
        shutil.rmtree(left, ignore_errors=True)
    finally:
        os.close(lock)


def _locked(made: Path) -> int:
    """Take the lock of a folder; return what holds it, -1 where somebody else does."""
    handle = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return -1
    return handle


def _lives(pid: int, start: str) -> bool:
    """Whether the process that is told by its number and its start is still there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return _start(pid) == start
    return _start(pid) == start


def _start(pid: int) -> str:
    """Return when a process began, in ticks since the machine did; 0 where no file tells."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "0"
    # The second field is a name in parentheses that may hold anything, a parenthesis as well.
    return told.rpartition(")")[2].split()[_START_FIELD]
