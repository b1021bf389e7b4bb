"""`validate` finds the board that a build was made for, whatever became of it since."""

import json
import shutil

import pytest
from qdeploy import boards
from qdeploy.cli import main
from qdeploy.resources import folder
from support import devices
from support.controller import write_controller
from support.folders import accounted, made_otherwise, rewritten

BUILD = ["--inputs=-1:1", "--work", "0.1", "--bits", "8"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A project with a board of its own, built: project/{mine, out, controller.onnx}."""
    project = tmp_path_factory.mktemp("original") / "project"
    project.mkdir()
    make_board(project / "mine")
    model = write_controller(project / "controller.onnx")
    devices.need_compiler(boards.load("virtual-m4"), None)
    devices.need_emulator(boards.load("virtual-m4"))
    line = ["build", str(model), *BUILD, "--board", str(project / "mine")]
    assert main([*line, "-o", str(project / "out")]) == 0
    return project


def make_board(home):
    """A board for the emulator from PyPI."""
    shutil.copytree(folder("boards") / "mps2-an386", home)
    change(home, 'tool    = "qemu"', 'tool    = "unicorn"')
    change(home, 'machine = "mps2-an386"', "")


def change(home, old, new):
    path = home / "board.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def project(original, tmp_path, monkeypatch):
    """A copy of it, in which one stands."""
    copied = shutil.copytree(original, tmp_path / "moved")
    monkeypatch.chdir(copied)
    return copied


def test_a_build_for_a_board_of_ones_own_is_validated_as_it_was_built(project, capsys):
    assert main(["validate", "out", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    built = json.loads((project / "out" / "build.json").read_text())
    assert said["firmware"]["board"] == "mine"
    assert said["validation"] == built["validation"]
    assert said["validation"]["instructions"] > 100
    assert built["board_folder"] == "../mine"


def test_it_does_not_matter_where_one_stands(project, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["validate", str(project / "out"), "--vectors", "8"]) == 0


def test_a_build_folder_needs_no_other(project, tmp_path, monkeypatch):
    """Its board is gone, or it was brought to a test rack alone."""
    shutil.move(project / "out", tmp_path / "rack")
    shutil.rmtree(project)
    monkeypatch.chdir(tmp_path)
    assert main(["validate", "rack", "--vectors", "8"]) == 0


CHANGES = {
    "the clock": ("25_000_000", "20_000_000", "clock_hz", "20000000", "25000000"),
    "a memory": ("0x2000_0000", "0x2100_0000", "memory.ram.start", "0x21000000", "0x20000000"),
    "the core": ('"cortex-m4"', '"cortex-m3"', "cpu", "cortex-m3", "cortex-m4"),
    "the baud rate": ("115_200", "9_600", "uart.baud", "9600", "115200"),
    "the stack": ("stack = 4096", "stack = 2048", "memory.stack", "2048", "4096"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_board_that_is_another_one_now_is_told_by_its_key(project, capsys, what):
    old, new, key, now, was = CHANGES[what]
    change(project / "mine", old, new)
    assert main(["validate", "out"]) == 3
    said = capsys.readouterr().err
    expected = f"board mine has changed since out was built: its {key} is {now}, the image was"
    assert f"{expected} built for {was}" in said
    assert f"where: mine/board.toml: {key}" in said
    assert "build it again" in said


def test_what_shapes_no_image_may_change(project, capsys):
    """The emulator is what board.toml says now; a title, or a comment in board.c, is no matter."""
    change(project / "mine", "ARM MPS2", "A better title")
    (project / "mine" / "board.c").write_text("/* rewritten */\n")
    assert main(["validate", "out", "--vectors", "8"]) == 0
    change(project / "mine", '"unicorn"', '"simics"')
    assert main(["validate", "out", "--vectors", "8"]) == 3
    assert "wants the emulator 'simics', which does not exist" in capsys.readouterr().err


def test_a_board_that_cannot_be_read_any_more_is_told(project, capsys):
    change(project / "mine", "clock_hz", "clock_khz")
    assert main(["validate", "out"]) == 3
    assert "clock_hz is missing" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["virtual-m4", "./copy"])
def test_another_board_of_equal_hardware_may_be_named(project, capsys, other):
    shutil.copytree(project / "mine", project / "copy")
    shutil.rmtree(project / "mine")
    assert main(["validate", "out", "--board", other, "--vectors", "8"]) == 0
    assert f"controller on {other.removeprefix('./')}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("other", "code", "says"),
    [
        (
            "microbit",
            3,
            "microbit is not the board of out: its cpu is cortex-m0, the image was built",
        ),
        ("netduinoplus2", 3, "its clock_hz is 168000000, the image was built for 25000000"),
        ("host", 3, "host is not the board of out: its cpu is host, the image was built for"),
        ("mine", 2, "there is no board 'mine'"),
        ("mine", 2, "write ./mine for the folder here"),
        ("./none", 3, "none/board.toml cannot be read"),
    ],
)
def test_a_board_that_does_not_suit_is_refused(project, capsys, other, code, says):
    assert main(["validate", "out", "--board", other]) == code
    assert says in capsys.readouterr().err


def test_a_way_to_the_board_that_is_no_path_is_refused(project, capsys):
    rewritten(project / "out", lambda data: data.update(board_folder=3))
    assert main(["validate", "out"]) == 3
    assert "its board_folder is no path" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["no\0where", "n" * 5000, "\ud800", "../mine/board.c", "/etc", ""])
def test_a_way_that_leads_to_no_board_does_not_matter(project, way):
    """The facts that the certificate binds do without it."""
    rewritten(project / "out", lambda data: data.update(board_folder=way))
    assert main(["validate", "out", "--vectors", "8"]) == 0


DAMAGED = ({}, [], "facts", 7, {"cpu": "cortex-m4", "title": "x", "how": "", "verified": "build"})


@pytest.mark.parametrize("value", DAMAGED)
def test_other_facts_in_build_json_are_refused_by_name(project, capsys, value):
    rewritten(project / "out", lambda data: data["firmware"].update(board_facts=value))
    assert main(["validate", "out"]) == 1
    assert "build.json: firmware.board_facts" in capsys.readouterr().err


@pytest.mark.parametrize("value", DAMAGED)
def test_damaged_facts_that_are_bound_are_refused(project, capsys, value):
    made_otherwise(project / "out", "board_facts", value)
    rewritten(project / "out", lambda data: data["firmware"].update(board_facts=value))
    accounted(project / "out")
    assert main(["validate", "out"]) == 3
    said = capsys.readouterr().err
    assert "firmware/firmware.json" in said
    assert "Traceback" not in said


def test_equal_boards_in_two_places_give_equal_bytes_but_for_build_json(project, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    shutil.copytree(project / "mine", tmp_path / "deep" / "er" / "mine")
    out = tmp_path / "deep" / "second"
    line = ["build", "controller.onnx", *BUILD, "--board", str(tmp_path / "deep" / "er" / "mine")]
    assert main([*line, "-o", str(out)]) == 0
    for path in sorted(p for p in (project / "out").rglob("*") if p.is_file()):
        name = path.relative_to(project / "out")
        if name.name != "build.json":
            assert path.read_bytes() == (out / name).read_bytes(), name
    stored = json.loads((out / "build.json").read_text())
    assert stored["board_folder"] == "../er/mine"
    assert str(tmp_path) not in (out / "build.json").read_text()
