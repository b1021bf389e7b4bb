"""Packets survive the wire whole or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.deploy.frames import LARGEST_FRAME, Packet, Splitter, decode, encode

PACKETS = st.builds(
    Packet, st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=600), st.just(1)
)


def unframed(data):
    return [decode(frame) for frame in Splitter().feed(data)]


@given(PACKETS)
def test_a_packet_comes_back(packet):
    framed = encode(packet)
    assert framed[0] == framed[-1] == 0
    assert 0 not in framed[1:-1]
    assert unframed(framed) == [packet]


@given(st.lists(PACKETS, max_size=5), st.data())
def test_any_cut_of_the_stream_gives_the_same_packets(packets, data):
    stream = b"".join(encode(packet) for packet in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter = Splitter()
    frames = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames += splitter.feed(stream[start:end])
    assert [decode(frame) for frame in frames] == packets


@given(PACKETS, st.data())
def test_a_flipped_lost_or_doubled_byte_is_never_another_packet(packet, data):
    framed = bytearray(encode(packet))
    at = data.draw(st.integers(0, len(framed) - 1))
    kind = data.draw(st.sampled_from(["flip", "lose", "double"]))
    if kind == "flip":
        framed[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "lose":
        del framed[at]
    else:
        framed.insert(at, framed[at])
    assert all(found in (None, packet) for found in unframed(bytes(framed)))


@given(st.binary(max_size=300), PACKETS)
def test_a_packet_behind_any_garbage_is_found(garbage, packet):
    assert unframed(garbage + encode(packet))[-1] == packet


@pytest.mark.parametrize(
    "stuffed", [b"\x01", b"\x02\x01", b"\x05\x01\x02", b"\x09\x01\x01\x01\x01\x01\x01\x01\x01"]
)
def test_short_or_unfinished_frames_are_damaged(stuffed):
    assert decode(stuffed) is None


def test_endless_noise_takes_no_memory_and_hides_no_packet():
    splitter = Splitter()
    for _ in range(2 * LARGEST_FRAME // 4096):
        assert splitter.feed(b"\x55" * 4096) == []
    assert len(splitter._rest) <= LARGEST_FRAME
    packet = Packet(1, 2, b"after")
    assert [decode(frame) for frame in splitter.feed(encode(packet))] == [None, packet]
