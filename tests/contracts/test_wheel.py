"""An installed wheel works without a checkout, a compiler or the run extra."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.controller import write_controller

ROOT = Path(__file__).parents[2]

HIDE_RUN_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(("ziglang", "unicorn", "capstone")))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked as pip would, on a path before the checkout's."""
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    (folder / "site" / "sitecustomize.py").write_text(HIDE_RUN_EXTRA)
    write_controller(folder / "controller.onnx")
    return folder


def qdeploy(installed, *arguments):
    """Run the wheel's qdeploy with an empty PATH: no compiler, no emulator."""
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "PATH": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-m", "qdeploy", *arguments],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_wheel_is_what_runs(installed):
    line = [sys.executable, "-c", "import qdeploy; print(qdeploy.__file__)"]
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}
    run = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(installed / "site" / "qdeploy" / "__init__.py")


def test_the_wheel_carries_templates_firmware_boards_and_licence(installed):
    (wheel,) = installed.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("templates/model.c.j2", "firmware/include/qd_model.h", "boards/host/board.toml"):
        assert f"qdeploy/_data/{part}" in names
    assert "qdeploy/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["inspect", "controller.onnx"], 0, "17 parameters"),
        (["boards"], 0, "virtual-m4"),
        (["doctor"], 4, "CANNOT be built"),
    ],
)
def test_what_needs_no_compiler_works(installed, line, code, said):
    process = qdeploy(installed, *line)
    assert (process.returncode, process.stderr) == (code, "")
    assert said in process.stdout


def test_a_certificate_is_made_and_checked(installed):
    process = qdeploy(installed, "certify", "controller.onnx", "--inputs", "-1:1", "--work", "0.2")
    assert "|device - network| <= " in process.stdout, process.stderr
    process = qdeploy(installed, "verify", "certificate.json", "--model", "controller.onnx")
    assert process.stdout.startswith("proven"), process.stderr


def test_what_needs_one_says_which_package_to_install(installed):
    process = qdeploy(installed, "build", "controller.onnx", "--inputs", "-1:1", "--work", "0.2")
    assert process.returncode == 4
    assert "pip install '.[run]'" in process.stderr.split("fix:")[1]
    assert not (installed / "build-virtual-m4").exists()
