"""Writing results so that a reader sees the old ones or the new ones, never half of either."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from qdeploy.diagnostics import UsageError, Where
from qdeploy.reading import shown

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


def check_replaceable(folder: Path) -> None:
    """Refuse to replace anything but an earlier build.

    Raises:
        UsageError: `folder` is a file, no build of ours, or holds something of the user's.
    """
    with _writing(folder):
        _check_replaceable(folder)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file", fix="choose another folder with -o")
    names = {entry.name for entry in folder.iterdir()}
    foreign = sorted(names - OURS)
    if names and MARKER not in names:
        raise UsageError(
            f"folder {folder} is not empty and holds no qdeploy build",
            where=Where(str(folder), f"no {MARKER}"),
            fix="choose another folder with -o, or empty this one",
        )
    if foreign:
        raise UsageError(
            f"folder {folder} holds {foreign[0]!r}, which a new build would delete",
            where=Where(str(folder), foreign[0]),
            fix="move it away, or choose another folder with -o",
        )


def check_no_folder(path: Path) -> None:
    """Refuse to write a file where a folder is, before the work for it begins.

    Raises:
        UsageError: `path` is a folder.
    """
    with _writing(path):
        if path.is_dir():
            raise UsageError(f"{path} is a folder", fix="name a file with -o")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put exactly `files` (relative POSIX path -> bytes) at `folder`, replacing an earlier build.

    Everything is written beside the folder first; two renames then change what the name means.

    Raises:
        UsageError: the folder may not be replaced, or the disk does not take it.
    """
    check_replaceable(folder)
    with _writing(folder):
        _write_folder(folder.resolve(), files)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        # Python says RuntimeError of links that lead in a circle, ValueError of a NUL in a name.
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"{shown(path)} cannot be written: {why}", fix="choose another place with -o"
        ) from error


def _write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fresh = staging / "new"
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _swap(fresh, target, staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(fresh: Path, target: Path, parked: Path) -> None:
    """Rename `fresh` to `target`; whatever was there is parked, and comes back on failure."""
    if not target.exists():
        fresh.rename(target)
        return
    try:
        target.rename(parked)
        fresh.rename(target)
    except BaseException:
        if parked.exists() and not target.exists():
            parked.rename(target)
        raise


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step.

    Raises:
        UsageError: the disk does not take it.
    """
    with _writing(path):
        _write_file(path.resolve(), content)


def _write_file(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return the process's umask, which can be read only by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
