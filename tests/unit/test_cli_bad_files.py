"""Whatever file a command is given: one plain error, the right exit code, nothing written."""

import json
import shutil
import signal

import pytest
from qdeploy import pipeline
from qdeploy.cli import main
from qdeploy.diagnostics import QdeployError
from support import bad_files
from support.controller import write_controller
from support.folders import made_otherwise, renamed

SEARCH = ("--work", "0", "--bits", "8")
BOX = ("--inputs", "-1:1")
PATIENCE = 60
"""Seconds after which a command that waits for somebody is interrupted."""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A model, its certificate and its build, all of which are good."""
    folder = tmp_path_factory.mktemp("good")
    model = str(write_controller(folder / "good.onnx"))
    line = ["build", model, *BOX, *SEARCH, "--board", "host", "--no-run"]
    assert main([*line, "-o", str(folder / "out")]) == 0
    shutil.copy(folder / "out" / "certificate.json", folder / "good.json")
    return folder


@pytest.fixture
def good(original, tmp_path, monkeypatch):
    """A copy in which a command runs."""
    folder = shutil.copytree(original, tmp_path / "here")
    monkeypatch.chdir(folder)
    return folder


CERTIFY = ("certify", "good.onnx", *SEARCH)

PLACES = {
    "model of inspect": (".onnx", lambda bad: ["inspect", bad]),
    "model of build": (".onnx", lambda bad: ["build", bad, *BOX]),
    "--deploy": (".onnx", lambda bad: [*CERTIFY, *BOX, "--deploy", bad]),
    "second model of compare": (".onnx", lambda bad: ["compare", "good.onnx", bad, *BOX]),
    "--model": (".onnx", lambda bad: ["verify", "good.json", "--model", bad]),
    "box.json": (".json", lambda bad: [*CERTIFY, "--inputs", bad]),
    "box.toml": (".toml", lambda bad: [*CERTIFY, "--inputs", bad]),
    "box.vnnlib": (".vnnlib", lambda bad: [*CERTIFY, "--inputs", bad]),
    "data:": (".npz", lambda bad: [*CERTIFY, "--inputs", f"data:{bad}"]),
    "data: with a radius": (".npz", lambda bad: [*CERTIFY, "--inputs", f"data:{bad}:0.1"]),
    "--config": (".toml", lambda bad: ["certify", "good.onnx", "--config", bad]),
    "certificate": (".json", lambda bad: ["verify", bad, "--model", "good.onnx"]),
    "--vectors": (".npz", lambda bad: ["validate", "out", "--vectors", bad]),
}

FOLDERS = {
    "OUT": lambda bad: ["validate", bad],
    "--sources": lambda bad: ["verify", "good.json", "--model", "good.onnx", "--sources", bad],
    "--board": lambda bad: ["build", "good.onnx", *BOX, "--board", f"{bad}/"],
}


def everything_in(folder):
    return {
        str(path.relative_to(folder)): path.is_symlink() or path.is_dir() or path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def refused(capsys, folder, line, codes=(3,)):
    """Run a command line that must be refused, and return what it says."""
    before = everything_in(folder)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        code = main([str(word) for word in line])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    said = capsys.readouterr()
    assert code in codes, said.err
    assert "bug in qdeploy" not in said.err
    assert "Traceback" not in said.err
    assert said.out == "" or code == 1
    told = said.err + said.out
    assert all(c.isprintable() or c == "\n" for c in told)
    assert len(told) < 2000
    assert everything_in(folder) == before
    return said.err


@pytest.mark.parametrize("kind", bad_files.UNREADABLE)
@pytest.mark.parametrize("place", PLACES)
def test_a_path_that_leads_to_no_file_is_bad_input(good, tmp_path, capsys, place, kind):
    suffix, line = PLACES[place]
    path = bad_files.UNREADABLE[kind](tmp_path, suffix)
    said = refused(capsys, good, line(path))
    assert "  where: " in said
    assert "  fix:   " in said


@pytest.mark.parametrize("kind", [k for k in bad_files.UNREADABLE if k != "a_folder"])
@pytest.mark.parametrize("place", FOLDERS)
def test_a_path_that_leads_to_no_folder_is_bad_input(good, tmp_path, capsys, place, kind):
    path = bad_files.UNREADABLE[kind](tmp_path, "")
    assert "  fix:   " in refused(capsys, good, FOLDERS[place](path))


def test_a_folder_that_is_no_build_no_library_and_no_board(good, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    refused(capsys, good, FOLDERS["OUT"](tmp_path / "empty"))
    refused(capsys, good, FOLDERS["--board"](tmp_path / "empty"))
    refused(capsys, good, FOLDERS["--sources"](tmp_path / "empty"), codes=(1,))


CONTENTS = {".json": bad_files.JSON, ".toml": bad_files.TOML, ".npz": bad_files.NPZ}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (place, kind)
        for place, (suffix, _) in PLACES.items()
        for kind in CONTENTS.get(suffix, bad_files.TEXTS)
        if (place, kind) != ("--config", "nothing")
    ],
)
def test_a_file_that_holds_nothing_usable_is_bad_input(good, tmp_path, capsys, place, kind):
    suffix, line = PLACES[place]
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(CONTENTS.get(suffix, bad_files.TEXTS)[kind])
    # A certificate that is none has been looked at, and the answer is no; options are usage.
    codes = {"certificate": (1,), "--config": (2, 3)}.get(place, (3,))
    refused(capsys, good, line(path), codes)


BOARD = """\
title = "Mine"
cpu = "cortex-m4"
verified = "build"
how = "not at all"
clock_hz = 16_000_000
[memory]
stack = 1024
flash = {{ start = 0, bytes = {flash_bytes} }}
ram = {{ start = 0x2000_0000, bytes = 65536 }}
[uart]
base = 0x4000_4000
baud = 115200
"""


@pytest.mark.parametrize("number", ["inf", "nan", "1" * 5000, "0x" + "f" * 5000, "1e9", "[" * 2000])
def test_a_board_with_an_absurd_number_is_bad_input(good, tmp_path, capsys, number):
    home = tmp_path / "mine"
    home.mkdir()
    (home / "board.c").write_text("")
    (home / "board.toml").write_text(BOARD.format(flash_bytes=number))
    said = refused(capsys, good, FOLDERS["--board"](home))
    assert "mine/board.toml" in said


@pytest.mark.parametrize("kind", bad_files.TOML)
def test_a_board_that_is_none_is_bad_input(good, tmp_path, capsys, kind):
    home = tmp_path / "mine"
    home.mkdir()
    (home / "board.toml").write_bytes(bad_files.TOML[kind])
    refused(capsys, good, FOLDERS["--board"](home))


@pytest.mark.parametrize("kind", bad_files.JSON)
@pytest.mark.parametrize("name", ["build.json", "certificate.json"])
def test_a_build_folder_with_a_file_that_is_none_is_refused(good, capsys, name, kind):
    (good / "out" / name).write_bytes(bad_files.JSON[kind])
    refused(capsys, good, ["validate", "out"], codes=(1, 3))


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("flash_bytes", float("inf"), 3),
        ("flash_bytes", float("nan"), 3),
        ("ram_bytes", 1e300, 1),
        ("stack_bytes", "many", 1),
        ("board", "a/../../b", 1),
        ("board", "no\0board", 1),
        ("board", "x" * 5000, 1),
        ("compiler_flags", 7, 1),
    ],
)
def test_absurd_numbers_and_names_in_build_json_are_refused(good, capsys, key, value, code):
    """Only what is no JSON is damage; all else is a difference to what the build holds."""
    path = good / "out" / "build.json"
    data = json.loads(path.read_text())
    data["firmware"][key] = value
    path.write_text(json.dumps(data))
    refused(capsys, good, ["validate", "out"], codes=(code,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stack_bytes", "many"),
        ("stack_bytes", 1 << 40),
        ("stack_bytes", -1),
        ("board", "a/../../b"),
        ("compiler_flags", 7),
        ("board_facts", None),
    ],
)
def test_absurd_numbers_and_names_that_a_certificate_binds_are_refused(good, capsys, key, value):
    made_otherwise(good / "out", key, value)
    refused(capsys, good, ["validate", "out"])


@pytest.mark.parametrize("name", ["../good.onnx", "n" * 190, "", ".."])
def test_a_model_that_a_certificate_calls_absurdly_is_refused(good, capsys, name):
    renamed(good / "out", name)
    refused(capsys, good, ["validate", "out"])
    refused(capsys, good, ["verify", "out"], codes=(1, 3))


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "no\0model.onnx", "x" * 5000, "\ud800", ""]
)
def test_a_model_that_no_file_can_be_named_like_is_refused(good, capsys, name):
    path = good / "out" / "build.json"
    data = json.loads(path.read_text())
    data["model"]["file"] = name
    path.write_text(json.dumps(data))
    assert "model.file states" in refused(capsys, good, ["validate", "out"], codes=(1,))


@pytest.mark.parametrize("kind", [k for k in bad_files.UNREADABLE if "_long_" not in k])
@pytest.mark.parametrize("name", ["certificate.json", "vectors.npz", "firmware/firmware.elf"])
def test_a_build_folder_without_a_usable_file_is_refused(good, tmp_path, capsys, name, kind):
    path = good / "out" / name
    path.unlink()
    path.symlink_to(bad_files.UNREADABLE[kind](tmp_path, path.suffix))
    refused(capsys, good, ["validate", "out"])


NAMES = ("\\u001b[31m.json", "n" * 5000 + ".toml", "data:" + "n" * 300 + ".npz")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_configuration_that_names_what_no_file_can_be(good, tmp_path, capsys, name):
    (tmp_path / "c.toml").write_text(f'inputs = "{name}"\n')
    refused(capsys, good, ["certify", "good.onnx", "--config", tmp_path / "c.toml"])


@pytest.mark.parametrize("key", ["inputs", "output", "deploy", "tolerance"])
def test_a_zero_byte_in_a_configuration_is_named(good, tmp_path, capsys, key):
    (tmp_path / "c.toml").write_text(f'{key} = "no\\u0000file.json"\n')
    line = ["certify", "good.onnx", *SEARCH, "--config", tmp_path / "c.toml"]
    assert f"{key} holds a zero byte" in refused(capsys, good, line, codes=(2,))


HOST = ("--board", "host", "--no-run")
TARGETS = {
    "certify -o": (".json", lambda bad: [*CERTIFY, *BOX, "-o", bad]),
    "compare -o": (".json", lambda bad: ["compare", "good.onnx", "good.onnx", *BOX, "-o", bad]),
    "build -o": ("", lambda bad: ["build", "good.onnx", *BOX, *SEARCH, *HOST, "-o", bad]),
    "--junit": (".xml", lambda bad: ["validate", "out", "--junit", bad]),
}


@pytest.mark.parametrize("kind", ["a_long_name", "a_long_path", "a_circle", "through_a_file"])
@pytest.mark.parametrize("place", TARGETS)
def test_a_path_that_nothing_can_be_written_to_is_usage(good, tmp_path, capsys, place, kind):
    suffix, line = TARGETS[place]
    path = bad_files.UNREADABLE[kind](tmp_path, suffix)
    assert "cannot be written" in refused(capsys, good, line(path), codes=(2,))


@pytest.mark.parametrize("place", TARGETS)
def test_a_target_of_another_kind_is_usage(good, tmp_path, capsys, place):
    suffix, line = TARGETS[place]
    path = bad_files.a_folder(tmp_path, suffix) if suffix else tmp_path / "file"
    (path / "theirs" if suffix else path).write_text("theirs")
    refused(capsys, good, line(path), codes=(2,))


@pytest.mark.parametrize("name", ["no\0file", "\ud800", "n" * 300, "deep/" * 1500])
@pytest.mark.parametrize("option", ["model", "inputs", "samples", "board", "deploy", "output"])
def test_in_python_a_name_that_no_file_can_have_is_an_error_of_ours(good, option, name):
    asked = {"model": "good.onnx", "inputs": "-1:1", "board": "host", "work": 0, "no_run": True}
    given = {
        "inputs": f"{name}.json",
        "samples": f"data:{name}.npz",
        "board": f"{name}/",
    }.get(option, name)
    asked["inputs" if option == "samples" else option] = given
    with pytest.raises(QdeployError):
        pipeline.build(**asked)
