"""What a device says of itself, checked: it comes from outside."""

import struct
from dataclasses import dataclass

from qdeploy.diagnostics import MissingToolError
from qdeploy.ir import DeviceIdentity

_FIXED = struct.Struct("<HBBHHhhIIIII32sB")
_CORES = {
    0xC20: "Cortex-M0",
    0xC60: "Cortex-M0+",
    0xC23: "Cortex-M3",
    0xC24: "Cortex-M4",
    0xC27: "Cortex-M7",
    0xD20: "Cortex-M23",
    0xD21: "Cortex-M33",
    0xD22: "Cortex-M55",
}
CYCLES, TICKS = "cycles", "ticks"
_COUNTERS = {0: "none", 1: CYCLES, 2: TICKS}
_CODE_BYTES = (1, 2, 4)
_COUNT_BYTES = 4
COUNT_OVERFLOW = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Hello:
    """The reply to IDENTIFY."""

    abi: int
    in_bytes: int
    out_bytes: int
    n_in: int
    n_out: int
    in_fb: int
    out_fb: int
    request_bytes: int
    """Payload the device takes."""
    reply_bytes: int
    """Payload it sends."""
    clock_hz: int
    cpuid: int
    overhead: int
    """What its counter shows for an empty function."""
    digest: bytes
    counter: int
    compiler: str

    @property
    def result_bytes(self) -> int:
        """One result on the wire: its count and its outputs, in whole words."""
        return _COUNT_BYTES + -(-self.n_out * self.out_bytes // 4) * 4

    @property
    def batch(self) -> int:
        """Vectors that fit one packet each way."""
        requests = self.request_bytes // (self.n_in * self.in_bytes)
        return min(requests, self.reply_bytes // self.result_bytes)

    @property
    def counter_name(self) -> str:
        """`cycles`, `ticks` or `none`."""
        return _COUNTERS[self.counter]

    def public(self) -> DeviceIdentity:
        """What the rest of qdeploy sees of it."""
        return DeviceIdentity(
            program_digest=self.digest.hex(),
            abi=self.abi,
            core=_CORES.get(self.cpuid >> 4 & 0xFFF, f"core {self.cpuid:#010x}"),
            clock_hz=self.clock_hz,
            compiler=self.compiler,
            n_in=self.n_in,
            n_out=self.n_out,
            counter=self.counter_name,
        )


def parse_hello(payload: bytes) -> Hello:
    """Read the reply to IDENTIFY.

    Raises:
        MissingToolError: it is not of that form, so the device is none of ours.
    """
    text = payload[_FIXED.size :]
    if len(payload) < _FIXED.size or not (text.isascii() and text.decode("ascii").isprintable()):
        raise _nonsense(f"{len(payload)} bytes")
    hello = Hello(*(*_FIXED.unpack_from(payload), text.decode("ascii")))
    sane = hello.n_in and hello.n_out and hello.counter in _COUNTERS
    if not sane or hello.in_bytes not in _CODE_BYTES or hello.out_bytes not in _CODE_BYTES:
        raise _nonsense(f"{hello.n_in} inputs, {hello.n_out} outputs, counter {hello.counter}")
    if hello.batch < 1:
        raise _nonsense(f"packets of {hello.request_bytes} bytes, too small for its own input")
    return hello


def _nonsense(what: str) -> MissingToolError:
    return MissingToolError(
        f"the device identifies itself in a way that makes no sense: {what}",
        fix="write the firmware of this qdeploy to it",
    )
