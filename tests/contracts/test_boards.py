"""What holds for every board there is, and what a wrong board.toml is told."""

import re
import shutil
from dataclasses import replace

import pytest
from qdeploy import boards, generate
from qdeploy.boards import Verified
from qdeploy.deploy._members import known_emulators
from qdeploy.diagnostics import ExitCode, InputError, UsageError
from qdeploy.resources import folder
from support import devices

GOOD = """
title    = "A board"
cpu      = "cortex-m3"
clock_hz = 25_000_000
verified = "build"
how      = "not tried"

[memory]
flash = { start = 0x0000_0000, bytes = 4_194_304 }
ram   = { start = 0x2000_0000, bytes = 65_536 }
stack = 4096

[uart]
base = 0x4000_4000
baud = 115_200
"""


@pytest.mark.parametrize("name", devices.ALL)
def test_facts_make_sense(name):
    board = boards.load(name)
    assert board.name == name
    assert board.title
    assert board.how
    if board.emulator:
        assert board.emulator.tool in known_emulators()
        assert board.verified is Verified.EMULATED
    if board.hardware:
        flash, ram = board.hardware.flash, board.hardware.ram
        assert flash.start + flash.bytes <= ram.start or ram.start + ram.bytes <= flash.start
        assert board.hardware.uart.baud == 115_200
        assert (board.hardware.home / "board.c").is_file()


@pytest.mark.parametrize("name", devices.ALL)
def test_a_claim_of_hardware_comes_with_a_story(name):
    """`verified` says how a board was tried: a board nobody ran must not say more than that."""
    board = boards.load(name)
    if board.emulator is None and board.hardware is not None:
        assert board.verified is not Verified.EMULATED


@pytest.mark.parametrize("compiler", devices.ARM_COMPILERS)
@pytest.mark.parametrize("name", devices.IMAGED)
def test_every_board_gets_an_image_that_fits(name, compiler):
    hardware = boards.load(name).hardware
    image = devices.image(8, name, compiler)
    assert image.bin
    assert len(image.bin) <= hardware.flash.bytes
    assert 0 < image.flash_bytes <= len(image.bin)
    assert 0 < image.ram_bytes < hardware.ram.bytes - hardware.stack_bytes
    assert 0 < image.stack_bytes < hardware.stack_bytes // 2
    assert image.hex.startswith(b":")
    assert b"qd_model" in image.map
    assert image.board == name
    stack_top, reset = (int.from_bytes(image.bin[i : i + 4], "little") for i in (0, 4))
    assert stack_top == hardware.ram.start + hardware.stack_bytes
    assert reset & ~1 == devices.symbol(image.elf, "qd_reset")
    assert hardware.flash.start <= reset < hardware.flash.start + len(image.bin)


@pytest.mark.parametrize("program", [3, 8, "wide"])
@pytest.mark.parametrize("ram", [2048, 16_384, 4_194_304])
def test_the_serial_buffers_take_a_few_vectors_and_no_more(program, ram):
    """One vector and one result at least, which a wide network's fill alone."""
    board = boards.load("mps2-an385")
    memory = replace(board.hardware.ram, bytes=ram)
    small = replace(board, hardware=replace(board.hardware, ram=memory))
    fixed = devices.program(program)
    config = generate.firmware(fixed, small).files["qd_config.h"].decode()
    request, reply = (int(re.search(rf"{n}_BYTES (\d+)u", config)[1]) for n in ("REQUEST", "REPLY"))
    vector, result = (
        t.tensor.size * t.format.container_bits // 8 for t in (fixed.input, fixed.output)
    )
    assert request >= max(128, vector)
    assert reply >= max(128, 4 + result)
    assert request % 4 == reply % 4 == 0
    assert request <= max(128, vector + 3, min(512, ram // 16))
    assert reply <= max(128, 4 + result + 3, min(512, ram // 16))
    batch = min(request // vector, reply // (4 + -(-result // 4) * 4))
    assert batch == 1 or batch * (vector + result) <= 512


def test_a_new_board_is_one_folder(tmp_path):
    """Copied, renamed and built, with nothing else told about it."""
    shutil.copytree(folder("boards") / "mps2-an385", tmp_path / "my-board")
    board = boards.load(str(tmp_path / "my-board"))
    assert board.name == "my-board"
    assert devices.build(devices.program(3), board).elf == devices.image(3, "mps2-an385").elf


def test_an_unknown_board_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError) as caught:
        boards.load("virtual-m5")
    assert "there is no board 'virtual-m5'" in str(caught.value)
    assert "did you mean virtual-m4?" in caught.value.fix
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title    = "A board"', "", "title is missing"),
        ('title    = "A board"', "title = 3", "title = 3 is not a text"),
        ("25_000_000", "true", "clock_hz = True is not a whole number"),
        ("25_000_000", "-1", "clock_hz = -1 is out of range"),
        ("cortex-m3", "cortex-m9", "core 'cortex-m9' is not known"),
        ('"build"', '"surely"', "verified = 'surely' means nothing"),
        ("4_194_304 }", "4_194_304, speed = 1 }", "unknown key memory.flash.speed"),
        ("stack = 4096", "stack = 4096\nheap = 1", "unknown key memory.heap"),
        ("stack = 4096", "stack = 65_536", "a stack of 65536 bytes does not do"),
        ("stack = 4096", "stack = 4097", "a stack of 4097 bytes does not do"),
        ("0x2000_0000", "0x2000_0001", "no memory can start at 0x20000001"),
        ("0x2000_0000", "0xFFFF_FF00", "no memory can start at 0xffffff00"),
        ("0x2000_0000", "-4", "no memory can start at -0x4"),
        ("[uart]", "[usart]", "the table [uart] is missing"),
        ("baud = 115_200", "baud = 115_200\n[emulator]\nmachine = 'x'", "emulator.tool is missing"),
        ("baud = 115_200", "baud = 115_200\n[flash]\ntool = 'x'", "flash.target is missing"),
        ("clock_hz =", "clock_khz = 1\nclock_hz =", "unknown key clock_khz"),
        ("clock_hz =", "clock_hz", "not TOML"),
        ('cpu      = "cortex-m3"', 'image_of = "my-board"', "my-board has no image of its own"),
        ('cpu      = "cortex-m3"', 'image_of = "../other"', "'../other' is no board's name"),
    ],
)
def test_a_wrong_fact_is_named(tmp_path, old, new, says):
    home = tmp_path / "my-board"
    home.mkdir()
    (home / "board.c").write_text("")
    assert old in GOOD
    (home / "board.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        boards.load(str(home))
    assert says in str(caught.value)
    assert "my-board/board.toml" in str(caught.value)
    assert caught.value.fix


def test_good_facts_are_read(tmp_path):
    """Guards the table above: what it spoils is right."""
    home = tmp_path / "my-board"
    home.mkdir()
    (home / "board.toml").write_text(GOOD)
    with pytest.raises(InputError, match="my-board has no board"):
        boards.load(str(home))
    (home / "board.c").write_text("")
    assert boards.load(str(home)).cpu == "cortex-m3"


def test_a_folder_without_facts_is_no_board(tmp_path):
    with pytest.raises(InputError, match=r"board\.toml cannot be read") as caught:
        boards.load(str(tmp_path))
    assert "docs/add-a-board.md" in caught.value.fix
