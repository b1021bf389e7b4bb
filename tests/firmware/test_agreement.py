"""Python and C give equal integers: every kernel, every compiler, every level of optimisation.

The programs are random and reach far beyond what a quantiser makes (support.programs); each
runs on hundreds of vectors, the extreme codes among them.
"""

import numpy as np
import pytest
from support import batch
from support.programs import random_codes, random_program
from support.tools import require_tool

PROGRAMS = 320
VECTORS = 200
COMPILERS = {"gcc": "gcc", "clang": "clang"}
"""Compiler -> Debian package."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    made = [random_program(seed) for seed in range(PROGRAMS)]
    cases = [batch.case(p, random_codes(p, VECTORS, seed)) for seed, p in enumerate(made)]
    return batch.write(cases, tmp_path_factory.mktemp("batch") / "sources")


def test_the_random_programs_use_every_kernel_and_every_rounding(programs):
    kernels = {path.stem for path in (programs.folder / "runtime").glob("*.c")}
    widths = (8, 16, 32)
    dense = {
        f"qd_dense_w{w}_x{x}_y{y}_a{a}" for w in widths for x in widths for y in widths
        for a in (32, 64)
    }  # fmt: skip
    assert kernels == dense | {f"qd_relu_x{x}" for x in widths}
    modes = {
        (t.rounding, t.format.container_bits) for c in programs.cases for t in c.program.tensors
    }
    assert len(modes) == 9


def test_the_random_programs_compute_something(programs):
    """Programs that saturate everywhere are in, but comparing constants shows little."""
    varied = [c for c in programs.cases if len(np.unique(c.expected, axis=0)) >= 10]
    assert len(varied) >= PROGRAMS // 3


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_host_code_equals_python(programs, compiler, level, tmp_path):
    command = [require_tool(compiler, COMPILERS[compiler]), *batch.STRICT, level, "-fPIC"]
    objects = programs.compile(command, tmp_path / "objects")
    shared = tmp_path / "batch.so"
    batch.tool([command[0], "-shared", *objects, "-o", str(shared)])
    assert batch.differences(programs, batch.run_shared(programs, shared)) == []


@pytest.mark.parametrize("compiler", COMPILERS)
def test_sanitizers_see_nothing(programs, compiler, tmp_path):
    """No undefined behaviour, no byte read or written beyond a table, a buffer or a vector."""
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
    command = [require_tool(compiler, COMPILERS[compiler]), *batch.STRICT, *sanitize]
    objects = programs.compile(command, tmp_path / "objects")
    main = [str(programs.folder / "main.c"), "-I", str(programs.folder)]
    include = ["-I", str(programs.folder / "runtime")]
    executable = tmp_path / "batch"
    batch.tool([command[0], *sanitize, *main, *include, *objects, "-o", str(executable)])
    assert batch.differences(programs, batch.run_executable(programs, executable)) == []
