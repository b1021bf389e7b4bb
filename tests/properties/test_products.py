"""Products are the same numbers in double precision, in int64 and in Python's integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.fixedpoint import in_doubles, integers_only
from qdeploy.ops import integer_sums
from qdeploy.proof.dyadic import matmul, scaled_matmul, scaled_times

BITS = st.integers(1, 45)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40))


def numbers(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Return integers of so many bits, the ends of their range often among them."""
    most = (1 << bits) - 1
    drawn = rng.integers(-most, most + 1, shape)
    kind = rng.integers(0, 4, shape)
    return np.select([kind == 0, kind == 1, kind == 2], [most, -most, np.sign(drawn)], drawn)


def exactly(pairs: list[tuple[np.ndarray, np.ndarray]], bits: int) -> np.ndarray:
    """Return what Python's integers make of a sum of products."""
    return sum(a.astype(object) @ b.astype(object) for a, b in pairs) >> bits


@given(SHAPES, BITS, BITS, st.integers(0, 60), st.integers(0, 1 << 32), st.integers(1, 2))
def test_scaled_products_are_exact(shape, long, other, bits, seed, count) -> None:
    rng = np.random.default_rng(seed)
    boxes, rows, n, m = shape
    pairs = [
        (numbers(rng, (boxes, rows, n), long), numbers(rng, (n, m), other)) for _ in range(count)
    ]
    expected = exactly(pairs, bits)
    assert (scaled_matmul(pairs, bits) == expected).all()
    with integers_only():
        assert (scaled_matmul(pairs, bits) == expected).all()


@given(SHAPES, BITS, BITS, st.integers(0, 1 << 32))
def test_products_for_every_box_are_exact(shape, long, other, seed) -> None:
    rng = np.random.default_rng(seed)
    boxes, rows, n, _ = shape
    left, right = numbers(rng, (boxes, rows, n), long), numbers(rng, (boxes, n, 1), other)
    expected = exactly([(left, right)], 24)
    assert (scaled_matmul([(left, right)], 24) == expected).all()
    assert (matmul(left, right) == left.astype(object) @ right.astype(object)).all()


@given(
    st.integers(1, 2000),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 60),
    st.integers(0, 1 << 32),
)
def test_scaled_elementwise_products_are_exact(n, long, other, bits, seed) -> None:
    rng = np.random.default_rng(seed)
    left, right = numbers(rng, (n,), long), numbers(rng, (n,), other)
    expected = (left.astype(object) * right.astype(object)) >> bits
    assert (scaled_times([(left, right)], bits) == expected).all()


@given(
    st.integers(1, 300),
    st.integers(1, 64),
    st.integers(1, 40),
    st.integers(1, 31),
    st.integers(1, 31),
    st.integers(0, 1 << 32),
)
def test_sums_of_a_program_are_exact(rows, n_in, n_out, long, other, seed) -> None:
    rng = np.random.default_rng(seed)
    codes, weight = numbers(rng, (rows, n_in), long), numbers(rng, (n_out, n_in), other)
    bias = numbers(rng, (n_out,), 62)
    expected = codes.astype(object) @ weight.T.astype(object) + bias.astype(object)
    assert (integer_sums(codes, weight, bias) == expected).all()
    with integers_only():
        assert (integer_sums(codes, weight, bias) == expected).all()


def test_nothing_is_formed_in_doubles_where_only_integers_are_trusted() -> None:
    large = np.ones((200, 200), dtype=np.int64)
    assert in_doubles(large, large)
    with integers_only():
        assert not in_doubles(large, large)
    assert in_doubles(large, large)


@pytest.mark.parametrize("spare", [0, 1])
def test_sums_just_within_double_precision_round_nothing(spare: int) -> None:
    """256 terms of 2**22 * (2**23 - 1): one bit below and above what doubles are used for."""
    left = np.full((64, 256), (1 << (22 + spare)) - 1)
    right = np.full((256, 64), (1 << 22) - 1)
    left[:, ::2] -= 1
    assert (matmul(left, right) == left.astype(object) @ right.astype(object)).all()
