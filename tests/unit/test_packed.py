"""Packed lists of integers: nothing is lost, and there is one spelling."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.proof.packed import pack, unpack

BITS = 256
INTEGERS = st.lists(st.integers(-(1 << BITS), (1 << BITS) - 1))


@given(INTEGERS)
def test_unpacking_gives_back_what_was_packed(values: list[int]) -> None:
    assert unpack(pack(values)) == values


@given(st.binary(max_size=40))
def test_what_is_read_was_written_in_the_one_spelling(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    try:
        values = unpack(text)
    except ValueError:
        return
    assert pack(values) == text == values.text


@pytest.mark.parametrize(
    ("values", "data"),
    [
        ([], b""),
        ([0, -1, 1, -2], bytes([0, 1, 2, 3])),
        ([63, 64, -65], bytes([126, 128, 1, 129, 1])),
    ],
)
def test_the_bytes_are_those_of_the_specification(values: list[int], data: bytes) -> None:
    assert pack(values) == base64.b64encode(data).decode()
