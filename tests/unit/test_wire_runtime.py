"""The device's half of the protocol, built for this computer with sanitizers, against Python's.

Nothing that arrives over the wire makes it read or write where it must not, and after any noise
at all it answers the next request.
"""

import ctypes
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy import boards, generate
from qdeploy.deploy.frames import Kind, Packet, Refusal, Splitter, decode, encode
from qdeploy.deploy.identity import parse_hello
from qdeploy.ir import program_digest
from qdeploy.resources import folder
from support import devices
from support.tools import require_tool

REQUEST, REPLY = 128, 17 * 24
"""Payloads of the program below: 17 vectors of 5 bytes and their results of 24 take up to 512; the
former are less than the least that any payload may be."""
BOARD = Path(__file__).parents[1] / "support" / "pipe_board.c"
MAIN = b"""
#include "qd_start.h"
int main(void) { qd_main(); return 1; }
"""


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """The program of a board, as a process."""
    gcc = require_tool("gcc", "gcc")
    home = tmp_path_factory.mktemp("pipe")
    tree = dict(generate.firmware(devices.program(3), boards.load("mps2-an385")).files)
    unwanted = {"board/board.c", "qd_start.c", "qd_memory.c", "qd_aeabi.c"}
    tree = {name: data for name, data in tree.items() if name not in unwanted}
    tree |= {"pipe_board.c": BOARD.read_bytes(), "main.c": MAIN}
    for name, data in tree.items():
        (home / name).write_bytes(data)
    sources = sorted(name for name in tree if name.endswith(".c"))
    command = [gcc, "-std=c99", "-O1", "-fno-strict-aliasing", "-fno-sanitize-recover=all"]
    command += ["-fsanitize=address,undefined", "-Wall", "-Wextra", "-Werror", "-o", "device"]
    subprocess.run([*command, *sources], cwd=home, check=True)
    return home / "device"


def answers(device, stream):
    done = subprocess.run([device], input=stream, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [decode(frame) for frame in Splitter().feed(done.stdout)]


def test_every_request_has_its_reply(device):
    program = devices.program(3)
    vectors = devices.vectors(program, 5)
    codes = vectors.codes.astype(f"<i{program.input.format.container_bits // 8}")
    ping, identify, infer, reset = answers(
        device,
        encode(Packet(Kind.PING, 1, b"token"))
        + encode(Packet(Kind.IDENTIFY, 2, b""))
        + encode(Packet(Kind.INFER, 65535, codes.tobytes()))
        + encode(Packet(Kind.RESET, 0, b"")),
    )
    assert ping == Packet(0x81, 1, b"token")
    hello = parse_hello(identify.payload)
    assert hello.digest.hex() == program_digest(program)
    assert (hello.in_fb, hello.out_fb) == (program.input.format.fb, program.output.format.fb)
    assert (hello.request_bytes, hello.reply_bytes) == (REQUEST, REPLY)
    assert hello.batch == 17
    assert (infer.kind, infer.sequence) == (0x83, 65535)
    assert len(infer.payload) == 5 * hello.result_bytes
    assert reset == Packet(0x84, 0, b"")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b"\x00"), st.just(b"\xff" * 254))))
def test_after_any_noise_the_next_request_is_answered(device, noise):
    ping = Packet(Kind.PING, 9, b"still there?")
    replies = answers(device, b"".join(noise) + encode(ping))
    assert None not in replies
    assert replies[-1] == Packet(0x81, 9, ping.payload)
    assert all(r.payload == bytes([Refusal.DAMAGED]) for r in replies[:-1])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.one_of(st.binary(max_size=80), st.integers(REQUEST - 30, REQUEST + 30).map(bytes)),
)
def test_any_packet_gets_one_well_formed_reply(device, version, kind, sequence, payload):
    (reply,) = answers(device, encode(Packet(kind, sequence, payload, version)))
    assert reply.version == 1
    if len(payload) > REQUEST:
        assert reply == Packet(0xFF, 0, bytes([Refusal.DAMAGED]))
        return
    assert reply.sequence == sequence
    if version != 1:
        assert reply.payload == bytes([Refusal.VERSION])
    elif kind not in (1, 2, 3, 4, 5):
        assert reply.payload == bytes([Refusal.COMMAND])
    else:
        assert reply.kind in (kind | 0x80, Kind.REFUSED)


