"""What holds for every link and every emulator."""

import termios
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from qdeploy import boards, crossbuild, deploy, generate
from qdeploy.boards import Uart
from qdeploy.deploy import _run
from qdeploy.deploy._members import emulator, known_emulators, known_links
from qdeploy.deploy._protocol import Endpoint
from qdeploy.deploy.links import serial_port
from qdeploy.diagnostics import ExitCode, InputError, MissingToolError
from qdeploy.ir import SourceTree
from support import devices


@pytest.mark.parametrize("name", devices.ALL)
def test_one_link_reaches_a_board(name):
    board = boards.load(name)
    assert sum(link.reaches(board) for link in known_links().values()) == 1


def test_every_emulator_tells_whether_it_is_there():
    rows = {row.name: row for row in deploy.status()}
    assert set(rows) == set(known_emulators()) == {"qemu", "unicorn"}
    assert rows["unicorn"].fix == "pip install '.[run]' in the checkout of qdeploy"
    assert "apt install qemu-system-arm" in rows["qemu"].fix


@pytest.mark.parametrize("board", ["virtual-m4", "mps2-an386"])
def test_a_missing_emulator_says_what_to_install(board, monkeypatch):
    loaded = boards.load(board)
    tool = emulator(loaded)
    image = devices.image(3, board)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingToolError) as caught:
        deploy.run(image, loaded, devices.vectors(devices.program(3), 4))
    assert caught.value.fix == tool.missing().fix
    assert "is not installed" in str(caught.value)
    assert caught.value.exit_code is ExitCode.MISSING


def test_an_emulator_that_does_not_exist_is_named(tmp_path):
    home = tmp_path / "my-board"
    home.mkdir()
    (home / "board.toml").write_text(
        'title = "x"\ncpu = "host"\nverified = "build"\nhow = "x"\n[emulator]\ntool = "simics"\n'
    )
    with pytest.raises(InputError, match="wants the emulator 'simics'") as caught:
        emulator(boards.load(str(home)))
    assert "qemu, unicorn" in caught.value.fix


