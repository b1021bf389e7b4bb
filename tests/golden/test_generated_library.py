"""The generated C, as a person reads it."""

import numpy as np
import pytest
from qdeploy import generate
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Accumulator, FixedArray, FixedNetwork, FixedNode, FixedTensor, Tensor
from qdeploy.resources import folder

PRINTED = ("CMakeLists.txt", "model.c", "model.h", "qd_dense_w8_x16_y16_a32.c", "qd_relu_x16.c")


def program():
    """Three layers: a dense one that shifts right, a ReLU of its own, a wide accumulator."""
    x = FixedTensor(Tensor("input", (2,)), QFormat(4, 12), Rounding.NEAREST)
    hidden = FixedTensor(Tensor("dense_1", (3,)), QFormat(6, 10), Rounding.NEAREST)
    rectified = FixedTensor(Tensor("relu_1", (3,)), QFormat(6, 10), Rounding.NEAREST)
    y = FixedTensor(Tensor("dense_2", (1,)), QFormat(12, 20), Rounding.FLOOR)
    first = FixedNode(
        "dense_1",
        "dense",
        ("input",),
        "dense_1",
        {
            "weight": FixedArray(np.array([[64, -128], [127, 0], [-1, 33]]), QFormat(2, 6)),
            "bias": FixedArray(np.array([-262144, 0, 131071]), QFormat(14, 18)),
        },
        {"shift": 8, "clamp_lo": -32768, "clamp_hi": 32767},
        Accumulator(32, 18, 6_553_600),
    )
    relu = FixedNode("relu_1", "relu", ("dense_1",), "relu_1")
    second = FixedNode(
        "dense_2",
        "dense",
        ("relu_1",),
        "dense_2",
        {
            "weight": FixedArray(np.array([[-(1 << 31), (1 << 31) - 1, 12345]]), QFormat(1, 31)),
            "bias": FixedArray(np.array([-(1 << 40)]), QFormat(23, 41)),
        },
        {"shift": 21, "clamp_lo": -(1 << 31), "clamp_hi": (1 << 31) - 1},
        Accumulator(64, 41, 141_833_109_491_656),
    )
    return FixedNetwork(
        "golden", ("input",), ("dense_2",), (x, hidden, rectified, y), (first, relu, second)
    )


@pytest.mark.parametrize("name", PRINTED)
def test_the_library_reads_as_it_did(golden, name):
    text = generate.library(program()).files[name].decode("utf-8")
    golden(f"library/{name}", text)


def test_every_other_file_is_one_of_the_firmware_folder():
    files = generate.library(program()).files
    include = folder("firmware") / "include"
    others = {name: data for name, data in files.items() if not (include / name).is_file()}
    assert set(others) == {*PRINTED, "qd_dense_w32_x16_y32_a64.c"}
    taken = {name: data for name, data in files.items() if name not in others}
    assert taken == {name: (include / name).read_bytes() for name in taken}
