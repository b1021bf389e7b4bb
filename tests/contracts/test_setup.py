"""Set-up says what is missing, and under CI=true never passes with a part of the tests left out."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = ("help", "demo", "test", "check", "bench", "coverage", "clean")


def tools(action, **environment):
    """Run .ci/tools where no program can be found."""
    bare = {"PATH": "/nonexistent", **environment}
    line = ["/bin/sh", str(ROOT / ".ci" / "tools"), action]
    return subprocess.run(line, env=bare, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_missing_tools_are_named_and_fail_only_in_ci(environment, code):
    run = tools("report", **environment)
    assert run.returncode == code
    for package in ("gcc", "clang", "cmake", "gcc-arm-none-eabi", "qemu-system-arm"):
        assert re.search(rf"apt-get install .*\b{package}\b", run.stderr)


def test_without_root_or_apt_nothing_is_installed():
    run = tools("install")
    assert (run.returncode, run.stdout) == (0, "")


def test_help_names_every_target():
    line = ["make", "-s", "-C", str(ROOT), "help"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert tuple(re.findall(r"^  make (\w+) +\S", said, re.MULTILINE)) == TARGETS


def test_ci_runs_check_and_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make (\w+)$", script.read_text(), re.MULTILINE) == ["check", "test"]
