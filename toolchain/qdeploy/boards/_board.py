"""A board as a value: what the linker, the emulators and the links need to know of it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Verified(StrEnum):
    """How a board was tried, honestly."""

    EMULATED = "emulated"
    HARDWARE = "hardware"
    BUILD = "build"
    """The image is built and nothing more."""


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of the address space."""

    start: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Uart:
    """The UART the host talks to."""

    base: int
    baud: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """What an image is built for. Boards with equal hardware run equal images."""

    title: str
    """Of the board the image is named after in its sources."""
    cpu: str
    clock_hz: int
    flash: Region
    ram: Region
    stack_bytes: int
    uart: Uart
    defines: tuple[str, ...]
    """Macros for the board's own sources: `NAME` or `NAME=VALUE`."""
    home: Path | None
    """The folder of those sources; None where only the facts are known."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """Which emulator plays the board, and by what name it knows it."""

    tool: str
    machine: str


@dataclass(frozen=True, slots=True)
class Flasher:
    """Which tool writes an image to the board, and by what name it knows the chip."""

    tool: str
    target: str


@dataclass(frozen=True, slots=True)
class Board:
    """One board. `hardware` is None for the host, which runs the library itself."""

    name: str
    title: str
    verified: Verified
    how: str
    """What was done to verify it, in words."""
    hardware: Hardware | None
    emulator: Emulator | None
    flasher: Flasher | None
    usb: str
    """`vendor:product` of the board's serial port, to find it by; empty where unknown."""
    file: str
    """Its board.toml, as errors call it."""
    folder: Path | None
    """Where that lies; None where only the facts are known."""
    own: bool = False
    """Whether it is a user's, and none that comes with qdeploy."""

    @property
    def cpu(self) -> str:
        """The core, as compilers call it; `host` for this computer."""
        return "host" if self.hardware is None else self.hardware.cpu
