"""Every example that help or README.md gives ends in yes, on the files in examples/."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from qdeploy.cli._commands import ORDER, root
from support.controller import run

ROOT = Path(__file__).parents[2]
FILES = {
    "pendulum.onnx": "pendulum/pendulum.onnx",
    "box.json": "pendulum/box.json",
    "digits.onnx": "digits/digits.onnx",
    "samples.npz": "digits/samples.npz",
    # Whoever compares has two models; a model compared with itself will do here.
    "trained.onnx": "pendulum/pendulum.onnx",
    "pruned.onnx": "pendulum/pendulum.onnx",
    "a.onnx": "pendulum/pendulum.onnx",
    "b.onnx": "pendulum/pendulum.onnx",
}
NEEDS_A_DEVICE = "/dev/tty"


def examples(command):
    return re.findall(r"qdeploy [^\n]+", command.epilog or "")


def in_order():
    """All examples, in an order in which each finds what it needs."""
    context = click.Context(root)
    commands = [root, *(root.get_command(context, name) for name in ORDER)]
    lines = [line for command in commands for line in examples(command)]
    assert len(lines) > len(ORDER)
    return [line for line in lines if NEEDS_A_DEVICE not in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a user has at hand."""
    place = tmp_path_factory.mktemp("user")
    for name, source in FILES.items():
        shutil.copy(ROOT / "examples" / source, place / name)
    return place


@pytest.mark.parametrize("line", in_order())
def test_an_example_ends_in_yes(folder, line):
    """One after the other, as a reader would try them."""
    work = ["--work", "1"] if "--tolerance" in line else []  # else `run` takes less
    done = run(*shlex.split(line)[1:], *work, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return text


def test_the_readmes_python_runs_and_answers_yes(folder):
    line = [sys.executable, "-c", block("python")]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer, first_row, _, bound, *problem = done.stdout.splitlines()
    assert answer.startswith("yes 0.")
    assert re.fullmatch(r"\[\[ *-?[0-9.]+ *\]", first_row)
    assert re.fullmatch(r"0\.[0-9]+ True", bound)
    assert problem[0] == "certify() has no argument 'input'"
    assert "did you mean inputs?" in problem[1]


def test_the_readmes_configuration_ends_in_yes(folder):
    text = block("toml")
    (folder / "qdeploy.toml").write_text(text)
    done = run("build", "pendulum.onnx", "--config", "qdeploy.toml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tolerance  0.5 is kept" in done.stdout
