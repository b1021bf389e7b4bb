"""What qdeploy tells a person who can act on it: one error class and the exit codes.

Every mistake of a user, a file, a tool or a device is a `QdeployError`; anything else that
escapes is a bug of ours and is allowed to crash (exit code 70).
"""

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType


class ExitCode(IntEnum):
    """Process exit codes; README.md says what each means."""

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
        lines = [visible(self.what, keep="\n\t")]
        if self.where is not None:
            lines.append(f"  where: {visible(str(self.where))}")
        if self.fix:
            lines.append(f"  fix:   {visible(self.fix)}")
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


def visible(words: str, *, keep: str = "") -> str:
    """Return words with every character that prints nothing written out as its number.

    Names out of files come to stand on terminals and pages, where an escape character is a command,
    a line end begins a statement of its own, and others turn the direction of what follows.
    `keep` holds characters that are let through, such as our own line ends.
    """
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() or c in keep else _escaped(ord(c)) for c in words)


def _escaped(code: int) -> str:
    if code <= _BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _BASIC else f"\\U{code:08x}"


_BYTE = 0xFF
_BASIC = 0xFFFF

EXTRAS = MappingProxyType(
    {
        "capstone": "run",
        "unicorn": "run",
        "ziglang": "run",
        "distributed": "cluster",
        "pyocd": "flash",
    }
)
"""Packages that one of our extras brings; all others come with qdeploy itself."""

_DISTRIBUTIONS = MappingProxyType(
    {"dask": "distributed", "elftools": "pyelftools", "google": "protobuf", "serial": "pyserial"}
)
"""What is installed for a module of another name."""


def install(extra: str = "") -> str:
    """Say how to install qdeploy's packages; never by its name, which no index keeps for us."""
    what = f"'.[{extra}]'" if extra else "."
    return f"pip install {what} in the checkout of qdeploy"


def missing_package(problem: ImportError) -> MissingToolError | None:
    """Return what a failed import says about this computer; None where it is our own mistake."""
    module = (problem.name or _raising_module(problem)).partition(".")[0]
    if module in ("", "qdeploy"):
        return None
    package = _DISTRIBUTIONS.get(module, module)
    if isinstance(problem, ModuleNotFoundError):
        what = f"the Python package {package} is not installed"
    else:
        first, _, _ = str(problem).partition("\n")
        what = f"the Python package {package} is damaged: {first}"
    return MissingToolError(what, fix=install(EXTRAS.get(package, "")))


def _raising_module(problem: ImportError) -> str:
    """Return the module that raised an error which names none."""
    trace, name = problem.__traceback__, ""
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
    return name
