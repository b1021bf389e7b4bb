"""Calling C functions of a linked image on an emulated Cortex-M core.

No board and no serial line: arguments go into registers, vectors into memory, results come back.
"""

import importlib.util

from elftools.elf.elffile import ELFFile

from support.tools import missing

CODE, RAM, DATA = 0x1_0000, 0x2000_0000, 0x3000_0000
_SPAN = 0x80_0000
_STACK_TOP = RAM + _SPAN
_RETURN = 0x8000
"""Nothing is there; a core refuses to fetch from the upper half of its memory."""


class Core:
    """A core with an image in its memory; code lies from CODE, variables from RAM."""

    def __init__(self, cpu, image):
        if importlib.util.find_spec("unicorn") is None:
            missing("the unicorn package is missing: pip install '.[run]'")
        import unicorn  # noqa: PLC0415  an extra of the package

        self._registers = unicorn.arm_const
        self._core = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
        model = f"UC_CPU_ARM_{cpu.upper().replace('-', '_')}"
        self._core.ctl_set_cpu_model(getattr(self._registers, model))
        for start in (0, RAM, DATA):
            self._core.mem_map(start, _SPAN)
        self._symbols = self._load(image)

    def _load(self, image):
        with image.open("rb") as stream:
            elf = ELFFile(stream)
            for segment in elf.iter_segments("PT_LOAD"):
                self._core.mem_write(segment["p_vaddr"], segment.data())
            table = elf.get_section_by_name(".symtab")
            return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}

    def write(self, address, data):
        self._core.mem_write(address, data)

    def read(self, address, size):
        return bytes(self._core.mem_read(address, size))

    def call(self, function, *arguments):
        """Call a function with up to four 32-bit arguments; return when it does."""
        write, registers = self._core.reg_write, self._registers
        for number, value in enumerate(arguments):
            write(getattr(registers, f"UC_ARM_REG_R{number}"), value)
        write(registers.UC_ARM_REG_SP, _STACK_TOP)
        write(registers.UC_ARM_REG_LR, _RETURN | 1)
        self._core.emu_start(self._symbols[function] | 1, _RETURN)
        assert self._core.reg_read(registers.UC_ARM_REG_PC) == _RETURN
