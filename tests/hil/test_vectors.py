"""Every emulated board answers every vector as the Python model does, over its serial port."""

import numpy as np
import pytest
from qdeploy import boards, deploy
from support import devices

PROGRAMS = (3, 8, "wide")


@pytest.mark.parametrize("compiler", devices.ARM_COMPILERS)
@pytest.mark.parametrize("board", devices.EMULATED)
def test_boards_compute_what_the_model_computes(board, compiler):
    loaded = boards.load(board)
    devices.need_emulator(loaded)
    fixed = devices.program(8)
    vectors = devices.vectors(fixed)
    trace = deploy.run(devices.image(8, board, compiler), loaded, vectors)
    assert np.array_equal(trace.outputs, vectors.expected)
    assert trace.retries == 0
    assert trace.instructions > 100
    assert trace.cycles is None
    assert trace.identity.core.lower() == loaded.cpu
    assert trace.identity.clock_hz == loaded.hardware.clock_hz
    assert (trace.identity.n_in, trace.identity.n_out) == (
        fixed.input.tensor.size,
        fixed.output.tensor.size,
    )


@pytest.mark.parametrize("board", ["microbit", "virtual-m4"])
def test_inputs_of_several_kilobytes_pass_in_one_piece(board):
    vectors = devices.vectors(devices.program("wide"), 40)
    with devices.device("wide", board) as device:
        assert np.array_equal(device.infer(vectors.codes).outputs, vectors.expected)


@pytest.mark.parametrize("compiler", devices.HOST_COMPILERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_host_is_a_board(name, compiler):
    vectors = devices.vectors(devices.program(name))
    trace = deploy.run(devices.image(name, "host", compiler), boards.load("host"), vectors)
    assert np.array_equal(trace.outputs, vectors.expected)
    assert trace.identity.counter == "none"
    assert trace.instructions is None


@pytest.mark.parametrize("compiler", devices.ARM_COMPILERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_two_emulators_run_one_image_and_count_the_same(name, compiler):
    image = devices.image(name, "mps2-an386", compiler)
    assert devices.image(name, "virtual-m4", compiler).elf == image.elf
    vectors = devices.vectors(devices.program(name), 8)
    traces = []
    for board in ("virtual-m4", "mps2-an386"):
        loaded = boards.load(board)
        devices.need_emulator(loaded)
        traces.append(deploy.run(image, loaded, vectors))
    assert np.array_equal(traces[0].outputs, traces[1].outputs)
    assert traces[0].instructions == traces[1].instructions


def test_a_reset_device_comes_back_and_computes_the_same():
    vectors = devices.vectors(devices.program(3), 4)
    for board in ("virtual-m4", "mps2-an386"):
        with devices.device(3, board) as device:
            before = device.infer(vectors.codes).outputs
            device.reset()
            assert np.array_equal(device.infer(vectors.codes).outputs, before)
            assert np.array_equal(before, vectors.expected)
