"""Packets and frames, as docs/SPEC.md, "Wire", says; firmware/src/qd_serial.c is the twin.

A packet is version, kind, sequence number, payload and CRC-32; a frame is a packet under COBS
between two zero bytes. A packet that decodes is intact but for one chance in 2**32.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from cobs import cobs

WIRE_VERSION = 1
BORDER = b"\x00"
REPLY = 0x80
LARGEST_FRAME = 1 << 20
"""Bytes without a border that are read before they are called noise and dropped."""

_HEADER = struct.Struct("<BBH")
_CRC = struct.Struct("<I")


class Kind(IntEnum):
    """Second byte of a packet; a reply has `REPLY` added to its command."""

    PING = 0x01
    IDENTIFY = 0x02
    INFER = 0x03
    RESET = 0x04
    CALIBRATE = 0x05
    FAULT = 0xFE
    REFUSED = 0xFF


class Refusal(IntEnum):
    """First payload byte of `REFUSED`."""

    DAMAGED = 1
    VERSION = 2
    COMMAND = 3
    PAYLOAD = 4


@dataclass(frozen=True, slots=True)
class Packet:
    """What one frame carries."""

    kind: int
    sequence: int
    payload: bytes
    version: int = WIRE_VERSION


def encode(packet: Packet) -> bytes:
    """Return the frame of a packet, with a border at both ends."""
    body = _HEADER.pack(packet.version, packet.kind, packet.sequence) + packet.payload
    return b"".join((BORDER, cobs.encode(body + _CRC.pack(zlib.crc32(body))), BORDER))


def decode(stuffed: bytes) -> Packet | None:
    """Return the packet between two borders, None where it is damaged."""
    try:
        whole = cobs.decode(stuffed)
    except cobs.DecodeError:
        return None
    if len(whole) < _HEADER.size + _CRC.size:
        return None
    body, (crc,) = whole[: -_CRC.size], _CRC.unpack(whole[-_CRC.size :])
    if zlib.crc32(body) != crc:
        return None
    version, kind, sequence = _HEADER.unpack_from(body)
    return Packet(kind, sequence, body[_HEADER.size :], version)


def is_damage_report(packet: Packet) -> bool:
    """Whether a device says that what it received was damaged."""
    return packet.kind == Kind.REFUSED and packet.payload[:1] == bytes([Refusal.DAMAGED])


class Splitter:
    """Cuts a stream of bytes into what stands between borders; keeps the unfinished rest."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes; empty ones are none."""
        *whole, self._rest = (self._rest + data).split(BORDER)
        if len(self._rest) > LARGEST_FRAME:
            self._rest = self._rest[:1]  # still damaged once its border comes
        return [frame for frame in whole if frame]
