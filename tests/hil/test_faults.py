"""What goes wrong on a line or in a device is noticed: never a wrong number, never a hang."""

import errno
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdeploy import boards, deploy
from qdeploy.deploy._members import emulator
from qdeploy.deploy._protocol import DeviceFaultError
from qdeploy.deploy._run import reached
from qdeploy.deploy.client import FrameClient
from qdeploy.deploy.links._refusals import refused
from qdeploy.deploy.links.serial_port import SerialConnection
from qdeploy.diagnostics import ExitCode, MissingToolError, RefusedError
from qdeploy.pipeline.doctor import diagnose
from support import devices

BOARD = "virtual-m4"


@pytest.fixture(scope="module")
def port():
    """The serial port of one emulated board."""
    loaded = boards.load(BOARD)
    devices.need_emulator(loaded)
    with emulator(loaded).start(devices.image(3, BOARD), loaded, counting=False) as running:
        opened = devices.open_port(running.address)
        yield opened
        opened.close()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([0.0005, 0.002, 0.005]))
def test_a_bad_line_costs_retries_and_never_a_wrong_result(port, seed, rate):
    port.reset_input_buffer()
    line = devices.FaultyPort(port, random.Random(seed), rate)
    vectors = devices.vectors(devices.program(3), 12, seed % 1000)
    client = FrameClient(SerialConnection(line, "bad line"), "bad line", devices.FAST)
    client.connect()
    for row in range(0, 12, 4):
        rows = slice(row, row + 4)
        outputs = client.infer(vectors.codes[rows]).outputs
        assert np.array_equal(outputs, vectors.expected[rows])


def test_damage_is_seen_and_counted(port):
    """Guards the test above: the faulty line does damage, and retries repair it."""
    port.reset_input_buffer()
    line = devices.FaultyPort(port, random.Random(7), 0.01)
    client = FrameClient(SerialConnection(line, "bad line"), "bad line", devices.FAST)
    client.connect()
    vectors = devices.vectors(devices.program(3), 40)
    for row in range(40):
        client.infer(vectors.codes[row : row + 1])
    assert line.damaged > 5
    assert client.retries > 0


def test_a_line_that_is_never_right_is_given_up(port):
    client = FrameClient(
        SerialConnection(devices.FaultyPort(port, random.Random(1), 0.0), "line"),
        "line",
        deploy.Timing(reply_s=0.02, attempts=3),
    )
    client.connect()
    client._connection = SerialConnection(devices.FaultyPort(port, random.Random(1), 1.0), "line")
    with pytest.raises(MissingToolError, match="no intact answer in 3 attempts"):
        client.identify()
    time.sleep(0.1)
    port.reset_input_buffer()


def test_stale_and_foreign_replies_are_not_taken_for_the_answer(port):
    """A late reply to an earlier request differs from the one at hand by its number alone."""
    port.reset_input_buffer()
    vectors = devices.vectors(devices.program(3), 6)
    client = FrameClient(SerialConnection(port, "line"), "line", devices.FAST)
    client.connect()
    client.infer(vectors.codes[:1])
    late = client._next(3, vectors.codes[1:2].astype(f"<i{client._hello.in_bytes}").tobytes())
    for _ in range(3):
        client._connection.send(deploy.frames.encode(late))
    assert np.array_equal(client.infer(vectors.codes[2:6]).outputs, vectors.expected[2:6])


def test_a_silent_device_is_reported_within_the_time_allowed():
    master, slave = os.openpty()
    try:
        before = time.monotonic()
        with pytest.raises(MissingToolError) as caught:
            deploy.run(
                devices.image(3, BOARD),
                boards.load(BOARD),
                devices.vectors(devices.program(3), 4),
                port=os.ttyname(slave),
                timing=deploy.Timing(hello_s=0.5),
            )
        assert time.monotonic() - before < 2.0
        assert "nothing answers on /dev/" in str(caught.value)
        assert "within 0.5 s" in str(caught.value)
        assert "check that the board has power" in caught.value.fix
        assert caught.value.exit_code is ExitCode.MISSING
    finally:
        os.close(master)
        os.close(slave)


def test_a_chattering_stranger_is_no_device():
    master, slave = os.openpty()
    done = threading.Event()

    def chatter():
        while not done.is_set():
            os.write(master, random.Random(1).randbytes(64))
            time.sleep(0.01)

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        with pytest.raises(MissingToolError, match="no intact frame: is the baud rate 115200"):
            deploy.run(
                devices.image(3, BOARD),
                boards.load(BOARD),
                devices.vectors(devices.program(3), 4),
                port=os.ttyname(slave),
                timing=deploy.Timing(hello_s=0.5),
            )
    finally:
        done.set()
        thread.join()
        os.close(master)
        os.close(slave)


def test_a_device_with_another_program_is_refused_before_it_is_used():
    loaded = boards.load(BOARD)
    other, ours = devices.image(8, BOARD), devices.image(3, BOARD)
    vectors = devices.vectors(devices.program(3), 4)
    with (
        emulator(loaded).start(other, loaded, counting=False) as running,
        pytest.raises(RefusedError) as caught,
    ):
        deploy.run(ours, loaded, vectors, port=running.address)
    assert "the device runs another program" in str(caught.value)
    assert other.program_digest[:16] in str(caught.value)
    assert "write OUT/firmware/firmware.hex" in caught.value.fix
    assert caught.value.exit_code is ExitCode.NO


@pytest.mark.parametrize("board", ["virtual-m4", "mps2-an386", "microbit"])
def test_a_crash_is_reported_with_its_place(board):
    loaded = boards.load(board)
    devices.need_emulator(loaded)
    firmware = devices.crashing_image(loaded)
    with pytest.raises(DeviceFaultError) as caught:
        deploy.run(firmware, loaded, devices.vectors(devices.program(3), 4))
    assert "crashed: exception 3 at pc 0x0000" in str(caught.value)
    assert "firmware.map" in caught.value.fix


