"""The one place where results are written: whole or not at all, and over nothing but our own.

A `Target` is a name that is to be written. It is checked before the work begins, and once more
when the result is there: a reader sees the old content or the new, never half of either. What
stands there is replaced only if its content shows that we wrote it, or with --force. Never, even
then: a file that the same command reads, a part of a build folder, what is no regular file.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import scratch
from qdeploy.diagnostics import UsageError, Where
from qdeploy.proof import similarity_file, statement
from qdeploy.proof.strict import STATEMENT_TYPE
from qdeploy.reading import PathError, bytes_of, exists, opened, parse_json, shown

MARKER = "build.json"
"""The file by which a folder is known to be a build of ours."""

OURS = frozenset(
    {
        "build.json",
        "certificate.html",
        "certificate.json",
        "firmware",
        "library",
        "model",
        "report.html",
        "vectors.npz",
    }
)

LARGEST_FILE = 1 << 28
"""Bytes of one file in a build folder."""
_HEAD = 1 << 16
_JUNIT = re.compile(rb"<\?xml [^>]*\?>\s*<testsuites [^>]*>\s*<testsuite name=\"qdeploy ")
_FORCE = "choose another name, or say --force to replace it"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that we write, and how its content is recognised."""

    title: str
    option: str
    """That names the file."""
    ours: Callable[[bytes, bytes], bool]
    """Of the first and the last bytes of a file."""


def _stating(predicate: str) -> Callable[[bytes, bytes], bool]:
    """Recognise a canonical in-toto statement of this type."""
    begin = f'{{"_type":"{STATEMENT_TYPE}"'.encode("ascii")
    mark = f'"predicateType":"{predicate}"'.encode("ascii")
    return lambda head, tail: head.startswith(begin) and mark in tail


def _is_junit(head: bytes, tail: bytes) -> bool:
    return _JUNIT.match(head) is not None and tail.endswith(b"</testsuites>")


CERTIFICATE = Kind("certificate of qdeploy", "-o", _stating(statement.PREDICATE_TYPE))
SIMILARITY = Kind("comparison of qdeploy", "-o", _stating(similarity_file.PREDICATE_TYPE))
JUNIT = Kind("JUnit file of qdeploy", "--junit", _is_junit)


@dataclass(frozen=True, slots=True)
class Target:
    """A file or folder that is to be written."""

    path: Path
    kind: Kind | None
    """None: a build folder."""
    force: bool = False
    """Whether what we did not write may be replaced as well."""
    inputs: tuple[Path, ...] = ()
    """What the same command reads."""

    @property
    def option(self) -> str:
        """The option that names it."""
        return "-o" if self.kind is None else self.kind.option


def check(target: Target) -> None:
    """Refuse a target that may not be written, before the work for it begins.

    Raises:
        UsageError: it holds something that would be lost, or the disk does not take it.
    """
    with _writing(target):
        if target.kind is None:
            _check_folder(target)
        else:
            _check_file(target, target.kind)
        _check_room(target)


def write(target: Target, content: bytes | Mapping[str, bytes]) -> None:
    """Put a file's bytes, or a folder's files (relative POSIX path -> bytes), at the target.

    All is written beside it first; renames then change what the name means.

    Raises:
        UsageError: the target may not be written.
    """
    check(target)
    with _writing(target):
        place = target.path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        with scratch.folder("write", beside=place) as staging:
            if isinstance(content, bytes):
                fresh = staging / "new"
                fresh.write_bytes(content)
                fresh.replace(place)
            else:
                _write_files(staging / "new", content)
                _swap(staging / "new", place, staging / "old")


@contextmanager
def _writing(target: Target) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError, PathError) as error:
        # Python says RuntimeError of links that lead in a circle, ValueError of a NUL in a name.
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"{shown(target.path)} cannot be written: {why}",
            fix=f"choose another place with {target.option}",
        ) from error


# --- files -----------------------------------------------------------------------------------


def _check_file(target: Target, kind: Kind) -> None:
    path = target.path
    if path.is_dir():
        raise UsageError(f"{shown(path)} is a folder", fix=f"name a file with {kind.option}")
    _check_no_input(target)
    _check_no_part_of_a_build(target, kind)
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{shown(path)} is no regular file", fix=f"name a file with {kind.option}")
    if not target.force and path.stat().st_size and not kind.ours(*_ends(path)):
        raise UsageError(
            f"{shown(path)} would be overwritten, and it is no {kind.title}",
            where=Where(shown(path)),
            fix=_FORCE,
        )


def _check_no_input(target: Target) -> None:
    """Refuse what the command reads, by whatever name: a link to it as well."""
    for source in target.inputs:
        if _same(target.path, source):
            raise UsageError(
                f"{shown(target.path)} is read by this command, so its result cannot stand there",
                where=Where(shown(source)),
                fix=f"choose another name with {target.option}",
            )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError, RuntimeError):
        return False


