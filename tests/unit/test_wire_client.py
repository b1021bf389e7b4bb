"""The client believes nothing but an intact answer to the request at hand."""

import struct

import numpy as np
import pytest
from qdeploy.deploy._protocol import DeviceFaultError, NoSuchRequestError, Timing
from qdeploy.deploy.client import FrameClient
from qdeploy.deploy.frames import Kind, Packet, Splitter, decode, encode
from qdeploy.diagnostics import MissingToolError

HELLO = struct.pack("<HBBHHhhIIIII32sB", 1, 1, 1, 2, 2, 0, 0, 64, 64, 1000, 0, 10, bytes(32), 1)


class ScriptedDevice:
    """A connection whose far end answers every request with what a function says."""

    def __init__(self, answer):
        self._answer = answer
        self._splitter = Splitter()
        self._pending = b""
        self.asked = []

    def send(self, data):
        for frame in self._splitter.feed(data):
            packet = decode(frame)
            self.asked.append(packet)
            self._pending += self._answer(packet, len(self.asked))

    def receive(self, deadline):
        data, self._pending = self._pending, b""
        return data


def reply(packet, payload):
    return encode(Packet(packet.kind | 0x80, packet.sequence, payload))


def honest(packet, _):
    if packet.kind == Kind.IDENTIFY:
        return reply(packet, HELLO)
    if packet.kind == Kind.INFER:
        return reply(packet, struct.pack("<I", 110) + packet.payload[:2] + b"\0\0")
    return reply(packet, packet.payload)


def client(answer):
    device = ScriptedDevice(answer)
    return device, FrameClient(device, "test", Timing(hello_s=0.05, reply_s=0.02, attempts=4))


ONE = np.array([[3, -4]])


def test_an_honest_device_is_understood():
    _, asking = client(honest)
    asking.connect()
    answers = asking.infer(ONE)
    assert answers.outputs.tolist() == [[3, -4]]
    assert answers.counts == (100,)  # 110 less the overhead of 10
    assert asking.retries == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame, packet: b"",
        lambda frame, packet: frame[:-3] + frame[-2:],
        lambda frame, packet: frame[:4] + bytes([frame[4] ^ 1 or 2]) + frame[5:],
        lambda frame, packet: encode(Packet(0xFF, 0, b"\x01")),
        lambda frame, packet: reply(Packet(packet.kind, packet.sequence ^ 1, b""), b"late"),
        lambda frame, packet: encode(packet),
    ],
    ids=["lost", "short", "flipped", "damage reported", "another number", "own echo"],
)
def test_what_is_no_answer_is_asked_again(spoil):
    def answer(packet, number):
        right = honest(packet, number)
        return right if number % 2 == 0 else spoil(right, packet)

    device, asking = client(answer)
    assert asking.infer(ONE).outputs.tolist() == [[3, -4]]
    assert asking.retries == 2
    assert device.asked[0] == device.asked[1]  # asked again under the same number


def test_a_late_answer_in_front_of_the_right_one_is_skipped():
    def answer(packet, number):
        late = Packet(packet.kind, (packet.sequence - 1) % 65536, b"")
        return reply(late, struct.pack("<I", 0) + b"\x09\x09\0\0") + honest(packet, number)

    _, asking = client(answer)
    assert asking.infer(ONE).outputs.tolist() == [[3, -4]]
    assert asking.retries == 0


@pytest.mark.parametrize(
    ("packet", "error", "says"),
    [
        (Packet(0xFF, 0, b"\x02", 7), MissingToolError, "because of its version .*version is 7"),
        (Packet(0xFF, 0, b"\x03"), MissingToolError, "because of its command"),
        (Packet(0xFF, 0, b"\x09"), MissingToolError, "because of its 9"),
        (Packet(0xFF, 0, b""), MissingToolError, "because of its 0"),
        (
            Packet(0xFE, 0, struct.pack("<5I", 0x1234, 0x5678, 3, 0x82, 1 << 30)),
            DeviceFaultError,
            "exception 3 at pc 0x00001234, lr 0x00005678, CFSR 0x82, HFSR 0x40000000",
        ),
        (Packet(0xFE, 0, b""), DeviceFaultError, "test crashed"),
    ],
)
def test_what_is_wrong_for_good_is_not_asked_again(packet, error, says):
    device, asking = client(lambda *_: encode(packet))
    with pytest.raises(error, match=says) as caught:
        asking.identify()
    assert caught.value.fix
    assert len(device.asked) == 1


def test_a_reply_of_the_wrong_size_is_refused():
    _, asking = client(lambda p, n: reply(p, b"1234") if p.kind == Kind.INFER else honest(p, n))
    with pytest.raises(MissingToolError, match="answered 1 vectors with 4 bytes"):
        asking.infer(ONE)


@pytest.mark.parametrize("codes", [[[1, 2, 3]], [1, 2], [[128, 0]], [[0, -129]]])
def test_codes_the_device_cannot_hold_never_reach_it(codes):
    device, asking = client(honest)
    with pytest.raises(ValueError, match=r"codes of shape|does not fit 1 bytes"):
        asking.infer(np.array(codes))
    assert [packet.kind for packet in device.asked] == [Kind.IDENTIFY]


def test_an_overflowed_counter_counts_nothing():
    def answer(packet, number):
        if packet.kind == Kind.INFER:
            return reply(packet, struct.pack("<I", 0xFFFFFFFF) + b"\1\2\0\0")
        return honest(packet, number)

    assert client(answer)[1].infer(ONE).counts == (None,)


def test_a_loop_of_known_length_is_counted_like_an_inference():
    def answer(packet, number):
        if packet.kind == Kind.CALIBRATE:
            return reply(
                packet, struct.pack("<I", 2 * int.from_bytes(packet.payload, "little") + 10)
            )
        return honest(packet, number)

    assert client(answer)[1].count_loop(500) == 1000  # less the overhead of 10
    full = client(lambda p, n: reply(p, b"\xff" * 4) if p.kind == Kind.CALIBRATE else honest(p, n))
    assert full[1].count_loop(500) is None
    odd = client(lambda p, n: reply(p, b"123") if p.kind == Kind.CALIBRATE else honest(p, n))
    with pytest.raises(MissingToolError, match="known length with 3 bytes"):
        odd[1].count_loop(500)


def test_a_firmware_older_than_a_request_is_told_apart():
    with pytest.raises(NoSuchRequestError, match="because of its command"):
        client(lambda *_: encode(Packet(0xFF, 0, b"\x03")))[1].count_loop(500)


def test_no_vectors_need_no_device_time():
    _, asking = client(honest)
    assert asking.infer(np.empty((0, 2), dtype=np.int64)).outputs.shape == (0, 2)
