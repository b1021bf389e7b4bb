"""Every emulated board answers every vector as the Python model does, over its serial port."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import boards, crossbuild, deploy, generate
from qdeploy.cli import main
from qdeploy.deploy._members import emulator
from qdeploy.ir import SourceTree
from support import devices
from support.controller import write_dense_chain

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
    assert trace.uncounted == ""
    assert trace.instructions > 100
    assert trace.cycles is None
    assert trace.identity.core.lower() == loaded.cpu
    assert trace.identity.clock_hz == loaded.hardware.clock_hz
    assert (trace.identity.n_in, trace.identity.n_out) == (
        fixed.input.tensor.size,
        fixed.output.tensor.size,
    )


@pytest.mark.parametrize("factor", [4, Fraction(3, 4)])
@pytest.mark.parametrize("name", devices.TIMED)
def test_a_clock_that_is_not_the_emulators_is_noticed_and_the_right_one_named(name, factor):
    board = boards.load(name)
    devices.need_emulator(board)
    right = board.hardware.clock_hz
    wrong = int(right * factor)
    copied = replace(board, hardware=replace(board.hardware, clock_hz=wrong))
    firmware = devices.build(devices.program(8), copied)
    trace = deploy.run(firmware, copied, devices.vectors(devices.program(8), 4))
    assert trace.instructions is None
    assert f"clock_hz = {wrong} in board.toml is not the emulator's clock" in trace.uncounted
    assert trace.uncounted.endswith(f"clock_hz = {right} would fit")


@pytest.mark.parametrize("compiler", devices.ARM_COMPILERS)
@pytest.mark.parametrize("name", ["virtual-m4", "microbit"])
def test_a_library_with_a_name_runs_and_costs_the_same(name, compiler):
    board = boards.load(name)
    devices.need_compiler(board, compiler)
    devices.need_emulator(board)
    program, plain = devices.program(8), devices.image(8, name, compiler)
    named = crossbuild.run(generate.firmware(program, board, "tilt"), board, compiler)
    assert devices.symbol(named.elf, named.model_symbol)
    assert named.model_symbol == f"tilt_model_{named.program_digest}"
    cost = ("flash_bytes", "ram_bytes", "stack_bytes")
    assert [getattr(named, c) for c in cost] == [getattr(plain, c) for c in cost]
    vectors = devices.vectors(program)
    traces = [deploy.run(image, board, vectors) for image in (named, plain)]
    assert np.array_equal(traces[0].outputs, vectors.expected)
    assert traces[0].instructions == traces[1].instructions > 100


COUNTERS = {
    ("QD_COUNTER_NONE", False): "there is no counter",
    ("QD_COUNTER_CYCLES", False): "an emulator has no cycles",
    # Where nobody asked it to count, the emulated SysTick stands still.
    ("QD_COUNTER_CYCLES", True): "shows 0 and 0 cycles for loops of 1000 and 10000 instructions",
    ("QD_COUNTER_TICKS", True): "a port does not say",
}


@pytest.mark.parametrize(("kind", "by_port"), COUNTERS)
def test_what_cannot_be_counted_is_said(kind, by_port):
    board = boards.load("virtual-m4")
    devices.need_emulator(board)
    tree = dict(generate.firmware(devices.program(3), board).files)
    tree["qd_mps2.h"] = tree["qd_mps2.h"].replace(b"QD_COUNTER_TICKS", kind.encode())
    firmware = crossbuild.run(SourceTree(tree), board)
    vectors = devices.vectors(devices.program(3), 4)
    if by_port:
        with emulator(board).start(firmware, board, counting=False) as running:
            trace = deploy.run(firmware, board, vectors, port=running.address)
    else:
        trace = deploy.run(firmware, board, vectors)
    assert np.array_equal(trace.outputs, vectors.expected)
    assert (trace.cycles, trace.instructions) == (None, None)
    assert COUNTERS[kind, by_port] in trace.uncounted


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
    assert (trace.instructions, trace.uncounted) == (None, "")


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


def test_a_pruned_build_runs_and_stays_within_its_bound(tmp_path, capsys):
    """From the command line to the emulated board and back: smaller, and all it promises."""
    model = write_dense_chain(tmp_path / "model.onnx", (3, 12, 10, 2))
    sizes = {}
    for name, extra in (("whole", []), ("pruned", ["--prune", "neurons:50%"])):
        out = tmp_path / name
        line = ["build", str(model), "--inputs", "-1:1", "--bits", "8", "-o", str(out), "--json"]
        devices.need_compiler(boards.load("virtual-m4"), None)
        devices.need_emulator(boards.load("virtual-m4"))
        assert main([*line, "--work", "0.1", "--decision", "argmax", *extra]) == 0
        sizes[name] = json.loads(capsys.readouterr().out)
        verdict = sizes[name]["validation"]
        assert (verdict["bit_exact"], verdict["within_bound"]) == (True, True)
        assert 0 < verdict["max_deviation"] <= sizes[name]["certificate"]["linf"]
    for key in ("flash_bytes", "ram_bytes"):
        assert sizes["pruned"]["firmware"][key] < sizes["whole"]["firmware"][key]
    runs = [sizes[name]["validation"]["instructions"] for name in ("pruned", "whole")]
    assert runs[0] < 0.7 * runs[1]
    assert "it was pruned (neurons:50%)" in (tmp_path / "pruned/certificate.html").read_text()
    assert main(["validate", str(tmp_path / "pruned"), "--vectors", "40"]) == 0
    sources = ["--sources", str(tmp_path / "pruned/library")]
    certificate = str(tmp_path / "pruned/certificate.json")
    assert main(["verify", certificate, "--model", str(model), *sources]) == 0
