"""The host's half of the protocol: requests until answered, over any stream of bytes.

Nothing that arrives is believed unless its CRC is right and it answers the request at hand, by
sequence number. Whatever else happens is answered by asking again, a bounded number of times;
requests may be repeated, because a device answers them from nothing but the request itself.
"""

import secrets
import struct
import time

import numpy as np
from numpy.typing import NDArray

from qdeploy.deploy._protocol import (
    BAUD,
    Answers,
    Connection,
    DeviceFaultError,
    NoAnswerError,
    NoSuchRequestError,
    Timing,
)
from qdeploy.deploy.frames import (
    REPLY,
    Kind,
    Packet,
    Refusal,
    Splitter,
    decode,
    encode,
    is_damage_report,
)
from qdeploy.deploy.heard import Heard
from qdeploy.deploy.identity import COUNT_OVERFLOW, Hello, parse_hello
from qdeploy.diagnostics import MissingToolError
from qdeploy.ir import DeviceIdentity

_SEQUENCES = 1 << 16
_LARGEST_BATCH = 64
"""Vectors a packet, so that a slow core answers well within the time for a reply."""
_FIRST_PATIENCE_S = 0.1
_FAULT = struct.Struct("<IIIII")
_COUNT = struct.Struct("<I")
_TOKEN_BYTES = 8


