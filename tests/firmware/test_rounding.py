"""The rounding shift of the runtime is its Python twin, for every shift and the widest sums."""

import random
from ctypes import CDLL, c_int16, c_int32, c_int64, c_uint8

import numpy as np
import pytest
from qdeploy.fixedpoint import Rounding, round_shift
from support import batch, compilers

SOURCE = """\
#include "qd_fixed.h"
int32_t round_32(int32_t acc, int16_t shift, uint8_t mode);
int64_t round_64(int64_t acc, int16_t shift, uint8_t mode);
int32_t requantize_32(int32_t acc, int16_t shift, uint8_t mode, int32_t lo, int32_t hi);
int32_t requantize_64(int64_t acc, int16_t shift, uint8_t mode, int32_t lo, int32_t hi);

int32_t round_32(int32_t acc, int16_t shift, uint8_t mode)
{
    return qd_round_shift_32(acc, shift, mode);
}

int64_t round_64(int64_t acc, int16_t shift, uint8_t mode)
{
    return qd_round_shift_64(acc, shift, mode);
}

int32_t requantize_32(int32_t acc, int16_t shift, uint8_t mode, int32_t lo, int32_t hi)
{
    const qd_requant to = {.lo = lo, .hi = hi, .shift = shift, .rounding = mode};
    return qd_requantize_32(acc, &to);
}

int32_t requantize_64(int64_t acc, int16_t shift, uint8_t mode, int32_t lo, int32_t hi)
{
    const qd_requant to = {.lo = lo, .hi = hi, .shift = shift, .rounding = mode};
    return qd_requantize_64(acc, &to);
}
"""
MODES = {Rounding.NEAREST: 0, Rounding.FLOOR: 1, Rounding.TRUNC: 2}
TYPES = {32: c_int32, 64: c_int64}
UNDEFINED_IS_FATAL = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
"""Undefined behaviour ends the process: no library of the sanitizer has to be loaded for that."""


@pytest.fixture(scope="module", params=list(compilers.HOST))
def rounding(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounding")
    (folder / "rounding.c").write_text(SOURCE)
    command = [*compilers.host(request.param), "-O1", "-fPIC", "-shared", *UNDEFINED_IS_FATAL]
    include = ["-I", str(batch.FIRMWARE / "include")]
    shared = folder / "rounding.so"
    batch.tool([*command, *include, str(folder / "rounding.c"), "-o", str(shared)])
    return CDLL(str(shared))


def sums(bits):
    """Every kind of accumulator: the ends, around every power of two, ties, and any."""
    rng = random.Random(bits)
    ends = 1 << (bits - 1)
    near = {sign * ((1 << k) + d) for k in range(bits) for d in (-1, 0, 1) for sign in (-1, 1)}
    ties = {sign * 3 * (1 << k) for k in range(bits - 2) for sign in (-1, 1)}
    anything = {rng.randrange(-ends, ends) >> rng.randrange(bits) for _ in range(100)}
    return sorted(v for v in near | ties | anything | {0} if -ends <= v < ends)


@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("bits", [32, 64])
def test_round_shift_is_its_python_twin(rounding, bits, mode):
    function = getattr(rounding, f"round_{bits}")
    function.argtypes, function.restype = [TYPES[bits], c_int16, c_uint8], TYPES[bits]
    values = sums(bits)
    exact = np.array(values, dtype=object)
    for shift in [*range(bits + 3), 100, 700]:
        expected = np.asarray(round_shift(exact, shift, mode)).tolist()
        assert [function(v, shift, MODES[mode]) for v in values] == expected, shift


CLAMPS = [
    (-(1 << 31), (1 << 31) - 1),
    (-128, 127),
    (0, 127),
    (0, 0),
    (5, 90),
    (-90, -5),
    (-(1 << 31), -(1 << 31)),
    ((1 << 31) - 1, (1 << 31) - 1),
]


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("bits", [32, 64])
def test_requantize_is_a_rounding_shift_and_a_clip(rounding, bits, clamp):
    function = getattr(rounding, f"requantize_{bits}")
    function.argtypes = [TYPES[bits], c_int16, c_uint8, c_int32, c_int32]
    function.restype = c_int32
    values = sums(bits)[::3]
    exact = np.array(values, dtype=object)
    for shift in [-700, -65, -64, -33, -32, -31, -30, -7, -1, 0, 1, 8, 31, 40, 63, 64, 90]:
        rounded = np.asarray(round_shift(exact, shift, Rounding.NEAREST))
        expected = np.clip(rounded, *clamp).tolist()
        assert [function(v, shift, 0, *clamp) for v in values] == expected, shift
