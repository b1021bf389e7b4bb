"""Python and C give equal integers: every kernel, every compiler, every level of optimisation.

The programs are quantised random networks and random programs that reach far beyond what a
quantiser makes; each runs on hundreds of vectors, the extreme codes among them.
"""

import numpy as np
import pytest
from support import batch, compilers


def test_the_programs_use_every_kernel_and_every_rounding(programs):
    kernels = {path.stem for path in (programs.folder / "runtime").glob("*.c")}
    widths = (8, 16, 32)
    weights_and_inputs = [f"qd_dense_w{w}_x{x}" for w in widths for x in widths]
    dense = {f"{wx}_y{y}_a{a}" for wx in weights_and_inputs for y in widths for a in (32, 64)}
    assert kernels == dense | {f"qd_relu_x{x}" for x in widths}
    tensors = [t for case in programs.cases for t in case.program.tensors]
    assert len({(t.rounding, t.format.container_bits) for t in tensors}) == 9


def test_the_programs_compute_something(programs):
    """Programs that saturate everywhere are in, but comparing constants shows little."""
    varied = [c for c in programs.cases if len(np.unique(c.expected, axis=0)) >= 10]
    assert len(varied) >= len(programs.cases) // 3


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("compiler", compilers.HOST)
def test_host_code_equals_python(programs, compiler, level, tmp_path):
    command = compilers.host(compiler)
    objects = programs.compile([*command, level, "-fPIC"], tmp_path / "objects")
    shared = tmp_path / "batch.so"
    batch.tool([command[0], "-shared", *objects, "-o", str(shared)])
    assert batch.differences(programs, batch.run_shared(programs, shared)) == []


@pytest.mark.parametrize("compiler", compilers.HOST)
def test_sanitizers_see_nothing(programs, compiler, tmp_path):
    """No undefined behaviour, no byte read or written beyond a table, a buffer or a vector."""
    executable = batch.sanitized(programs, compilers.host(compiler), tmp_path)
    assert batch.differences(programs, batch.run_executable(programs, executable)) == []
