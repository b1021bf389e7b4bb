"""What holds for every compiler: equal sources give equal bytes, and what is missing is named."""

import re
import sys
from dataclasses import replace

import pytest
from qdeploy import boards, crossbuild, generate
from qdeploy.crossbuild._select import toolchain
from qdeploy.diagnostics import ExitCode, InputError, MissingToolError, UsageError
from qdeploy.ir import SourceTree, program_digest
from support import devices

CORES = sorted({boards.load(name).cpu for name in devices.ALL})
PAIRS = [
    (name, cpu)
    for name, compiler in crossbuild.known_compilers().items()
    for cpu in CORES
    if compiler.targets(cpu)
]


@pytest.mark.parametrize(("name", "cpu"), PAIRS)
def test_an_image_depends_on_its_sources_alone(name, cpu, monkeypatch, tmp_path):
    """Not on the folder, the environment, or what was built before."""
    board = next(b for b in boards.all_boards().values() if b.cpu == cpu)
    first = devices.build(devices.program(8), board, name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CPATH", str(tmp_path))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.chdir(tmp_path)
    second = devices.build(devices.program(8), board, name)
    assert (first.elf, first.hex, first.bin) == (second.elf, second.hex, second.bin)
    for text in (b"/tmp", b"/home", b"/work", b"qdeploy-build"):
        assert text not in first.elf
    assert first.program_digest == program_digest(devices.program(8))
    assert first.compiler.name == name
    assert re.match(r"\d+\.\d+", first.compiler.version)
    assert not any("/" in flag for flag in first.compiler.flags)


def test_the_default_compiler_comes_from_pypi():
    devices.need_compiler(boards.load("virtual-m4"), "clang")
    assert devices.image(3, "virtual-m4").compiler.name == "clang"


def test_warnings_are_errors():
    """What we generate and write is built under every warning the house has."""
    board = boards.load("virtual-m4")
    tree = dict(generate.firmware(devices.program(3), board).files)
    tree["qd_serial.c"] += b"\nint qd_undeclared(void) { return 0; }\n"
    for name in devices.ARM_COMPILERS:
        devices.need_compiler(board, name)
        with pytest.raises(RuntimeError, match="qd_undeclared"):
            crossbuild.run(SourceTree(tree), board, name)


@pytest.mark.parametrize("name", devices.ARM_COMPILERS)
@pytest.mark.parametrize(("region", "kind"), [("flash", "flash"), ("ram", "RAM")])
def test_a_program_that_does_not_fit_is_told_by_how_much(name, region, kind):
    board = boards.load("mps2-an385")
    devices.need_compiler(board, name)
    memory = replace(getattr(board.hardware, region), bytes=2048)
    small = replace(board, hardware=replace(board.hardware, stack_bytes=1024, **{region: memory}))
    with pytest.raises(InputError) as caught:
        devices.build(devices.program("wide"), small, name)
    wanted = rf"needs at least (\d+) bytes of {kind}, and there are 2048"
    found = re.search(wanted, str(caught.value))
    assert found
    assert 2048 < int(found[1]) < 262144
    assert "--bits 8" in caught.value.fix


def test_an_unknown_compiler_is_refused():
    with pytest.raises(UsageError) as caught:
        crossbuild.run(SourceTree({}), boards.load("microbit"), "tcc")
    assert "no compiler 'tcc' builds for cortex-m0" in str(caught.value)
    assert "clang, gcc" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "cpu", "fix"),
    [
        ("clang", "cortex-m4", "pip install '.[run]' in the checkout of qdeploy"),
        ("gcc", "cortex-m4", "apt install gcc-arm-none-eabi"),
        ("gcc", "host", "apt install gcc"),
        ("system_clang", "host", "apt install clang"),
        (None, "cortex-m4", "pip install '.[run]' in the checkout of qdeploy"),
    ],
)
def test_a_missing_compiler_says_what_to_install(name, cpu, fix, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    clang = sys.modules["qdeploy.crossbuild.compilers.clang"]
    monkeypatch.setattr(clang, "_bundle", lambda: None)
    with pytest.raises(MissingToolError) as caught:
        toolchain(cpu, name)
    assert caught.value.fix == fix
    assert "is not installed" in str(caught.value)
    assert caught.value.exit_code is ExitCode.MISSING
    assert all(row.version is None and row.fix for row in crossbuild.status())


def test_status_lists_every_compiler_for_what_it_builds():
    rows = {(row.target, row.name) for row in crossbuild.status()}
    assert rows == {
        ("arm", "clang"),
        ("arm", "gcc"),
        ("host", "clang"),
        ("host", "gcc"),
        ("host", "system_clang"),
    }
