"""Each package that qdeploy needs may be missing or damaged: it is named, with what to install."""

import re
import tomllib
from pathlib import Path

import pytest
from support.controller import run, write_controller

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = {"pyelftools": "elftools", "pyserial": "serial"}
"""Packages whose module has another name."""
UNUSED = {"clarabel"}
"""Not imported by a build that needs no such solver."""


def named(requirements):
    return [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]


NEEDED = sorted(set(named(PROJECT["dependencies"])) - UNUSED)
DAMAGE = {
    "missing": "raise ModuleNotFoundError('No module named it', name=__name__)",
    "damaged": "raise ImportError('it.so: cannot open shared object file\\nand more')",
}


@pytest.fixture
def here(tmp_path):
    write_controller(tmp_path / "controller.onnx")
    return tmp_path


def without(folder, package, damage, *more):
    """Build with a package that fails in front of the real one."""
    fake = folder / "fake" / MODULES.get(package, package)
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(DAMAGE[damage])
    line = ["build", "controller.onnx", "--inputs", "-1:1", "--work", "0", "-o", "out", *more]
    return run(*line, cwd=folder, PYTHONPATH=str(folder / "fake"))


def assert_named(process, folder, package, extra):
    assert process.returncode == 4, process.stderr
    assert "Traceback" not in process.stderr
    assert "bug in qdeploy" not in process.stderr
    assert package in process.stderr.splitlines()[0]
    assert f"pip install {extra} in the checkout of qdeploy" in process.stderr
    assert process.stdout == ""
    assert not (folder / "out").exists()


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("package", NEEDED)
def test_a_package_that_every_build_needs_is_named(here, package, damage):
    process = without(here, package, damage, "--board", "host", "--no-run")
    assert_named(process, here, package, ".")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_missing_client_of_the_cluster_is_named(here, damage):
    more = ("--board", "host", "--no-run", "--cluster", "tcp://127.0.0.1:9")
    assert_named(without(here, "distributed", damage, *more), here, "distributed", "'.[cluster]'")


def test_a_damaged_emulator_is_named(here):
    assert_named(without(here, "unicorn", "damaged"), here, "unicorn", "'.[run]'")
