"""What links, emulators and devices are to each other."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qdeploy.boards import Board
from qdeploy.diagnostics import MissingToolError, QdeployError, Where
from qdeploy.ir import DeviceIdentity, Firmware


class ConnectionLostError(MissingToolError):
    """The other end of a connection went away."""


class PortError(MissingToolError):
    """A port cannot be opened."""


class NoAnswerError(MissingToolError):
    """A port is open, and nobody there answers as our firmware does."""

    def __init__(self, what: str, *, heard: str, where: Where | None = None, fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.heard = heard
        """What there was instead, in words that suit any board."""


class DeviceFaultError(MissingToolError):
    """The device crashed and said so."""

    def __init__(self, what: str, *, place: str, fix: str) -> None:
        super().__init__(what, fix=fix)
        self.place = place
        """Where, in words; empty where it did not say."""


class NoSuchRequestError(MissingToolError):
    """The device's firmware does not know a request."""


BAUD = 115_200
"""Of a port whose board nobody names."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device is reached, and how fast."""

    address: str
    """A device name or a URL, for people as well."""
    baud: int = BAUD


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
        self, firmware: Firmware, at: Endpoint, timing: Timing
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
    ended: Callable[[], QdeployError]
    """Say how it ended, and why as far as it told; asked once its port has broken."""
    said: Callable[[], str]
    """What it has printed so far, on one line."""


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
