"""stdout is the answer, stderr the rest; the exit code says yes, no, or why neither."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import qdeploy
import qdeploy.cli.boards
from qdeploy.cli import main
from support.controller import answer, command, run, write_controller

COMMANDS = ("build", "certify", "verify", "validate", "compare", "inspect", "boards", "doctor")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself_with_an_example(capsys, name, flag):
    assert main([name, flag]) == 0
    said = capsys.readouterr()
    assert f"Usage: qdeploy {name}" in said.out
    assert f"qdeploy {name}" in re.split("Examples?:", said.out)[1]
    assert said.err == ""


def test_help_lists_every_command_and_every_exit_code(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    listed = said.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert tuple(line.split()[0] for line in listed) == COMMANDS
    for code in ("0 yes", "1 the answer is no", "2 usage", "3 bad", "4 tool", "5 inc", "70", "130"):
        assert code in " ".join(said.split())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"qdeploy, version {qdeploy.__version__}\n"


USAGE = [
    (["nonsense"], "No such command 'nonsense'", "see qdeploy --help"),
    (["build"], "Missing argument 'MODEL.onnx'", "see qdeploy build --help"),
    (["verify", "c.json"], "no --model is given", "or the whole build folder"),
    (["build", "m.onnx", "--shrink", "1"], "No such option '--shrink'", "see qdeploy build --help"),
    (["build", "m.onnx"], "neither --inputs nor --input-format is given", "--inputs -1:1"),
    (["build", "m.onnx", "--inputs", "-1:1", "--bits", "33"], "--bits 33 is no", "1 to 32"),
    (["build", "m.onnx", "--inputs", "-1:1", "--weights", "8"], "--weights '8' is no", "4.12"),
    (["build", "m.onnx", "--inputs", "-1:1", "--tolerance", "nan"], "--tolerance 'nan'", "0.01"),
    (["build", "m.onnx", "--inputs", "-1:1", "--tolerance", "-1"], "--tolerance '-1'", "0.01"),
    (["build", "m.onnx", "--inputs", "-1:1", "--time-limit", "0"], "--time-limit 0.0", "60"),
    (["build", "m.onnx", "--inputs", "-1:1", "--work", "-1"], "--work -1.0", "60"),
    (["build", "m.onnx", "--inputs", "-1:1", "--board", "nope"], "no board 'nope'", "virtual-m4"),
    (["build", "m.onnx", "--inputs", "-1:1", "--rounding", "up"], "'up' is not one of", "--help"),
]


@pytest.mark.parametrize(("line", "what", "fix"), USAGE)
def test_usage_errors_say_what_and_how_to_fix_it(capsys, line, what, fix):
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert what in said.err
    assert fix in said.err.split("fix:")[1]


@pytest.mark.parametrize(("line", "what", "fix"), USAGE)
def test_with_json_the_error_is_one_object(capsys, line, what, fix):
    assert main([*line, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert what in error["what"]
    assert fix in error["fix"]
    assert error["exit_code"] == 2


def test_a_missing_model_is_bad_input(capsys, tmp_path):
    assert main(["inspect", str(tmp_path / "none.onnx")]) == 3
    assert "there is no such file" in capsys.readouterr().err


def test_an_unexpected_exception_is_our_bug_with_a_traceback(capsys, monkeypatch):
    def broken():
        raise RuntimeError("shelf fell over")

    monkeypatch.setattr(qdeploy.cli.boards, "all_boards", broken)
    assert main(["boards", "--json"]) == 70
    said = capsys.readouterr()
    assert "Traceback" in said.err
    assert "this is a bug in qdeploy: RuntimeError: shelf fell over" in said.err
    assert json.loads(said.out)["error"]["exit_code"] == 70


def test_ctrl_c_is_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(qdeploy.cli.boards, "all_boards", interrupted)
    assert main(["boards"]) == 130
    assert capsys.readouterr().err.strip() == "error: interrupted"


def test_a_reader_that_goes_away_gets_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        command("boards"), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert process.returncode == 141
    assert process.stderr == ""


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a model and its build, and the seconds that took."""
    folder = tmp_path_factory.mktemp("built")
    model = write_controller(folder / "controller.onnx")
    start = time.monotonic()
    process = run("build", model, "--inputs", "-1:1", "--board", "host", "-o", folder / "out")
    assert process.returncode == 0, process.stderr
    return folder, time.monotonic() - start


@pytest.mark.parametrize(
    ("number", "share"),
    [(signal.SIGINT, 0.5), (signal.SIGTERM, 0.7), (signal.SIGINT, 0.85), (signal.SIGTERM, 0.97)],
)
def test_whenever_it_is_interrupted_the_previous_build_stays_whole(built, tmp_path, number, share):
    folder, seconds = built
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    model, out = tmp_path / "controller.onnx", tmp_path / "out"
    before = tree(out)
    line = command("build", model, "--inputs", "-1:1", "--board", "host", "-o", out, "--bits", "8")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(share * seconds)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    if process.returncode == 130 and "error: interrupted" in errors:
        assert errors.strip() == "error: interrupted"
        assert said == ""
        assert tree(out) == before
    else:  # there was a bound already, or it was faster than the first time
        assert (process.returncode == 130) == ("the build is finished" in errors)
        assert process.returncode in (0, 130), errors
        assert tree(out) != before
        assert main(["validate", str(out)]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["controller.onnx", "out"]


def test_nothing_but_the_object_is_on_stdout(tmp_path):
    model = write_controller(tmp_path / "controller.onnx")
    process = run("inspect", model, "--json")
    assert answer(process)["model"]["parameters"] == 17
    assert process.stderr == ""


def test_without_a_terminal_there_is_no_progress_bar(tmp_path):
    model = write_controller(tmp_path / "controller.onnx")
    process = run("certify", model, "--inputs", "-1:1", cwd=tmp_path)
    assert process.returncode == 0
    assert process.stderr == ""
