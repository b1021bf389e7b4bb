"""Nothing reads a file of somebody's but the one package that expects anything of it."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "toolchain" / "qdeploy"
METHODS = frozenset(["read_bytes", "read_text"])
PARSERS = {
    "json": {"load", "loads"},
    "np": {"load", "loadtxt", "genfromtxt", "fromfile", "memmap"},
    "os": {"open", "fdopen"},
    "tomllib": {"load", "loads"},
    "zipfile": {"ZipFile"},
}
MODE = re.compile(r"[rbt+]*r[rbt+]*")
OURS = {
    # What comes with qdeploy, or a tool just wrote into a folder of our own; pipes and locks.
    "certifier/executors/_worker.py",
    "cli/_shell.py",
    "crossbuild/_build.py",
    "crossbuild/_stack.py",
    "deploy/emulators/_child.py",
    "deploy/emulators/_unicorn_machine.py",
    "generate/firmware.py",
    "generate/library.py",
    "scratch.py",
}


def is_reading(call):
    """Whether a call opens a file to read it, reads it, or parses what it holds."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open"
    if not isinstance(call.func, ast.Attribute):
        return False
    name, owner = call.func.attr, getattr(call.func.value, "id", "")
    given = [*call.args, *(k.value for k in call.keywords)]
    modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    opens = name == "open" and any(map(MODE.fullmatch, modes))
    return name in METHODS or name in PARSERS.get(owner, ()) or opens


def reads(path):
    calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    return any(map(is_reading, calls))


def test_only_one_package_reads_what_a_user_names():
    found = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if reads(p)}
    own = {f"reading/{name}.py" for name in ("arrays", "documents", "files")}
    assert found == own | OURS


@pytest.mark.parametrize(
    "call",
    ["open('x')", "p.open('rb')", "p.read_text()", "np.load(p)", "json.loads(t)", "os.open(p, 0)"],
)
def test_such_calls_are_noticed(tmp_path, call):
    (tmp_path / "x.py").write_text(call)
    assert reads(tmp_path / "x.py")


@pytest.mark.parametrize("call", ["read_bytes(p, KIND)", "link.open(firmware, at)", "p.open('wb')"])
def test_other_calls_are_not(tmp_path, call):
    (tmp_path / "x.py").write_text(call)
    assert not reads(tmp_path / "x.py")
