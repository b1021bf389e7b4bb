"""Files that a user names: regular ones within a limit, read without ever waiting for anybody.

Whatever can be wrong with a path (too long, a zero byte in it, nothing there, a folder, a pipe, a
device, links in a circle, no permission, too many bytes) is a `PathError` in plain words, and an
InputError where `read_bytes` is given what the file is.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType

from qdeploy.diagnostics import InputError, Where

_LONGEST_PATH = 200
"""Characters of a path in a message."""
_OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Whatever has taken the place of a file since it was looked at, opening it does not wait."""
_WHY = MappingProxyType(
    {
        errno.ENOENT: "there is no such file",
        errno.ENOTDIR: "there is no such file: a part of the path is no folder",
        errno.ENAMETOOLONG: "the path is too long",
        errno.ELOOP: "symbolic links lead in a circle",
    }
)


class PathError(Exception):
    """A path leads to nothing that can be used; the text says why."""


class SizeError(PathError):
    """A file has more bytes than its kind may have."""


class Entry(Enum):
    """What stands at a path, symbolic links followed."""

    ABSENT = "nothing"
    FILE = "a file"
    FOLDER = "a folder"
    PIPE = "a pipe"
    OTHER = "a device or socket"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: what errors call it, and how many bytes of it are read."""

    noun: str
    """`the model`, for example."""
    most_bytes: int
    fix: str
    """What to do where it cannot be read."""
    smaller: str = ""
    """What to do where it is too large; empty: the same."""


def look(path: Path) -> Entry:
    """Return what stands at a path.

    Raises:
        PathError: no file can stand there, or it may not be looked at.
    """
    with _in_words():
        try:
            return _entry(path.stat())
        except FileNotFoundError:
            return Entry.ABSENT


def exists(path: Path) -> bool:
    """Whether anything stands at a path; where nothing can, nothing does."""
    return _found(path) is not Entry.ABSENT


def is_file(path: Path) -> bool:
    """Whether a regular file stands at a path; where nothing can, there is none."""
    return _found(path) is Entry.FILE


def is_folder(path: Path) -> bool:
    """Whether a folder stands at a path; where nothing can, there is none."""
    return _found(path) is Entry.FOLDER


def _found(path: Path) -> Entry:
    try:
        return look(path)
    except PathError:
        return Entry.ABSENT


def resolved(path: Path) -> Path:
    """Return the absolute path without symbolic links.

    Raises:
        PathError: no file can stand there.
    """
    with _in_words():
        return path.resolve()


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the names of everything in a folder, sorted.

    Raises:
        PathError: it is no folder, or may not be read.
    """
    with _in_words():
        return tuple(sorted(os.listdir(folder)))  # noqa: PTH208  names are wanted, no paths


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; nothing else is even touched.

    Raises:
        PathError: it cannot be opened or read.
    """
    with _in_words():
        _require_file(path.stat())
        with os.fdopen(os.open(path, _OPENING), "rb") as stream:
            _require_file(os.fstat(stream.fileno()))
            yield stream


def bytes_of(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        PathError: it cannot be read.
        SizeError: it has more than `most` bytes.
    """
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= most:
            data = stream.read(size + 1)
            if len(data) > size:  # it grows, or is one whose size the system does not say
                data += stream.read(most + 1 - len(data))
            if len(data) <= most:
                return data
    raise SizeError(f"it is larger than {most} bytes")


def read_bytes(path: Path, kind: Kind) -> bytes:
    """Return the content of a user's file.

    Raises:
        InputError: it cannot be read, or is larger than its kind may be.
    """
    try:
        return bytes_of(path, kind.most_bytes)
    except SizeError as problem:
        what, fix = f"is larger than {kind.most_bytes} bytes", kind.smaller or kind.fix
        raise InputError(f"{kind.noun} {what}", where=Where(shown(path)), fix=fix) from problem
    except PathError as problem:
        what = f"{kind.noun} cannot be read: {problem}"
        raise InputError(what, where=Where(shown(path)), fix=kind.fix) from problem


def read_text(path: Path, kind: Kind) -> str:
    """Return the content of a user's file of UTF-8 text.

    Raises:
        InputError: it cannot be read, is larger than its kind may be, or is no such text.
    """
    try:
        return read_bytes(path, kind).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise InputError(
            f"{kind.noun} is no UTF-8 text", where=Where(shown(path)), fix="save it as UTF-8"
        ) from problem


def shown(path: Path) -> str:
    """Return a path as a message may hold it: of a very long one its beginning and its end."""
    text = str(path)
    half = _LONGEST_PATH // 2
    return text if len(text) <= _LONGEST_PATH else f"{text[:half]}…{text[-half:]}"


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what the system says about a path into a `PathError`."""
    try:
        yield
    except OSError as problem:
        known = _WHY.get(problem.errno or 0)
        raise PathError(known or _lower(problem.strerror or "it cannot be read")) from problem
    except ValueError as problem:  # a zero byte, or half of a character
        raise PathError("the path holds a character that no path can hold") from problem
    except RuntimeError as problem:  # `Path.resolve`, before Python 3.13
        raise PathError(_WHY[errno.ELOOP]) from problem


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]


def _entry(status: os.stat_result) -> Entry:
    kinds = {stat.S_IFREG: Entry.FILE, stat.S_IFDIR: Entry.FOLDER, stat.S_IFIFO: Entry.PIPE}
    return kinds.get(stat.S_IFMT(status.st_mode), Entry.OTHER)


def _require_file(status: os.stat_result) -> None:
    found = _entry(status)
    if found is not Entry.FILE:
        raise PathError(f"it is {found.value}, no file")
