"""The serial ports this computer has, for `qdeploy doctor`."""

from dataclasses import dataclass

from serial.tools import list_ports


@dataclass(frozen=True, slots=True)
class PortStatus:
    """A serial port and what is known of the device behind it."""

    device: str
    description: str
    usb: str
    """`vendor:product`, empty where it is no USB device."""


def attached_ports() -> tuple[PortStatus, ...]:
    """Return every port, sorted by name."""
    return tuple(
        PortStatus(
            port.device,
            port.description,
            "" if port.vid is None else f"{port.vid:04x}:{port.pid:04x}",
        )
        for port in sorted(list_ports.comports(), key=lambda port: port.device)
    )
