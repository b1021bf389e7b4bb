"""A device's description of itself is checked like anything else from outside."""

import struct

import pytest
from qdeploy.deploy.identity import parse_hello
from qdeploy.diagnostics import MissingToolError

GOOD = {
    "abi": 1,
    "in_bytes": 2,
    "out_bytes": 1,
    "n_in": 3,
    "n_out": 5,
    "in_fb": -4,
    "out_fb": 9,
    "request": 128,
    "reply": 64,
    "clock": 16_000_000,
    "cpuid": 0x410CC200,
    "overhead": 12,
    "digest": bytes(range(32)),
    "counter": 2,
}


def packed(**changes):
    return struct.pack("<HBBHHhhIIIII32sB", *(GOOD | changes).values())


def test_a_description_is_read():
    hello = parse_hello(packed() + b"gcc 12.2")
    assert hello.result_bytes == 12
    assert hello.batch == 5  # 64 // 12 results; 128 // 6 inputs would be 21
    public = hello.public()
    assert (public.core, public.clock_hz, public.counter) == ("Cortex-M0", 16_000_000, "ticks")
    assert public.compiler == "gcc 12.2"
    assert public.program_digest == bytes(range(32)).hex()


def test_a_core_nobody_heard_of_is_shown_by_number():
    assert parse_hello(packed(cpuid=0x41001230)).public().core == "core 0x41001230"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        packed()[:-1],
        packed() + b"gcc\x1b[2J",
        packed() + b"\xff",
        packed(n_in=0),
        packed(n_out=0),
        packed(in_bytes=3),
        packed(out_bytes=0),
        packed(counter=9),
        packed(request=5),
        packed(reply=11),
    ],
)
def test_nonsense_is_refused(payload):
    with pytest.raises(MissingToolError, match="makes no sense") as caught:
        parse_hello(payload)
    assert "write the firmware of this qdeploy" in caught.value.fix
