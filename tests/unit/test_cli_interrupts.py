"""Ctrl-C and SIGTERM end a search and keep what it found; killed runs leave nothing for long."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from qdeploy import proof
from qdeploy.cli import main
from support.controller import command, run, write_controller

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits" / "digits.onnx"
PENDULUM = EXAMPLES / "pendulum" / "pendulum.onnx"
FINISHED = "warning: interrupted: the build is finished with the best bound so far (|deviation| <= "
DECIDING = ("--decision", "argmax", "--bits", "6", "--work", "44")


def long_build(*options):
    line = ("build", PENDULUM, "--inputs", PENDULUM.with_name("box.json"), "--board", "host")
    return command(*line, "-o", "out", "--work", "100000", "--bits", "12", "--json", *options)


def started(line, folder):
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir(exist_ok=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, cwd=folder, env=environment, **pipes)


def interrupted(line, number, folder, enough):
    """Send a process a signal, ever later until it had found enough; return what it printed."""
    for seconds in (4.0, 9.0, 20.0, 60.0):
        process = started(line, folder)
        time.sleep(seconds)
        process.send_signal(number)
        said, errors = process.communicate(timeout=240)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        if enough(said, errors):
            return said, errors
        if "error" in json.loads(said):
            assert [p.name for p in folder.iterdir()] == ["tmp"]
    pytest.fail(f"nothing was found in a minute: {errors}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_is_finished_with_the_best_bound_so_far(tmp_path, number):
    line = long_build("--jobs", "2")
    said, errors = interrupted(line, number, tmp_path, lambda _, errors: FINISHED in errors)
    assert errors.startswith(FINISHED)
    data = json.loads(said)
    assert data == json.loads((tmp_path / "out" / "build.json").read_text())
    assert (data["answer"], data["interrupted"]) == ("yes", True)
    assert data["validation"]["bit_exact"] is True
    certificate = proof.read((tmp_path / "out" / "certificate.json").read_bytes()).certificate
    assert certificate.work is None
    assert f"|deviation| <= {certificate.regions[0].linf})" in errors
    assert list((tmp_path / "tmp").iterdir()) == []
    assert main(["validate", str(tmp_path / "out")]) == 0
    for page in ("report.html", "certificate.html"):
        assert "interrupted" in (tmp_path / "out" / page).read_text()


def test_interrupted_again_it_leaves_nothing(tmp_path):
    for seconds in (4.0, 9.0, 20.0, 60.0):
        process = started(long_build("--jobs", "2"), tmp_path)
        time.sleep(seconds)
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        if process.stderr.readline().startswith(FINISHED):
            process.send_signal(signal.SIGINT)
            break
        process.communicate(timeout=60)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(said)["error"]["what"] == "interrupted"
    assert errors.strip() == "error: interrupted"
    assert [p.name for p in tmp_path.iterdir()] == ["tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not any(child.is_running() for child in children)


def test_decisions_that_were_found_are_kept(tmp_path):
    """Interrupted while decisions are sought, a build keeps those that are known."""
    samples = f"data:{DIGITS.with_name('samples.npz')}:0.05"
    line = command("build", DIGITS, "--inputs", samples, "--board", "host", "-o", "out")
    said, _ = interrupted(
        [*line, "--json", *DECIDING],
        signal.SIGINT,
        tmp_path,
        lambda said, _: json.loads(said).get("certificate", {}).get("decision") is not None,
    )
    data = json.loads(said)
    decided = data["certificate"]["decision"]
    assert decided["unchanged"] > 0
    assert decided["unchanged"] + decided["attacked"] + decided["open"] == 450
    certificate = proof.read((tmp_path / "out" / "certificate.json").read_bytes()).certificate
    assert certificate.work is None
    assert main(["verify", str(tmp_path / "out" / "certificate.json"), "--model", str(DIGITS)]) == 0


def test_what_a_killed_build_left_is_removed_by_the_next_one(tmp_path):
    place = tmp_path / "tmp"
    process = started(long_build("--jobs", "1"), tmp_path)
    for _ in range(6000):
        if left := list(place.iterdir()):
            break
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert [path.name.split("-")[:2] for path in left] == [["qdeploy", "build"]]
    if not left[0].exists():
        pytest.skip("the build was faster than the signal")
    model = write_controller(tmp_path / "controller.onnx")
    line = ("build", model, "--inputs=-1:1", "--board", "host", "-o", tmp_path / "out")
    done = run(*line, TMPDIR=str(place))
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["controller.onnx", "out", "tmp"]