def _check_no_part_of_a_build(target: Target, kind: Kind) -> None:
    """Refuse what a build folder consists of, which would not belong together any more."""
    place = target.path.resolve()
    for folder in place.parents:
        name = place.relative_to(folder).parts[0]
        if name in OURS and _marker(folder) is not None:
            raise UsageError(
                f"{shown(target.path)} is a part of the build in {shown(folder)}",
                where=Where(shown(folder), name),
                fix=f"choose another name with {kind.option}; qdeploy build replaces it as a whole",
            )


def _ends(path: Path) -> tuple[bytes, bytes]:
    """Return the first and the last bytes of a file."""
    with opened(path) as stream:
        head = stream.read(_HEAD)
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _HEAD))
        return head, stream.read(_HEAD)


# --- build folders ---------------------------------------------------------------------------


def _check_folder(target: Target) -> None:
    folder = target.path
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{shown(folder)} is a file", fix="choose another folder with -o")
    if os.path.ismount(folder):
        raise UsageError(
            f"{shown(folder)} is where a disk is mounted, so no folder can take its place",
            fix=f"name a folder inside it: -o {folder / 'build'}",
        )
    if not target.force:
        _check_is_build(folder)
    _check_holds_nothing_needed(target)


def _check_is_build(folder: Path) -> None:
    """Refuse a folder that holds anything that we did not write."""
    names = {entry.name for entry in folder.iterdir()}
    if not names:
        return
    stated = _marker(folder)
    if stated is None:
        raise UsageError(
            f"folder {shown(folder)} is not empty and holds no qdeploy build",
            where=Where(shown(folder), f"no {MARKER} of ours"),
            fix="choose another folder with -o, empty this one, or say --force to replace it",
        )
    lost = next(iter(sorted(names - OURS)), None) or _changed(folder, stated)
    if lost is not None:
        raise UsageError(
            f"folder {shown(folder)} holds {lost!r}, which a new build would delete",
            where=Where(shown(folder), lost),
            fix="move it away, choose another folder with -o, or say --force to replace it",
        )


def _changed(folder: Path, stated: Mapping[str, Any]) -> str | None:
    """Return a file of a build that is not as the build left it: somebody's work."""
    known = stated.get("files")
    if not isinstance(known, dict):
        return None
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if name != MARKER and (path.is_symlink() or not has_digest(path, known.get(name))):
            return name
    return None


def has_digest(path: Path, digest: object) -> bool:
    """Whether a regular file has this SHA-256, and no more bytes than any of ours."""
    try:
        with opened(path) as stream:
            small = os.fstat(stream.fileno()).st_size <= LARGEST_FILE
            return small and hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except PathError:
        return False


def _marker(folder: Path) -> Mapping[str, Any] | None:
    """Return what build.json says, None where there is none of ours."""
    try:
        data = parse_json(bytes_of(folder / MARKER, LARGEST_FILE).decode("utf-8"))
    except (PathError, ValueError):
        return None
    ours = isinstance(data, dict) and {"schema", "qdeploy", "program_digest"} <= data.keys()
    return data if ours else None


def _check_holds_nothing_needed(target: Target) -> None:
    """Refuse a folder in whose place a build would take away more than a build."""
    place = target.path.resolve()
    kept = [path for path in _where_people_are() if path.is_relative_to(place)]
    if not _is_plain_build(target.path):
        kept += [path for path in target.inputs if _exists_inside(path, place)]
    if kept:
        raise UsageError(
            f"a build in {shown(target.path)} would take the place of {shown(kept[0])}, "
            "which is in use",
            where=Where(shown(target.path)),
            fix="choose another folder with -o",
        )


def _where_people_are() -> list[Path]:
    found = []
    for place in (Path.cwd, Path.home):
        with suppress(OSError, RuntimeError):  # it is gone, or nobody has said where it is
            found.append(place().resolve())
    return found


def _is_plain_build(folder: Path) -> bool:
    """Whether all that a new build deletes is what it has read and writes again."""
    try:
        _check_is_build(folder)
    except UsageError:
        return False
    return True


def _exists_inside(path: Path, place: Path) -> bool:
    return exists(path) and path.resolve().is_relative_to(place)


def _write_files(fresh: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _swap(fresh: Path, place: Path, parked: Path) -> None:
    """Rename `fresh` to `place`; whatever was there is parked, and comes back on failure."""
    if not place.exists():
        fresh.rename(place)
        return
    try:
        place.rename(parked)
        fresh.rename(place)
    except BaseException:
        if parked.exists() and not place.exists():
            parked.rename(place)
        raise


# --- the disk --------------------------------------------------------------------------------


def _check_room(target: Target) -> None:
    """Refuse a place where nothing can be made, before hours are spent on what goes there."""
    folder = target.path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(0, f"{shown(folder)} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, f"{shown(folder)} is read-only")
