"""A generated library compiles as it is: strictly, everywhere, and only where it belongs."""

import platform

import pytest
from qdeploy import generate
from support import batch, compilers
from support.programs import random_program
from support.tools import require_tool

LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
ZIG_HOST = [f"--target={platform.machine()}-linux-gnu", *compilers.STRICT]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The files of a program with several layers and containers, as a user gets them."""
    return written(random_program(71), tmp_path_factory.mktemp("library"))


def written(program, home):
    for name, content in generate.library(program).files.items():
        (home / name).write_bytes(content)
    return home


def compile_all(command, library, build):
    """Compile every source file; return the objects. A warning is an error."""
    build.mkdir(exist_ok=True)
    objects = []
    for source in sorted(library.glob("*.c")):
        objects.append(str(build / f"{source.stem}.o"))
        batch.tool([*command, "-c", str(source), "-o", objects[-1]])
    return objects


def undefined_symbols(objects, nm):
    """Return what the objects need and none of them has."""
    lines = batch.tool([nm, *objects]).decode().splitlines()
    symbols = [line.split()[-2:] for line in lines if line.strip() and not line.endswith(":")]
    return {name for kind, name in symbols if kind == "U"} - {n for k, n in symbols if k != "U"}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("compiler", [*compilers.HOST, "zig clang"])
def test_the_library_stands_alone_on_the_host(library, compiler, level, tmp_path):
    zig = compiler == "zig clang"
    command = [*compilers.zig_host(), *ZIG_HOST] if zig else compilers.host(compiler)
    objects = compile_all([*command, level], library, tmp_path)
    assert undefined_symbols(objects, require_tool("nm", "binutils")) == set()


@pytest.mark.parametrize("cpu", compilers.CORES)
@pytest.mark.parametrize("compiler", compilers.CROSS)
def test_the_library_compiles_for_every_core(library, compiler, cpu, tmp_path):
    for level in ("-O0", "-O2", "-Os"):
        compile_all([*compilers.CROSS[compiler](cpu), level], library, tmp_path)


@pytest.mark.parametrize("compiler", compilers.CROSS)
def test_an_accumulator_of_32_bits_needs_no_help_on_the_smallest_core(programs, compiler, tmp_path):
    """No kernel with a 32-bit sum calls a 64-bit helper: the proof of the width pays off there."""
    kernels = sorted((programs.folder / "runtime").glob("qd_*_a32.c"))
    assert {op: sum(f"qd_{op}_" in k.name for k in kernels) for op in ("dense", "leaky_relu")} == {
        "dense": 27,
        "leaky_relu": 3,
    }
    unit = tmp_path / "kernels.c"
    unit.write_text("".join(f'#include "{path}"\n' for path in kernels))
    command = [*compilers.CROSS[compiler]("cortex-m0"), "-I", str(batch.FIRMWARE / "include")]
    for level in LEVELS:
        batch.tool([*command, level, "-c", str(unit), "-o", str(tmp_path / "kernels.o")])
        nm = require_tool("arm-none-eabi-nm", "binutils-arm-none-eabi")
        assert undefined_symbols([str(tmp_path / "kernels.o")], nm) == set(), level


@pytest.mark.parametrize("compiler", compilers.CROSS)
def test_codes_of_16_bits_need_no_long_product_on_the_smallest_core(programs, compiler, tmp_path):
    """Only the sum is long there, and the products of wider codes."""
    kernels = sorted((programs.folder / "runtime").glob("qd_dense_*_a64.c"))
    short = [k for k in kernels if "_w32" not in k.name and "_x32" not in k.name]
    assert (len(kernels), len(short)) == (27, 12)
    command = [*compilers.CROSS[compiler]("cortex-m0"), "-I", str(batch.FIRMWARE / "include")]
    nm = require_tool("arm-none-eabi-nm", "binutils-arm-none-eabi")
    for level in LEVELS:
        assert _multiplies(command, short, level, nm, tmp_path) is False
    rest = sorted(set(kernels) - set(short))
    assert _multiplies(command, rest, "-O2", nm, tmp_path) is True


@pytest.mark.parametrize("cpu", [*compilers.CORES, "cortex-m0plus", "cortex-m23", "cortex-m55"])
@pytest.mark.parametrize("compiler", compilers.CROSS)
def test_only_cores_without_a_long_product_take_short_ones(compiler, cpu, tmp_path):
    """The others multiply and add in one instruction, which short products would take from them."""
    (tmp_path / "x.c").write_text('#include "qd_dense.h"\nVALUE QD_SHORT_PRODUCTS\n')
    include = ["-I", str(batch.FIRMWARE / "include")]
    command = [*compilers.CROSS[compiler](cpu), *include, "-E", str(tmp_path / "x.c")]
    said = batch.tool(command).decode().split("VALUE ")[1].strip()
    assert said == str(int(cpu in ("cortex-m0", "cortex-m0plus", "cortex-m23")))


def _multiplies(command, kernels, level, nm, folder):
    """Whether any of the kernels calls the long multiplication."""
    unit, target = folder / "kernels.c", str(folder / "kernels.o")
    unit.write_text("".join(f'#include "{path}"\n' for path in kernels))
    batch.tool([*command, level, "-c", str(unit), "-o", target])
    return "__aeabi_lmul" in undefined_symbols([target], nm)


USER_CPP = """\
#include "model.h"
#include "model.h"
static_assert(sizeof(qd_model_in_t) > 0 && QD_MODEL_IN_MIN < QD_MODEL_IN_MAX, "usable in C++");
int main()
{
    qd_model_in_t in[QD_MODEL_N_IN] = {};
    qd_model_out_t direct[QD_MODEL_N_OUT] = {};
    qd_model_out_t by_info[QD_MODEL_N_OUT] = {};
    qd_model_run(in, direct);
    qd_model.run(in, by_info);
    for (int i = 0; i < QD_MODEL_N_OUT; i++) {
        if (direct[i] != by_info[i]) {
            return 1;
        }
    }
    return qd_model.abi == QD_ABI && qd_model.n_out == QD_MODEL_N_OUT ? 0 : 1;
}
"""


def test_a_cpp_program_can_use_it(library, tmp_path):
    objects = compile_all(compilers.host("clang"), library, tmp_path / "objects")
    (tmp_path / "user.cpp").write_text(USER_CPP)
    clang = require_tool("clang", "clang")
    cpp = [clang, "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    user = str(tmp_path / "user.o")
    batch.tool([*cpp, "-I", str(library), "-c", str(tmp_path / "user.cpp"), "-o", user])
    batch.tool([clang, user, *objects, "-o", str(tmp_path / "user")])
    batch.tool([str(tmp_path / "user")])


REFUSALS = {
    "another ABI": ("qd_model.h", "#define QD_ABI 1", "#define QD_ABI 2", "generated for QD_ABI 1"),
    "another packing": (
        "qd_dense.h",
        "#define QD_DENSE_PACKING QD_PACKING_ROWS",
        "#define QD_DENSE_PACKING 2",
        "weights are stored row by row",
    ),
}


@pytest.mark.parametrize("change", REFUSALS)
@pytest.mark.parametrize("compiler", compilers.HOST)
def test_tables_for_another_runtime_do_not_compile(compiler, change, tmp_path):
    name, before, after, complaint = REFUSALS[change]
    library = written(random_program(71), tmp_path)
    text = (library / name).read_text()
    assert before in text
    (library / name).write_text(text.replace(before, after))
    command = compilers.host(compiler)
    with pytest.raises(AssertionError, match=complaint):
        batch.tool([*command, "-c", str(library / "model.c"), "-o", str(tmp_path / "model.o")])
