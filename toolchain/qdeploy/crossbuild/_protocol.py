"""What a compiler module states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from qdeploy.diagnostics import MissingToolError

WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wundef",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wvla",
    "-Wdouble-promotion",
    "-Werror",
)

LANGUAGE = (
    "-std=c99",
    "-ffreestanding",
    # Codes travel in byte buffers that the model reads as integers.
    "-fno-strict-aliasing",
    "-ffunction-sections",
    "-fdata-sections",
    "-fstack-usage",
    # ARMv6-M has no jump tables of its own: GCC would call its support library for them.
    "-fno-jump-tables",
)


_FOREIGN = ("-std=gnu11", "-w")
"""For files we have no say in: what today's compilers take by themselves, and no warning."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler and a linker that are installed, for one core.

    Commands run in the folder of the sources; file names are appended to `compile`, object
    files to `link`, which writes `image.elf` and `image.map`.
    """

    name: str
    version: str
    driver: tuple[str, ...]
    """The compiler, with the program's path first."""
    headers: tuple[str, ...]
    """Options by which it finds headers of its own."""
    link: tuple[str, ...]
    flags: tuple[str, ...]
    """The options that shape the code, for the record: no path among them."""

    @property
    def compile(self) -> tuple[str, ...]:
        """The command that compiles our files, and a board.c: every warning is an error."""
        return (*self.driver, *self.flags, *WARNINGS, *self.headers, "-c")

    @property
    def compile_foreign(self) -> tuple[str, ...]:
        """The command that compiles what a board brings along."""
        return (*self.driver, *self.flags, *_FOREIGN, *self.headers, "-c")


@runtime_checkable
class Compiler(Protocol):
    """A compiler family."""

    def targets(self, cpu: str) -> bool:
        """Whether it can build for a core, or for the `host`."""
        ...

    def find(self, cpu: str) -> Toolchain | None:
        """Return the toolchain for a core it targets, None where it is not installed."""
        ...

    def missing(self, cpu: str) -> MissingToolError:
        """Say what to install for a core it targets."""
        ...


def cpu_flags(cpu: str) -> tuple[str, ...]:
    """Options that both compilers understand; nothing here computes in floating point."""
    return (f"-mcpu={cpu}", "-mthumb", "-mfloat-abi=soft")


def link_script(options: Sequence[str] = ()) -> tuple[str, ...]:
    """Options of a linker driver for firmware, GNU ld and LLD alike."""
    return ("-n", "-T", "link.ld", "--gc-sections", "-Map=image.map", "-o", "image.elf", *options)
