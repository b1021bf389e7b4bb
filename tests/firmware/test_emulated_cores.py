"""The same programs give the same integers on emulated Cortex-M cores, by gcc and by clang."""

import pytest
from support import batch, compilers, emulated
from support.tools import require_tool

_PLACES = [f"-Ttext={emulated.CODE:#x}", f"-Tbss={emulated.RAM:#x}", "-e", "batch_run"]


def link_gcc(objects, image, cpu):
    program = require_tool("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    places = [f"-Wl,{','.join(_PLACES)}"]
    core = [f"-mcpu={cpu}", "-mthumb", "-nostdlib"]
    batch.tool([program, *core, *places, *objects, "-lgcc", "-o", str(image)])


def link_clang(objects, image, cpu):
    batch.tool([*compilers.zig("ld.lld"), *_PLACES, *objects, "-o", str(image)])


LINKERS = {"gcc": link_gcc, "clang": link_clang}
COMBINATIONS = [
    ("gcc", "cortex-m0"),
    ("clang", "cortex-m3"),
    ("gcc", "cortex-m4"),
    ("clang", "cortex-m33"),
]
"""One core per instruction set; every board is tested with every compiler elsewhere."""


@pytest.mark.parametrize(("compiler", "cpu"), COMBINATIONS)
def test_a_core_equals_python(programs, compiler, cpu, tmp_path):
    objects = programs.compile([*compilers.CROSS[compiler](cpu), "-O2"], tmp_path / "objects")
    image = tmp_path / "batch.elf"
    LINKERS[compiler](objects, image, cpu)
    core = emulated.Core(cpu, image)
    assert batch.differences(programs, batch.run_core(programs, core)) == []
