"""What links, emulators and devices are to each other."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qdeploy.boards import Board
from qdeploy.diagnostics import MissingToolError
from qdeploy.ir import DeviceIdentity, Firmware


class ConnectionLostError(MissingToolError):
    """The other end of a connection went away."""


class DeviceFaultError(MissingToolError):
    """The device crashed and said so."""


class NoSuchRequestError(MissingToolError):
    """The device's firmware does not know a request."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, and how often to try."""

    hello_s: float = 10.0
    """Until a device that says nothing is given up."""
    reply_s: float = 5.0
    """For one reply."""
    attempts: int = 8
    """Times one request is sent."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Raw outputs [n, n_out], and what every inference cost in the device's own counter."""

    outputs: NDArray[np.int64]
    counts: tuple[int | None, ...]
    """None where there is no counter, or it overflowed."""


class Connection(Protocol):
    """A stream of bytes in both directions."""

    def send(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            ConnectionLostError: the other end is gone.
        """
        ...

    def receive(self, deadline: float) -> bytes:
        """Return what has arrived, at least one byte; nothing if time.monotonic() is past.

        Raises:
            ConnectionLostError: the other end is gone.
        """
        ...


class Device(Protocol):
    """Something that runs the program."""

    retries: int
    """Frames that had to be sent again so far."""

    def identify(self) -> DeviceIdentity:
        """Ask what it is."""
        ...

    def infer(self, codes: NDArray[np.int64]) -> Answers:
        """Run the program on input codes [n, n_in]."""
        ...

    def count_loop(self, turns: int) -> int | None:
        """Count 2 * turns instructions; None where there is no counter, or it overflowed.

        Raises:
            NoSuchRequestError: the firmware is older than this.
        """
        ...


@runtime_checkable
class Link(Protocol):
    """A way to reach devices."""

    def reaches(self, board: Board) -> bool:
        """Whether this is how boards of this sort are reached."""
        ...

    def open(
        self, firmware: Firmware, address: str, timing: Timing
    ) -> AbstractContextManager[Device]:
        """Open the device at an address."""
        ...

    def find(self, board: Board) -> str | None:
        """Return the address of an attached board, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator at work."""

    address: str
    """Where its serial port is."""
    last_words: Callable[[], str]
    """How it ended, and what it said then; asked for once its port has broken."""


@runtime_checkable
class EmulatorTool(Protocol):
    """An emulator of boards."""

    keeps_time: bool
    """Whether its SysTick runs at the board's clock, in a time of its own."""

    def version(self) -> str | None:
        """Its version, None where it is not installed."""
        ...

    def missing(self) -> MissingToolError:
        """Say what to install."""
        ...

    def start(
        self, firmware: Firmware, board: Board, *, counting: bool
    ) -> AbstractContextManager[Running]:
        """Run the image until the context ends; slower, but exact in time, when counting."""
        ...

    def instructions(self, ticks: int, board: Board) -> int:
        """Translate SysTick ticks of a counting run."""
        ...