class FrameClient:
    """One device behind a connection."""

    def __init__(self, connection: Connection, name: str, timing: Timing, baud: int = BAUD) -> None:
        self.retries = 0
        self._heard = Heard(name, baud)
        self._connection = connection
        self._name = name
        self._timing = timing
        self._splitter = Splitter()
        self._sequence = secrets.randbelow(_SEQUENCES)
        self._hello: Hello | None = None

    def connect(self) -> None:
        """Wait until the device answers a ping with a token it cannot have seen before.

        Bytes sent before a device listens are lost or come back late, so pings are repeated
        with growing patience, and replies to earlier ones are told apart by their tokens.

        Raises:
            NoAnswerError: it stays silent, or what it says is no answer.
        """
        end = time.monotonic() + self._timing.hello_s
        patience = _FIRST_PATIENCE_S
        while time.monotonic() < end:
            token = secrets.token_bytes(_TOKEN_BYTES)
            packet = self._send(Kind.PING, token)
            reply = self._await(packet, min(end, time.monotonic() + patience))
            if reply is not None and reply.payload == token:
                return
            patience *= 2
        raise self._heard.instead_of_an_answer(self._timing.hello_s)

    def identify(self) -> DeviceIdentity:
        """Ask what it is."""
        return self._identity().public()

    def reset(self) -> None:
        """Start the device over, and wait until it is back."""
        self._request(Kind.RESET, b"")
        self._hello = None
        self.connect()

    def infer(self, codes: NDArray[np.int64]) -> Answers:
        """Run the program on input codes [n, n_in], several vectors a packet."""
        hello = self._identity()
        request = _request_bytes(codes, hello)
        batch = min(hello.batch, _LARGEST_BATCH)
        parts = [
            self._infer_batch(request[start : start + batch], hello)
            for start in range(0, len(request), batch)
        ]
        results = np.concatenate(parts) if parts else np.empty(0, _result_type(hello))
        counts = tuple(_count(int(ticks), hello) for ticks in results["count"])
        return Answers(results["outputs"].astype(np.int64), counts)

    def count_loop(self, turns: int) -> int | None:
        """Let it count a loop of 2 * turns instructions."""
        hello = self._identity()
        payload = self._request(Kind.CALIBRATE, _COUNT.pack(turns))
        if len(payload) != _COUNT.size:
            raise MissingToolError(
                f"{self._name} answered a loop of known length with {len(payload)} bytes",
                fix="write the firmware of this qdeploy to it",
            )
        (count,) = _COUNT.unpack(payload)
        return _count(count, hello)

    def _identity(self) -> Hello:
        if self._hello is None:
            self._hello = parse_hello(self._request(Kind.IDENTIFY, b""))
        return self._hello

    def _infer_batch(self, vectors: NDArray[np.int64], hello: Hello) -> NDArray[np.void]:
        payload = self._request(Kind.INFER, vectors.tobytes())
        if len(payload) != len(vectors) * hello.result_bytes:
            raise MissingToolError(
                f"{self._name} answered {len(vectors)} vectors with {len(payload)} bytes",
                fix="write the firmware of this qdeploy to it",
            )
        return np.frombuffer(payload, dtype=_result_type(hello))

    def _request(self, kind: Kind, payload: bytes) -> bytes:
        """Ask until answered."""
        packet = self._next(kind, payload)
        for attempt in range(self._timing.attempts):
            self.retries += attempt > 0
            self._connection.send(encode(packet))
            reply = self._await(packet, time.monotonic() + self._timing.reply_s)
            if reply is not None:
                return reply.payload
        raise NoAnswerError(
            f"{self._name} gave no intact answer in {self._timing.attempts} attempts",
            heard=f"no intact answer in {self._timing.attempts} attempts, after earlier ones",
            fix="check the cable, and that nothing else is sent or read at this port",
        )

    def _next(self, kind: Kind, payload: bytes) -> Packet:
        self._sequence = (self._sequence + 1) % _SEQUENCES
        return Packet(kind, self._sequence, payload)

    def _send(self, kind: Kind, payload: bytes) -> Packet:
        packet = self._next(kind, payload)
        self._connection.send(encode(packet))
        return packet

    def _await(self, asked: Packet, deadline: float) -> Packet | None:
        """Return the reply; None to ask again: nothing intact came, or the request did not."""
        while time.monotonic() < deadline:
            data = self._connection.receive(deadline)
            packets = [decode(frame) for frame in self._splitter.feed(data)]
            self._heard.take(data, packets, asked)
            for packet in packets:
                if packet is None or is_damage_report(packet):
                    return None
                self._check(packet)
                if packet.kind == asked.kind | REPLY and packet.sequence == asked.sequence:
                    return packet
        return None

    def _check(self, packet: Packet) -> None:
        """Raise what an intact packet says is wrong for good."""
        if packet.kind == Kind.FAULT:
            raise self._fault(packet.payload)
        if packet.kind == Kind.REFUSED:
            reason = packet.payload[0] if packet.payload else 0
            name = Refusal(reason).name.lower() if reason in set(Refusal) else str(reason)
            kind = NoSuchRequestError if reason == Refusal.COMMAND else MissingToolError
            raise kind(
                f"{self._name} refuses a request because of its {name} "
                f"(its wire version is {packet.version})",
                fix="write the firmware of this qdeploy to it",
            )

    def _fault(self, payload: bytes) -> DeviceFaultError:
        if len(payload) != _FAULT.size:
            return DeviceFaultError(f"{self._name} crashed", place="", fix="reset the board")
        pc, lr, exception, cfsr, hfsr = _FAULT.unpack(payload)
        place = (
            f"exception {exception} at pc {pc:#010x}, lr {lr:#010x}, CFSR {cfsr:#x}, HFSR {hfsr:#x}"
        )
        return DeviceFaultError(
            f"{self._name} crashed: {place}",
            place=place,
            fix="look the address up in OUT/firmware/firmware.map and report this as a bug; "
            "reset the board to go on",
        )


def _request_bytes(codes: NDArray[np.int64], hello: Hello) -> NDArray[np.int64]:
    """Codes in the device's containers.

    Raises:
        ValueError: they are not of the device's shape or do not fit.
    """
    if codes.ndim != 2 or codes.shape[1] != hello.n_in:  # noqa: PLR2004  a matrix
        raise ValueError(f"codes of shape {codes.shape} for {hello.n_in} inputs")
    packed = codes.astype(f"<i{hello.in_bytes}")
    if not np.array_equal(packed, codes):
        raise ValueError(f"a code does not fit {hello.in_bytes} bytes")
    return packed


def _result_type(hello: Hello) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": ["count", "outputs"],
            "formats": ["<u4", (f"<i{hello.out_bytes}", (hello.n_out,))],
            "offsets": [0, 4],
            "itemsize": hello.result_bytes,
        }
    )


def _count(count: int, hello: Hello) -> int | None:
    """The cost without the overhead of counting; of an empty function, one return remains."""
    if hello.counter_name == "none" or COUNT_OVERFLOW in (count, hello.overhead):
        return None
    return count - hello.overhead
