"""The layers hold, and the tool that says so would notice if they did not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIOLATIONS = [
    ("ir/box.py", "import qdeploy.proof", "A module imports only from layers below"),
    ("quantize/shortcut.py", "import qdeploy.importer", "stages never from each other"),
    ("helpers.py", "", "A module imports only from layers below"),
    ("quantize/shortcut.py", "import onnx", "onnx is known to the importer alone"),
    ("certifier/shortcut.py", "import clarabel", "solvers are known to certifier.solvers alone"),
    ("certifier/shortcut.py", "import jinja2", "jinja2 is known to generate and report alone"),
    ("deploy/shortcut.py", "import serial", "serial ports are known to deploy.links alone"),
    ("report/shortcut.py", "import subprocess", "programs are started by crossbuild, deploy and"),
    (
        "certifier/shortcut.py",
        "import distributed",
        "clusters are known to certifier.executors alone",
    ),
    ("pipeline/shortcut.py", "import rich", "click and rich are known to the command line"),
    ("ops/shortcut.py", "import scipy", "solvers are known to certifier.solvers alone"),
    ("ir/region.py", "import qdeploy.ir.request", "modules import each other in a circle"),
    ("cli/_answer.py", "import qdeploy.pipeline", "verify loads no solver and no pipeline"),
]


def lint(root):
    environment = {**os.environ, "PYTHONPATH": str(root / "toolchain")}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    return run.returncode, " ".join(run.stdout.split())


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(
        ROOT / "toolchain",
        tmp_path / "toolchain",
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_as_it_is_keeps_every_contract(copy):
    code, said = lint(copy)
    assert code == 0, said
    assert "0 broken" in said


@pytest.mark.parametrize(("file", "line", "contract"), VIOLATIONS)
def test_a_deliberate_violation_is_caught(copy, file, line, contract):
    path = copy / "toolchain" / "qdeploy" / file
    before = path.read_text() if path.exists() else '"""A module."""\n'
    path.write_text(f"{before}\n{line}\n")
    code, said = lint(copy)
    assert code != 0, said
    assert re.search(re.escape(contract) + r"((?! KEPT).)* BROKEN", said), said
