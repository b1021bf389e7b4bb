"""No command replaces what it did not write, and none what it reads; the file stays as it is."""

import json

import numpy as np
import onnx
import pytest
from qdeploy.cli import main
from support.controller import write_controller

BOX = json.dumps({"lo": [-1, -1], "hi": [1, 1]})
COMMANDS = {
    "certify": "certificate.json",
    "compare": "similarity.json",
    "validate": "junit.xml",
    "build": "out",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """All that the commands may read."""
    write_controller(tmp_path / "model.onnx")
    write_controller(tmp_path / "other.onnx", scale=0.5)
    onnx.save(
        onnx.load(tmp_path / "model.onnx"),
        tmp_path / "outside.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "box.json").write_text(BOX)
    (tmp_path / "qdeploy.toml").write_text('inputs = "box.json"\n')
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 2)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = tmp_path_factory.mktemp("built")
    write_controller(place / "model.onnx")
    line = ["build", str(place / "model.onnx"), "--inputs=-1:1", "--board", "host", "--no-run"]
    assert main([*line, "--work", "0", "-o", str(place / "out")]) == 0
    return place / "out"


def tree(place):
    return {p.name: p.read_bytes() for p in place.iterdir() if p.is_file()}


READ = [
    ("certify model.onnx --inputs=-1:1", "model.onnx"),
    ("certify model.onnx --inputs=-1:1", "./model.onnx"),
    ("certify outside.onnx --inputs=-1:1", "weights.bin"),
    ("certify outside.onnx --inputs=-1:1", "outside.onnx"),
    ("certify model.onnx --inputs box.json", "box.json"),
    ("certify model.onnx --inputs data:x.npz", "x.npz"),
    ("certify model.onnx --inputs data:x.npz:0.1", "x.npz"),
    ("certify model.onnx --config qdeploy.toml", "qdeploy.toml"),
    ("certify model.onnx --config qdeploy.toml", "box.json"),
    ("certify model.onnx --inputs=-1:1 --deploy other.onnx", "other.onnx"),
    ("certify model.onnx --inputs=-1:1 --deploy outside.onnx", "weights.bin"),
    ("compare model.onnx other.onnx --inputs box.json", "model.onnx"),
    ("compare model.onnx other.onnx --inputs box.json", "other.onnx"),
    ("compare model.onnx outside.onnx --inputs box.json", "weights.bin"),
    ("compare model.onnx other.onnx --inputs box.json", "box.json"),
    (
        "compare model.onnx other.onnx --inputs=-1:1 --relation independent --inputs-b box.json",
        "box.json",
    ),
]


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize(("line", "target"), READ)
def test_what_a_command_reads_stays_as_it_is_even_by_force(folder, capsys, line, target, force):
    before = tree(folder)
    assert main([*line.split(), "-o", target, *force]) == 2
    said = capsys.readouterr().err
    # Which files hold a model's tensors is known only when it was read.
    early = "weights.bin would be overwritten" in said and not force
    assert "is read by this command" in said or early
    assert tree(folder) == before


def test_vectors_that_validate_reads_stay_as_they_are(folder, built, capsys):
    before = tree(folder)
    line = ["validate", str(built), "--vectors", "x.npz", "--junit", "x.npz", "--force"]
    assert main(line) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert tree(folder) == before


def line_of(command, built):
    return {
        "certify": ["certify", "none.onnx", "--inputs=-1:1"],
        "compare": ["compare", "none.onnx", "none.onnx", "--inputs=-1:1"],
        "validate": ["validate", str(built)],
        "build": ["build", "none.onnx", "--inputs=-1:1"],
    }[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_not_ours_is_refused_before_any_work(folder, built, capsys, command):
    """The models are not even there yet."""
    name, option = COMMANDS[command], "--junit" if command == "validate" else "-o"
    (folder / name).write_text("mine")
    before = tree(folder)
    assert main([*line_of(command, built), option, name]) == 2
    said = capsys.readouterr().err
    assert f"{name} " in said
    assert tree(folder) == before


@pytest.mark.parametrize("command", ["certify", "compare"])
def test_the_default_name_is_no_exception(folder, capsys, command):
    (folder / COMMANDS[command]).write_text("mine")
    assert main(line_of(command, None)) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert (folder / COMMANDS[command]).read_text() == "mine"


def test_force_replaces_a_foreign_file_and_ours_need_none(folder, built, capsys):
    for command, extra in (("certify", ["model.onnx"]), ("compare", ["model.onnx", "other.onnx"])):
        (folder / COMMANDS[command]).write_text("mine")
        line = [command, *extra, "--inputs=-1:1"]
        line += ["--work", "0"] if command == "certify" else []
        assert main([*line, "--force"]) == 0
        assert main(line) == 0
    (folder / "junit.xml").write_text("mine")
    line = ["validate", str(built), "--junit", "junit.xml"]
    assert [main(line), main([*line, "--force"]), main(line)] == [2, 0, 0]


@pytest.mark.parametrize("changed", ["library/model.c", "library/mine.c", "notes.txt"])
def test_somebodys_work_in_a_build_folder_is_not_deleted(folder, capsys, changed):
    line = ["build", "model.onnx", "--inputs=-1:1", "--board", "host", "--no-run", "--work", "0"]
    line += ["-o", "out"]
    assert [main(line), main(line)] == [0, 0]
    (folder / "out" / changed).write_text("mine")
    capsys.readouterr()
    assert main(line) == 2
    assert f"holds '{changed}', which a new build would delete" in capsys.readouterr().err
    assert (folder / "out" / changed).read_text() == "mine"
    assert main([*line, "--force"]) == 0
    assert main(["validate", "out"]) == 0


def test_a_build_can_be_made_again_from_the_folders_own_model(folder):
    line = ["--inputs=-1:1", "--board", "host", "--no-run", "--work", "0", "-o", "out"]
    assert main(["build", "outside.onnx", *line]) == 0
    assert main(["build", "out/model/outside.onnx", *line]) == 0
    assert main(["validate", "out"]) == 0