@pytest.mark.parametrize("size", [0, 1, 9, 90, 125, REQUEST])
def test_inputs_that_are_no_whole_vectors_are_refused(device, size):
    """A vector has 5 bytes; 90 and 125 are 18 and 25 of them, more than one reply has room for."""
    assert devices.program(3).input.tensor.size == 5
    (reply,) = answers(device, encode(Packet(Kind.INFER, 3, bytes(size))))
    assert reply == Packet(0xFF, 3, bytes([Refusal.PAYLOAD]))


@pytest.mark.parametrize(
    "payload", [b"", b"\1\0\0", bytes(4), b"\1\0\x80\0", b"\xff" * 4, bytes(5)]
)
def test_a_loop_without_a_sensible_length_is_refused(device, payload):
    (reply,) = answers(device, encode(Packet(Kind.CALIBRATE, 3, payload)))
    assert reply == Packet(0xFF, 3, bytes([Refusal.PAYLOAD]))


@pytest.mark.parametrize("turns", [1, 1 << 23])
def test_a_processor_without_the_loop_says_that_it_counted_nothing(device, turns):
    (reply,) = answers(device, encode(Packet(Kind.CALIBRATE, 3, turns.to_bytes(4, "little"))))
    assert reply == Packet(0x85, 3, b"\xff" * 4)


def test_a_token_that_is_too_long_is_refused(device):
    long, longer = answers(
        device, encode(Packet(1, 1, bytes(64))) + encode(Packet(1, 2, bytes(65)))
    )
    assert long == Packet(0x81, 1, bytes(64))
    assert longer == Packet(0xFF, 2, bytes([Refusal.PAYLOAD]))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The 64-bit helpers of ARMv6-M and the check sum, as a shared object."""
    gcc = require_tool("gcc", "gcc")
    path = tmp_path_factory.mktemp("aeabi") / "runtime.so"
    firmware = folder("firmware")
    sources = [firmware / "startup" / "qd_aeabi.c", firmware / "src" / "qd_crc32.c"]
    command = [gcc, "-std=c99", "-O2", "-D__ARM_ARCH_6M__", "-fsanitize=undefined"]
    command += ["-fno-sanitize-recover=all", "-shared", "-fPIC", "-I", firmware / "include"]
    subprocess.run([*command, "-o", path, *sources], check=True)
    return ctypes.CDLL(str(path))


U64 = st.integers(0, 2**64 - 1)
MASK = 2**64 - 1


@given(U64, U64)
def test_the_product_of_two_64_bit_numbers(runtime, a, b):
    multiply = runtime.__aeabi_lmul
    multiply.restype, multiply.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 2
    assert multiply(a, b) == a * b & MASK


@given(U64, st.integers(0, 63))
def test_shifts_of_a_64_bit_number(runtime, value, shift):
    signed = value - (1 << 64) if value >> 63 else value
    expected = {
        "__aeabi_llsl": value << shift & MASK,
        "__aeabi_llsr": value >> shift,
        "__aeabi_lasr": signed >> shift & MASK,
    }
    for name, result in expected.items():
        function = getattr(runtime, name)
        function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_uint64, ctypes.c_int]
        assert function(value, shift) == result


@given(st.binary(max_size=300))
def test_the_check_sum_is_that_of_zlib(runtime, data):
    runtime.qd_crc32.restype = ctypes.c_uint32
    assert runtime.qd_crc32(data, len(data)) == zlib.crc32(data)
