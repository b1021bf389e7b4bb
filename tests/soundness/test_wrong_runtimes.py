"""A runtime or a table that is wrong on purpose must be caught by the comparison with Python."""

import numpy as np
import pytest
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Accumulator, FixedArray, FixedNetwork, FixedNode, FixedTensor, Tensor
from support import batch, compilers
from support.programs import random_codes, random_program

SEEDS = range(150)

WRONG = {
    "nearest rounds down": (
        "runtime/qd_fixed.h",
        "return below + ((acc >> (shift - 1)) & 1);",
        "return below;",
    ),
    "floor cuts towards zero": (
        "runtime/qd_fixed.h",
        "(rounding == QD_ROUND_TRUNC && acc < 0",
        "(acc < 0",
    ),
    "a far shift gives zero": (
        "runtime/qd_fixed.h",
        "(rounding == QD_ROUND_FLOOR && acc < 0) ? -1 : 0",
        "0",
    ),
    "the upper clamp is missing": (
        "runtime/qd_fixed.h",
        "rounded > to->hi ? to->hi : rounded",
        "rounded",
    ),
    "a wide result is cut off": (
        "runtime/qd_fixed.h",
        "value > INT32_MAX ? INT32_MAX : (int32_t)value",
        "(int32_t)value",
    ),
    "a shift to the left wraps": (
        "runtime/qd_fixed.h",
        "if (acc > (to->hi >> by)) {",
        "if (acc > to->hi) {",
    ),
    "the last input is forgotten": ("runtime/qd_dense_kernel.h", "j < n_in", "j + 1 < n_in"),
    "weights are read one row late": (
        "runtime/qd_dense_kernel.h",
        "weight += n_in;",
        "weight += n_in - 1;",
    ),
    "the bias is forgotten": ("runtime/qd_dense_kernel.h", "acc = bias[i]", "acc = 0 * bias[i]"),
    "a clip forgets its lower end": (
        "runtime/qd_clip_kernel.h",
        "in[i] < lo ? lo : in[i]",
        "in[i] < lo ? in[i] : in[i]",
    ),
    "one slope for all where each has its own": (
        "runtime/qd_leaky_relu_kernel.h",
        "slope += layer->stride;",
        "slope += 0;",
    ),
    "a leaky relu leaks above zero": (
        "runtime/qd_leaky_relu_kernel.h",
        "if (in[i] >= 0) {",
        "if (in[i] > 0 && layer->n == 0) {",
    ),
    "steps instead of lines": (
        "runtime/qd_table_kernel.h",
        "(number & between)",
        "(number & between & 0u)",
    ),
    "a table is read one value late": (
        "runtime/qd_table_kernel.h",
        "values + (number >> spacing)",
        "values + ((number + between) >> spacing)",
    ),
    "relu is the identity": ("runtime/qd_relu_kernel.h", "in[i] > 0 ? in[i] : 0", "in[i]"),
}

ACTIVATIONS = {"qd_clip_kernel.h", "qd_leaky_relu_kernel.h", "qd_table_kernel.h"}


def built(programs, target):
    cases = [batch.case(p, random_codes(p, 60, seed)) for seed, p in enumerate(programs)]
    return batch.write(cases, target / "sources")


def changed(batch_, file, before, after):
    path = batch_.folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_runtime_is_caught(wrong, tmp_path):
    activated = WRONG[wrong][0].split("/")[1] in ACTIVATIONS
    programs = built([random_program(seed, activated=activated) for seed in SEEDS], tmp_path)
    changed(programs, *WRONG[wrong])
    command = [*compilers.host("gcc"), "-O0", "-fPIC"]
    objects = programs.compile(command, tmp_path / "objects")
    shared = tmp_path / "batch.so"
    batch.tool([command[0], "-shared", *objects, "-o", str(shared)])
    assert batch.differences(programs, batch.run_shared(programs, shared)) != []


def narrow(bits):
    """Three inputs of 16 bits, weights of 16 bits: the sum needs 33 bits with its sign."""
    source = FixedTensor(Tensor("input", (3,)), QFormat(16, 0), Rounding.NEAREST)
    target = FixedTensor(Tensor("dense_1", (1,)), QFormat(16, 0), Rounding.NEAREST)
    node = FixedNode(
        "dense_1",
        "dense",
        ("input",),
        "dense_1",
        {
            "weight": FixedArray(np.array([[32767, 32767, 32767]]), QFormat(16, 0)),
            "bias": FixedArray(np.array([1]), QFormat(bits, 0)),
        },
        {"shift": 0, "clamp_lo": -32768, "clamp_hi": 32767},
        Accumulator(bits, 0, (1 << 31) - 1),
    )
    return FixedNetwork("narrow", ("input",), ("dense_1",), (source, target), (node,))


@pytest.mark.parametrize("compiler", compilers.HOST)
def test_a_truncated_accumulator_is_caught(compiler, tmp_path):
    """64 bits where 64 are needed pass; 32 bits, claimed to do, stop the sanitized program."""
    for bits in (64, 32):
        home = tmp_path / str(bits)
        programs = built([narrow(bits)], home)
        executable = batch.sanitized(programs, compilers.host(compiler), home)
        if bits == 64:
            assert batch.differences(programs, batch.run_executable(programs, executable)) == []
        else:
            with pytest.raises(AssertionError, match="signed integer overflow"):
                batch.run_executable(programs, executable)


def test_a_buffer_that_is_too_short_is_caught(tmp_path):
    programs = built([random_program(71)], tmp_path)
    changed(programs, "p0/model.c", "buffer_0[", "buffer_0[1 + 0 * ")
    executable = batch.sanitized(programs, compilers.host("gcc"), tmp_path)
    with pytest.raises(AssertionError, match="global-buffer-overflow"):
        batch.run_executable(programs, executable)