@pytest.mark.parametrize("board", ["virtual-m4", "mps2-an386"])
def test_a_killed_emulator_ends_in_an_error_and_leaves_nothing_behind(board):
    codes = devices.vectors(devices.program(3), 4).codes
    files, processes = _open_files(), _children()
    with pytest.raises(MissingToolError, match=r"emulator \w+ stopped: it ended with status -9"):
        _use_until_it_breaks(board, codes, processes)
    assert _children() == processes
    assert _open_files() == files


def _use_until_it_breaks(board, codes, processes):
    with devices.device(3, board) as device:
        device.infer(codes)
        (started,) = set(_children()) - set(processes)
        os.kill(started, signal.SIGKILL)
        for _ in range(100):
            device.infer(codes)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_emulator_ends_with_its_parent(how):
    """After Ctrl-C, and even where the parent had no chance to clean up."""
    devices.need_emulator(boards.load(BOARD))
    script = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a job's children ignore it\n"
        "from support import devices\n"
        f"with devices.device(3, {BOARD!r}):\n"
        "    print(devices.__name__, flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = os.pathsep.join(entry for entry in (str(Path(__file__).parents[1]), *sys.path) if entry)
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    with parent:
        assert parent.stdout.readline().strip() == b"support.devices"
        (child,) = _children(parent.pid)
        parent.send_signal(how)
    end = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and _state(child) != "Z" and time.monotonic() < end:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists() or _state(child) == "Z"


def test_a_port_that_cannot_be_opened_is_named():
    with pytest.raises(MissingToolError) as caught:
        deploy.run(
            devices.image(3, BOARD),
            boards.load(BOARD),
            devices.vectors(devices.program(3), 4),
            port="/dev/ttyNONE",
        )
    assert "the port /dev/ttyNONE is not there" in str(caught.value)
    assert "plug the board in and name its port; there" in caught.value.fix


def test_a_port_that_another_program_holds_is_named():
    master, slave = os.openpty()
    name = os.ttyname(slave)
    try:
        with (
            devices.open_port(name),
            pytest.raises(MissingToolError, match=f"the port {name} is in use by another program"),
        ):
            deploy.identify(name)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/dev/null", "is no serial port"),
        (os.path.dirname(__file__), "is a folder"),  # noqa: PTH120
        (__file__, "is no serial port"),
        ("socket://127.0.0.1:1", "has nobody behind it: the connection is refused"),
        ("rfc2217://127.0.0.1:1", "has nobody behind it: the connection is refused"),
        ("socket://nowhere.invalid:1", "cannot be reached: "),
        ("socket://", "is no address"),
        ("socket://127.0.0.1:99999", "is no address"),
        ("rfc2217://", "is no address"),
        ("carrier-pigeon://x", "is no address"),
        ("a\0b", "cannot be opened"),
    ],
)
def test_what_is_no_port_is_told_what_it_is(address, says):
    with pytest.raises(MissingToolError) as caught:
        deploy.identify(address)
    assert says in caught.value.what
    assert caught.value.fix


def test_a_user_without_permission_is_told_of_the_group():
    """The system's answer to a user who is not root, which tests may be."""
    error = refused("/dev/ttyACM0", PermissionError(errno.EACCES, "Permission denied"))
    assert "may not be opened by this user" in error.what
    assert "dialout" in error.fix


def test_a_board_without_emulator_asks_for_a_port():
    name = "nucleo-f446re"
    with pytest.raises(MissingToolError) as caught:
        deploy.run(
            devices.image(3, name),
            boards.load(name),
            devices.vectors(devices.program(3), 4),
        )
    assert "no ST NUCLEO-F446RE (STM32F446, Cortex-M4) is attached" in str(caught.value)
    assert "--port" in caught.value.fix


def test_doctor_says_what_is_at_a_port():
    """`qdeploy doctor --port P` on an emulated board, and on a port where nobody answers."""
    loaded = boards.load(BOARD)
    image = devices.image(3, BOARD)
    with emulator(loaded).start(image, loaded, counting=False) as running:
        diagnosis = diagnose(running.address)
    assert diagnosis.device.program_digest == image.program_digest
    assert (diagnosis.device.n_in, diagnosis.device.core) == (
        devices.program(3).input.tensor.size,
        "Cortex-M4",
    )
    with pytest.raises(MissingToolError, match="/dev/ttyNONE"):
        diagnose("/dev/ttyNONE")


def test_a_socket_is_a_port_too():
    """`--port socket://HOST:PORT`, with the board behind it."""
    loaded = boards.load(BOARD)
    vectors = devices.vectors(devices.program(3), 20)
    with (
        emulator(loaded).start(devices.image(3, BOARD), loaded, counting=False) as running,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        bridge = threading.Thread(target=_bridge, args=(server, running.address))
        bridge.start()
        address = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with reached(devices.image(3, BOARD), loaded, address, deploy.Timing()) as device:
            assert np.array_equal(device.infer(vectors.codes).outputs, vectors.expected)
        bridge.join()


def _bridge(server, address):
    client, _ = server.accept()
    port = devices.open_port(address)
    client.settimeout(0.002)
    with client, port:
        port.timeout = 0
        while True:
            try:
                data = client.recv(4096)
            except TimeoutError:
                data = None
            if data == b"":
                return
            if data:
                port.write(data)
            client.sendall(port.read(4096))


def _children(parent=None):
    pid = parent or os.getpid()
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text().split()]


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))
