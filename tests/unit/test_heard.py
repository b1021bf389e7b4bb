"""What arrives at a port where nobody answers is told for what it most likely is."""

import random

import pytest
from qdeploy.deploy._protocol import NoAnswerError, Timing
from qdeploy.deploy.client import FrameClient
from qdeploy.deploy.frames import Kind, Packet, Splitter, decode, encode

BAUD_QUESTION = "bytes arrive, but no intact frame: is the baud rate 9600?"
RANDOM = random.Random(5)
BOOT = b"*** Booting Zephyr OS build v3.7.0 ***\r\n\x1b[2Jhello\0\0world\r\n"


class Port:
    """A connection whose far end says something of its own after every request."""

    def __init__(self, say):
        self._say = say
        self._pending = b""

    def send(self, data):
        (frame,) = Splitter().feed(data)
        self._pending += self._say(decode(frame), data)

    def receive(self, deadline):
        data, self._pending = self._pending, b""
        return data


PATTERNS = {
    "random": (lambda p, d: RANDOM.randbytes(len(d)), BAUD_QUESTION),
    "one byte": (lambda p, d: b"\xf8", BAUD_QUESTION),
    "zeros, a line held low": (lambda p, d: bytes(len(d)), BAUD_QUESTION),
    "ones": (lambda p, d: b"\xff" * len(d), BAUD_QUESTION),
    "half the bits": (lambda p, d: bytes(b & 0xAA for b in d), BAUD_QUESTION),
    "twice each byte": (lambda p, d: b"".join(bytes([b, b]) for b in d if b), BAUD_QUESTION),
    "a frame of noise": (lambda p, d: b"\0\5abcd\0" + bytes([200, 201, 202]), BAUD_QUESTION),
    "a little text in noise": (lambda p, d: b"ok" + RANDOM.randbytes(20), BAUD_QUESTION),
    "short text": (lambda p, d: b"m-", BAUD_QUESTION),
    "nothing": (lambda p, d: b"", "nothing answers on PORT within 0.05 s"),
    "text": (
        lambda p, d: BOOT,
        "text arrives, but no intact frame: '*** Booting Zephyr OS build v3.7.0 *** [2Jhelloworld",
    ),
    "an echo": (lambda p, d: d, "what is sent comes back, and nothing answers it"),
    "complaints": (
        lambda p, d: encode(Packet(Kind.REFUSED, 0, b"\x01")),
        "the device is there, but every request reaches it damaged",
    ),
    "answers to others": (
        lambda p, d: encode(Packet(0x81, p.sequence ^ 1, b"another token")),
        "packets arrive, but none that answers within 0.05 s",
    ),
    "noise before complaints": (
        lambda p, d: b"\x80\x81" + encode(Packet(Kind.REFUSED, 0, b"\x01")),
        "the device is there, but every request reaches it damaged",
    ),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_comes_instead_of_an_answer_is_told(pattern):
    say, says = PATTERNS[pattern]
    client = FrameClient(Port(say), "PORT", Timing(hello_s=0.05, reply_s=0.02), baud=9600)
    with pytest.raises(NoAnswerError) as caught:
        client.connect()
    assert caught.value.what.startswith(says)
    assert str(caught.value.where) == "PORT"
    assert caught.value.what.isprintable()
    assert caught.value.heard.isprintable()
    assert caught.value.fix
    for word in ("power", "cable", "baud", "wire"):
        assert word not in caught.value.heard


def test_an_endless_stream_is_not_kept():
    client = FrameClient(Port(lambda p, d: b"\x55" * 100_000), "PORT", Timing(hello_s=0.05))
    with pytest.raises(NoAnswerError):
        client.connect()
    assert len(client._heard._sample) < 200_000
