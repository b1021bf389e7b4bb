"""Numbers become C constants of the right type, or are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.generate._literals import c_array, c_bytes, c_int, c_macro

CASES = [
    (0, "int8_t", "0"),
    (-128, "int8_t", "-128"),
    (127, "int8_t", "127"),
    (-32768, "int16_t", "-32768"),
    (2147483647, "int32_t", "2147483647"),
    (-2147483647, "int32_t", "-2147483647"),
    (-2147483648, "int32_t", "(-2147483647 - 1)"),
    (-2147483648, "int64_t", "-2147483648"),
    (-(1 << 63), "int64_t", "(-9223372036854775807 - 1)"),
    (65535, "uint16_t", "65535"),
    (np.int64(-7), "int8_t", "-7"),
]


@pytest.mark.parametrize(("value", "ctype", "text"), CASES)
def test_a_value_is_written_so_that_c_reads_its_type(value, ctype, text):
    assert c_int(value, ctype) == text


@pytest.mark.parametrize(
    ("value", "ctype"),
    [
        (128, "int8_t"),
        (-129, "int8_t"),
        (-1, "uint16_t"),
        (65536, "uint16_t"),
        (1 << 31, "int32_t"),
        (1 << 63, "int64_t"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value, ctype):
    with pytest.raises(OverflowError, match=rf"^{value} does not fit {ctype}$"):
        c_int(value, ctype)


def test_a_macro_is_one_operand_wherever_it_stands():
    assert c_macro(-5, "int16_t") == "(-5)"
    assert c_macro(5, "int16_t") == "5"
    assert c_macro(-(1 << 31), "int32_t") == "(-2147483647 - 1)"


@given(
    st.lists(
        st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_a_table_holds_every_number_in_row_order(rows):
    text = c_array(np.array(rows, dtype=np.int64), "int32_t")
    values = [int(sum(map(int, _terms(cell)))) for cell in text.split(",")]
    assert values == [v for row in rows for v in row]
    assert len(text.splitlines()) == len(rows)


def _terms(cell):
    """Return the numbers of `17`, `-3` or `(-2147483647 - 1)`."""
    return cell.strip().strip("()").replace(" - 1", " -1").split()


def test_a_long_row_wraps_within_a_hundred_columns():
    text = c_array(np.full((2, 300), -12345), "int16_t")
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("-12345") == 600


def test_bytes_are_hexadecimal():
    assert c_bytes("00ff10").split() == ["0x00,", "0xff,", "0x10"]
