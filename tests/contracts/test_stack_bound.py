"""The stack bound holds: painted stack below it stays untouched on an emulated core."""

import io
import struct

import pytest
from elftools.elf.elffile import ELFFile
from qdeploy import boards, crossbuild, generate
from qdeploy.crossbuild._thumb import Jump, jumps
from qdeploy.ir import SourceTree
from support import devices
from support.tools import missing

try:
    import unicorn
    from unicorn import arm_const
except ImportError:
    unicorn = None

RAM, RETURN, PAINT = 0x20000000, 0x003FFFF0, 0xA5
MODELS = {"cortex-m0": "M0", "cortex-m3": "M3", "cortex-m4": "M4"}


def measured(firmware, board, codes):
    """Bytes of stack that qd_model.run touches, at most over the vectors."""
    if unicorn is None:
        missing("unicorn is missing: pip install '.[run]'")
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
    engine.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_CORTEX_{MODELS[board.cpu]}"))
    engine.mem_map(0, 0x400000)
    engine.mem_map(RAM, 0x400000)
    elf = ELFFile(io.BytesIO(firmware.elf))
    for segment in elf.iter_segments("PT_LOAD"):
        engine.mem_write(segment["p_vaddr"], segment.data())
    run = devices.symbol(firmware.elf, "run_untyped")
    top, deepest = RAM + 0x300000, 0
    for row in codes:
        engine.mem_write(top - 4096, bytes([PAINT]) * 4096)
        engine.mem_write(RAM + 0x200000, row.tobytes())
        registers = {"R0": RAM + 0x200000, "R1": RAM + 0x210000, "SP": top, "LR": RETURN | 1}
        for name, value in registers.items():
            engine.reg_write(getattr(arm_const, f"UC_ARM_REG_{name}"), value)
        engine.emu_start(run | 1, RETURN)
        untouched = bytes(engine.mem_read(top - 4096, 4096)).lstrip(bytes([PAINT]))
        deepest = max(deepest, len(untouched))
    return deepest


@pytest.mark.parametrize("compiler", devices.ARM_COMPILERS)
@pytest.mark.parametrize("board", ["microbit", "mps2-an385", "virtual-m4"])
@pytest.mark.parametrize("seed", [3, 8, 21])
def test_no_inference_uses_more_stack_than_bounded(seed, board, compiler):
    firmware = devices.image(seed, board, compiler)
    program = devices.program(seed)
    codes = devices.vectors(program, 8).codes
    codes = codes.astype(f"<i{program.input.format.container_bits // 8}")
    used = measured(firmware, boards.load(board), codes)
    assert 0 < used <= firmware.stack_bytes <= used + 128


POINTER = b"""    void (*volatile call)(const qd_model_in_t *, qd_model_out_t *) = qd_model_run;
    if (in == 0) { call(in, out); }
"""
FALL = b"static void fall(volatile int *n) { if (*n > 0) { fall(n); *n = 1; } }\n"
CALL = b"    { volatile int n = out[0]; fall(&n); }\n"


@pytest.mark.parametrize(
    ("before", "inside"), [(b"", POINTER), (FALL, CALL)], ids=["through a pointer", "recursive"]
)
def test_no_bound_is_claimed_where_there_is_none(before, inside):
    board = boards.load("mps2-an385")
    devices.need_compiler(board, "gcc")
    tree = dict(generate.firmware(devices.program(3), board).files)
    head = b"void qd_model_run(const qd_model_in_t *in, qd_model_out_t *out)\n{\n"
    assert head in tree["model.c"]
    tree["model.c"] = tree["model.c"].replace(head, before + head + inside)
    assert crossbuild.run(SourceTree(tree), board, "gcc").stack_bytes is None


@pytest.mark.parametrize(
    ("halves", "found"),
    [
        ((0xF000, 0xF801), Jump(0x1006, is_call=True)),  # bl .+6
        ((0xF7FF, 0xFFFE), Jump(0x1000, is_call=True)),  # bl .
        ((0xF000, 0xB801), Jump(0x1006, is_call=False)),  # b.w .+6
        ((0xF43F, 0xAFFE), Jump(0x1000, is_call=False)),  # beq.w .
        ((0xE7FE,), Jump(0x1000, is_call=False)),  # b .
        ((0xD0FE,), Jump(0x1000, is_call=False)),  # beq .
        ((0x4798,), Jump(None, is_call=True)),  # blx r3
        ((0x4718,), Jump(None, is_call=False)),  # bx r3
        ((0x4770,), None),  # bx lr
        ((0xDF00,), None),  # svc
        ((0xF3BF, 0x8F4F), None),  # dsb
        ((0xBD10,), None),  # pop {r4, pc}
    ],
)
def test_branches_are_read_as_the_core_reads_them(halves, found):
    code = struct.pack(f"<{len(halves)}H", *halves)
    assert list(jumps(code, 0x1000)) == ([] if found is None else [found])
