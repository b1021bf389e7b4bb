"""What qdeploy tells a person who can act on it: one error class and the exit codes.

Every mistake of a user, a file, a tool or a device is a `QdeployError`; anything else that
escapes is a bug of ours and is allowed to crash (exit code 70).
"""

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes; the meaning of each is fixed in docs/DESIGN.md."""

    YES = 0
    NO = 1
    USAGE = 2
    BAD_INPUT = 3
    MISSING = 4
    INCONCLUSIVE = 5
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Where:
    """A place in something the user owns: a file, and a spot inside it."""

    file: str
    spot: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.spot}" if self.spot else self.file


class QdeployError(Exception):
    """What is wrong, where in the user's material, and how to fix it."""

    exit_code: ExitCode = ExitCode.BAD_INPUT

    def __init__(self, what: str, *, where: Where | None = None, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class UsageError(QdeployError):
    """The command line asks for something contradictory."""

    exit_code = ExitCode.USAGE


class InputError(QdeployError):
    """A file the user gave cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class MissingToolError(QdeployError):
    """A compiler, emulator, library or device is absent or silent."""

    exit_code = ExitCode.MISSING


class RefusedError(QdeployError):
    """A check was made and the answer is no."""

    exit_code = ExitCode.NO


class StoppedError(QdeployError):
    """A person ended the work before it was done."""

    exit_code = ExitCode.INTERRUPTED


class ExhaustedError(QdeployError):
    """The machine's memory does not suffice to reach an answer."""

    exit_code = ExitCode.INCONCLUSIVE
