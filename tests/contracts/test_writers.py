"""Nothing in the program writes a file but the one place that spares what is not ours."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "toolchain" / "qdeploy"
WRITING = frozenset(
    [
        "write_bytes",
        "write_text",
        "mkdir",
        "mkdtemp",
        "mkstemp",
        "rename",
        "touch",
        "unlink",
        "rmdir",
        "rmtree",
        "symlink_to",
        "hardlink_to",
        "copytree",
        "move",
        "savez",
        "savez_compressed",
        "TemporaryDirectory",
        "NamedTemporaryFile",
    ]
)
MODE = re.compile(r"[rwaxbt+]{1,3}")
ALLOWED = {
    "pipeline/artifacts.py": {"write_bytes", "mkdir", "rename"},
    # These write into folders of `scratch` alone.
    "scratch.py": {"mkdtemp", "rmtree"},
    "crossbuild/_build.py": {"write_bytes", "mkdir"},
    "deploy/links/host.py": {"write_bytes"},
    "deploy/emulators/qemu.py": {"write_bytes"},
    "deploy/emulators/unicorn.py": {"write_bytes"},
    "deploy/emulators/_child.py": {"open"},
}
IN_MEMORY = {"pipeline/outfolder.py": {"savez"}}
PIPES = {"certifier/executors/_worker.py": {"fdopen"}}


def writes(path):
    """Calls in a module that may write to the disk, by their names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
        modes += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
        texts = [m for m in modes if isinstance(m, str) and MODE.fullmatch(m)]
        to_write = any(set("wax+") & set(m) for m in texts)
        if name in WRITING or (name in ("open", "fdopen") and to_write):
            found.add(name)
    return found


def test_only_one_module_writes_what_a_user_gets():
    known = {**ALLOWED, **IN_MEMORY, **PIPES}
    found = {str(p.relative_to(PACKAGE)): writes(p) for p in PACKAGE.rglob("*.py")}
    assert {name: calls for name, calls in found.items() if calls} == known


def test_such_calls_are_noticed(tmp_path):
    (tmp_path / "x.py").write_text("from pathlib import Path\nPath('file').open('wb').write(b'')\n")
    assert writes(tmp_path / "x.py") == {"open"}
    (tmp_path / "x.py").write_text("import shutil\nshutil.move('a', 'b')\nopen('file', mode='r')\n")
    assert writes(tmp_path / "x.py") == {"move"}
