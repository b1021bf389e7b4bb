"""Python and C give equal integers: every kernel, every compiler, every level of optimisation.

The programs are quantised random networks and random programs that reach far beyond what a
quantiser makes; each runs on hundreds of vectors, the extreme codes among them.
"""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy import importer, quantize
from qdeploy.fixedpoint import encode
from qdeploy.ir import Box, QuantizeRequest
from qdeploy.ops import evaluate
from support import batch, compilers
from support.models import shared_model
from support.programs import random_codes


def test_the_programs_use_every_kernel_and_every_rounding(programs):
    kernels = {path.stem for path in (programs.folder / "runtime").glob("*.c")}
    widths = (8, 16, 32)
    weights_and_inputs = [f"qd_dense_w{w}_x{x}" for w in widths for x in widths]
    dense = {f"{wx}_y{y}_a{a}" for wx in weights_and_inputs for y in widths for a in (32, 64)}
    # Products of 8 or 16 bits by 16 never need 64; neither do lines between 8-bit values.
    leaky = {f"qd_leaky_relu_x{x}_a32" for x in widths} | {"qd_leaky_relu_x32_a64"}
    kinds = [(x, y, v) for x in (8, 16) for y in widths for v in widths if v >= y]
    tables = {f"qd_table_x{x}_y{y}_v{v}_a32" for x, y, v in kinds}
    tables |= {f"qd_table_x{x}_y{y}_v32_a64" for x in (8, 16) for y in widths}
    rare = {f"qd_table_x16_y{y}_v16_a64" for y in (8, 16)}
    plain = {f"qd_{op}_x{x}" for op in ("relu", "clip") for x in widths}
    assert kernels - rare == dense | leaky | tables | plain
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
def test_short_products_equal_python(programs, compiler, tmp_path):
    """As cores without a long multiplication take them; an overflow would end the process."""
    forced = [*compilers.host(compiler), "-DQD_SHORT_PRODUCTS=1"]
    executable = batch.sanitized(programs, forced, tmp_path)
    assert batch.differences(programs, batch.run_executable(programs, executable)) == []


@pytest.mark.parametrize("compiler", compilers.HOST)
def test_sanitizers_see_nothing(programs, compiler, tmp_path):
    """No undefined behaviour, no byte read or written beyond a table, a buffer or a vector."""
    executable = batch.sanitized(programs, compilers.host(compiler), tmp_path)
    assert batch.differences(programs, batch.run_executable(programs, executable)) == []


@pytest.mark.parametrize("bits", [8, 16])
def test_a_trained_controller_with_tanh_is_bit_exact(bits, tmp_path):
    """4-64-64-1, all tanh, on its stored samples and on extreme codes."""
    path = shared_model("cartpole_tanh")
    network = importer.run(path)
    x = np.load(path.with_suffix(".samples.npz"), allow_pickle=False)["x"][:200]
    x = x.reshape(len(x), -1).astype(np.float64)
    lo, hi = (tuple(map(Fraction, end.tolist())) for end in (x.min(axis=0), x.max(axis=0)))
    program = quantize.run(network, QuantizeRequest((Box.enclosing(lo, hi),), bits=bits))
    codes = encode(x, program.input.format, program.input.rounding)
    made = batch.case(program, np.concatenate([codes, random_codes(program, 100, 1)]))
    sources = batch.write([made], tmp_path / "sources")
    executable = batch.sanitized(sources, compilers.host("gcc"), tmp_path)
    assert batch.differences(sources, batch.run_executable(sources, executable)) == []
    deviation = made.expected[: len(x)] * float(program.output.format.step) - evaluate(network, x)
    assert np.abs(deviation).max() < {8: 0.3, 16: 2e-3}[bits]
