"""A serial port, real or of an emulator, opened by pyserial: a device name or a pyserial URL."""

import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import serial
from serial.tools import list_ports

from qdeploy.boards import Board
from qdeploy.deploy._protocol import ConnectionLostError, Device, Endpoint, Timing
from qdeploy.deploy.client import FrameClient
from qdeploy.deploy.links._refusals import refused
from qdeploy.ir import Firmware

_SLICE_S = 0.05
_WRITE_S = 10.0


class SerialConnection:
    """A pyserial port as a stream of bytes."""

    def __init__(self, port: serial.SerialBase, name: str) -> None:
        self._port = port
        self._name = name
        port.timeout = _SLICE_S

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def receive(self, deadline: float) -> bytes:
        """Return what has arrived, as soon as there is a byte."""
        try:
            while time.monotonic() < deadline:
                data = bytes(self._port.read(max(1, self._port.in_waiting)))
                if data:
                    return data
        except (serial.SerialException, OSError) as error:  # a dead pty raises either
            raise self._lost(error) from error
        return b""

    def _lost(self, error: Exception) -> ConnectionLostError:
        return ConnectionLostError(
            f"the connection to {self._name} broke: {error}",
            fix="check the cable and that the device still runs",
        )


class SerialPort:
    """See the module."""

    def reaches(self, board: Board) -> bool:
        """Everything but the host."""
        return board.hardware is not None

    @contextmanager
    def open(self, firmware: Firmware, at: Endpoint, timing: Timing) -> Iterator[Device]:
        """Open the port and wait until the device answers."""
        del firmware
        with answering(at, timing) as client:
            yield client

    def find(self, board: Board) -> str | None:
        """By the USB numbers of the board's serial port."""
        for port in list_ports.comports():
            if port.vid is not None and f"{port.vid:04x}:{port.pid:04x}" == board.usb:
                return str(port.device)
        return None


@contextmanager
def answering(at: Endpoint, timing: Timing) -> Iterator[FrameClient]:
    """Open a port and wait until the device there answers, whatever it runs."""
    port = open_port(at)
    try:
        client = FrameClient(SerialConnection(port, at.address), at.address, timing, at.baud)
        client.connect()
        yield client
    finally:
        port.close()


def open_port(at: Endpoint) -> serial.SerialBase:
    """Open a device name or URL, for ourselves alone where the system can promise that.

    Raises:
        MissingToolError: it cannot be opened.
    """
    exclusive = {} if "://" in at.address else {"exclusive": True}
    try:
        return serial.serial_for_url(
            at.address, baudrate=at.baud, timeout=_SLICE_S, write_timeout=_WRITE_S, **exclusive
        )
    except (serial.SerialException, OSError, ValueError, termios.error) as error:
        # The last is pyserial's way to say that a terminal closed while it was opened.
        raise refused(at.address, error) from error


LINK = SerialPort()