WRONG = {
    "a machine QEMU has not": (
        "mps2-an386",
        {"machine": "toaster"},
        {},
        "QEMU refuses the machine 'toaster': unsupported machine type",
        "emulator.machine",
    ),
    "no machine": ("mps2-an386", {"machine": ""}, {}, "QEMU is not told", "emulator.machine"),
    "a machine without a core": (
        "mps2-an386",
        {"machine": "none"},
        {},
        "QEMU refuses the machine 'none': The -kernel parameter is not supported",
        "emulator.machine",
    ),
    "an option of a machine": (
        "mps2-an386",
        {"machine": "mps2-an386,colour=red"},
        {},
        "Property 'mps2-an386-machine.colour' not found",
        "emulator.machine",
    ),
    "a core Unicorn has not": (
        "virtual-m4",
        {},
        {"cpu": "cortex-m55"},
        "unicorn cannot be this board: it knows no cortex-m55",
        "",
    ),
    "a UART in the midst of a page": (
        "virtual-m4",
        {},
        {"uart": Uart(0x4000_4010, 115_200)},
        "its memory and its UART cannot be laid out",
        "",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("own", [True, False])
def test_a_board_no_emulator_can_be_is_refused_by_its_key(fault, own):
    name, emulated, hardware, says, key = WRONG[fault]
    board = boards.load(name)
    devices.need_emulator(board)
    wrong = replace(
        board,
        emulator=replace(board.emulator, **emulated),
        hardware=replace(board.hardware, **hardware),
        own=own,
    )
    with pytest.raises((InputError, MissingToolError)) as caught:
        deploy.greet(devices.image(3, name), wrong)
    assert says in caught.value.what
    assert "Traceback" not in str(caught.value)
    assert str(caught.value.where) == (f"{board.file}: {key}" if key else board.file)
    assert caught.value.fix
    if own:
        assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_terminal_that_closes_while_it_is_opened_is_a_port_that_cannot_be_opened(monkeypatch):
    def closed(*_, **__):
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(serial_port.serial, "serial_for_url", closed)
    with pytest.raises(MissingToolError, match="cannot be opened: input/output error"):
        serial_port.open_port(Endpoint("/dev/pts/0"))


class Gone:
    """QEMU, whose port is only told once it is not there any more."""

    def __init__(self, tool):
        self._tool = tool

    @contextmanager
    def start(self, firmware, board, *, counting):
        with self._tool.start(firmware, board, counting=counting) as running:
            end = time.monotonic() + 20
            while Path(running.address).exists() and time.monotonic() < end:
                time.sleep(0.01)
            yield running


def test_an_emulator_that_dies_before_its_port_is_opened_says_how(monkeypatch):
    """On a busy computer it often does."""
    board = boards.load("mps2-an386")
    devices.need_emulator(board)
    wrong = replace(board, emulator=replace(board.emulator, machine="none"))
    monkeypatch.setattr(_run, "emulator", lambda board: Gone(emulator(board)))
    with pytest.raises(MissingToolError, match="QEMU refuses the machine 'none'"):
        deploy.greet(devices.image(3, "mps2-an386"), wrong)


def another_uart(board):
    """The board with its UART where QEMU and Unicorn have another one, or nothing."""
    return replace(board, hardware=replace(board.hardware, uart=Uart(0x4000_5000, 115_200)))


@pytest.mark.parametrize("name", ["mps2-an386", "microbit"])
def test_an_emulator_that_dies_says_how(name):
    """An image for another memory map runs into nothing."""
    board = boards.load(name)
    devices.need_emulator(board)
    image = devices.build(devices.program(3), boards.load("netduinoplus2"))
    for own in (True, False):
        with pytest.raises(MissingToolError) as caught:
            deploy.greet(image, replace(board, own=own))
        assert "the emulator qemu stopped: it ended with status" in caught.value.what
        assert "saying: qemu: fatal: Lockup" in caught.value.what
        assert "R00=" not in caught.value.what
        assert ("qd_board_init()" in caught.value.fix) == own
        assert (caught.value.where is not None) == own


@pytest.mark.parametrize("name", ["mps2-an386", "virtual-m4"])
def test_a_silent_emulated_board_has_neither_power_nor_a_cable(name):
    """Its image talks to a UART that is not the one we listen to, or to nothing."""
    board = boards.load(name)
    devices.need_emulator(board)
    image = devices.build(devices.program(3), another_uart(boards.load("mps2-an386")))
    for own in (True, False):
        with pytest.raises(MissingToolError) as caught:
            deploy.greet(image, replace(board, own=own), deploy.Timing(hello_s=0.5))
        told = str(caught.value)
        assert "does not answer: nothing came within 0.5 s" in told or "stopped" in told
        assert not any(word in told for word in ("power", "cable", "port is the right one", "wire"))
        assert ("[uart]" in caught.value.fix) == own


BABBLE = b"""
void qd_main(void)
{
    qd_board_init();
    for (;;) {
        qd_board_write((uint8_t)(qd_board_read() * 7u + QD_MODEL.in_bytes));
    }
}
"""


def test_a_board_that_babbles_is_not_told_of_baud_rates():
    board = boards.load("virtual-m4")
    devices.need_emulator(board)
    tree = dict(generate.firmware(devices.program(3), board).files)
    tree["qd_main.c"] = tree["qd_main.c"].partition(b"/* Packets hold")[0] + BABBLE
    image = crossbuild.run(SourceTree(tree), board)
    with pytest.raises(MissingToolError) as caught:
        deploy.greet(image, board, deploy.Timing(hello_s=0.5))
    assert "does not answer: bytes came, but no intact frame" in caught.value.what
    assert "baud" not in str(caught.value)
