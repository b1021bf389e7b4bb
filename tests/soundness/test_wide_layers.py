"""Wide layers are bounded in little memory: everything works in tiles, and weights alone count.

A layer of 8 000 inputs or outputs stands for one of 30 000, which takes four times as long and has
to stay below 1 GiB: 256 MiB here. One matrix of 8 000 x 8 000 would take twice that.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from qdeploy import importer
from qdeploy.certifier.plan import _Sizes
from support.controller import write_dense_chain

PROBE = """
import sys
from qdeploy.cli import main
code = main(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(status["VmHWM"].split()[0], file=sys.stderr)
sys.exit(code)
"""
LIMIT = 256 << 20
WIDE = 8000


def run(*line: str | Path) -> tuple[dict, int]:
    """Run qdeploy in a process of its own; return what it printed and the most bytes it held.

    Not `ru_maxrss`: Linux lets a process inherit that of the one which started it.
    """
    process = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, line), "--json"],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout), 1024 * int(process.stderr.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is of Linux")
@pytest.mark.parametrize("widths", [(WIDE, 1), (1, WIDE)])
def test_a_wide_layer_is_bounded_and_checked_in_little_memory(
    tmp_path: Path, widths: tuple[int, int]
) -> None:
    model, made = write_dense_chain(tmp_path / "m.onnx", widths), tmp_path / "c.json"
    line = ("--inputs=-1:1", "--work", "0.1", "--jobs", "1", "-o", made)
    said, taken = run("certify", model, *line)
    assert 0 < said["certificate"]["linf"] < 0.05
    assert taken < LIMIT
    assert taken < _Sizes.of(importer.run(model), None).process_bytes
    checked, taken = run("verify", made, "--model", model)
    assert checked["linf"] == said["certificate"]["linf"]
    assert taken < LIMIT
