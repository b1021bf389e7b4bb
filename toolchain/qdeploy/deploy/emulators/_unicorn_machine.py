"""A Cortex-M board around the Unicorn engine: memory, a CMSDK UART, and what start-up code needs.

Run as a program: `_unicorn_machine.py FACTS IMAGE`. Prints the name of the pseudo terminal that
is its UART, then emulates until it is killed. Imports nothing of qdeploy, to start quickly.

The engine has no interrupt controller and no SysTick. The firmware enables no interrupt; a fault
is delivered here as the core would deliver it, and SysTick counts instructions when asked to.
"""

import json
import os
import struct
import sys
import tty
from pathlib import Path
from typing import Any, NoReturn

try:
    from unicorn import UC_ARCH_ARM, UC_HOOK_BLOCK, UC_MODE_THUMB, arm_const
    from unicorn.unicorn import Uc, UcError
except ImportError as problem:
    sys.stderr.write(f"{problem}\n")
    sys.exit(4)  # ExitCode.MISSING, by which `unicorn.py` knows this end from all others

Engine: Any = Uc  # half of its methods have no types

MODELS = {
    "cortex-m0": (arm_const.UC_CPU_ARM_CORTEX_M0, 0x410CC200),
    "cortex-m0plus": (arm_const.UC_CPU_ARM_CORTEX_M0, 0x410CC601),
    "cortex-m3": (arm_const.UC_CPU_ARM_CORTEX_M3, 0x412FC231),
    "cortex-m4": (arm_const.UC_CPU_ARM_CORTEX_M4, 0x410FC241),
    "cortex-m7": (arm_const.UC_CPU_ARM_CORTEX_M7, 0x411FC272),
    "cortex-m33": (arm_const.UC_CPU_ARM_CORTEX_M33, 0x410FD213),
}
PAGE = 0x1000
PPB, PPB_BYTES = 0xE0000000, 0x100000
ICSR, CPUID, AIRCR = 0xE000ED04, 0xE000ED00, 0xE000ED0C
SYSTICK_CTRL, SYSTICK_VALUE = 0xE000E010, 0xE000E018
SYSTICK_RANGE, SYSTICK_WRAPPED = 0xFFFFFF, 1 << 16
UART_DATA, UART_STATE = 0x00, 0x04
NEVER = 0xFFFFFFFE
HARD_FAULT = 3
WIDE_PREFIX = 0b11101
"""Thumb instructions that begin with these five bits, or more, have a second halfword."""
STACKED = (
    arm_const.UC_ARM_REG_R0,
    arm_const.UC_ARM_REG_R1,
    arm_const.UC_ARM_REG_R2,
    arm_const.UC_ARM_REG_R3,
    arm_const.UC_ARM_REG_R12,
    arm_const.UC_ARM_REG_LR,
    arm_const.UC_ARM_REG_PC,
    arm_const.UC_ARM_REG_XPSR,
)


class Uart:
    """The CMSDK UART, its far end a pseudo terminal."""

    def __init__(self) -> None:
        self._host, self._device = os.openpty()  # the device end is held open: no hang-ups
        tty.setraw(self._device)
        self.name = os.ttyname(self._device)
        self._received = bytearray()
        self._sent = bytearray()
        self._idle_polls = 0

    def read(self, _uc: Uc, offset: int, _size: int, _data: object) -> int:
        """A register is read."""
        if offset == UART_DATA:
            self._idle_polls = 0
            return self._received.pop(0) if self._received else 0
        if offset == UART_STATE:
            return self._state()
        return 0

    def write(self, _uc: Uc, offset: int, _size: int, value: int, _data: object) -> None:
        """A register is written."""
        if offset == UART_DATA:
            self._idle_polls = 0
            self._sent.append(value & 0xFF)
            if len(self._sent) >= PAGE:
                self._flush()

    def _state(self) -> int:
        """Bit 1: a byte has come. Who asks twice in a row waits for one, so we wait for it."""
        if not self._received:
            self._idle_polls += 1
            if self._idle_polls > 1:
                self._flush()
                self._received += os.read(self._host, 1 << 16)
        return 2 if self._received else 0

    def _flush(self) -> None:
        while self._sent:
            del self._sent[: os.write(self._host, self._sent)]


class Machine:
    """One board."""

    def __init__(self, facts: dict[str, Any], image: bytes) -> None:
        model, self._cpuid = MODELS[str(facts["cpu"])]
        self._flash: int
        (self._flash, flash_bytes), (ram, ram_bytes) = facts["flash"], facts["ram"]
        self.uart = Uart()
        self._engine = Engine(UC_ARCH_ARM, UC_MODE_THUMB)
        self._engine.ctl_set_cpu_model(model)
        self._engine.mem_map(self._flash, _pages(flash_bytes), 5)  # read and execute
        self._engine.mem_map(ram, _pages(ram_bytes))
        self._engine.mmio_map(facts["uart"], PAGE, self.uart.read, None, self.uart.write, None)
        self._engine.mmio_map(PPB, PPB_BYTES, self._ppb_read, None, self._ppb_write, None)
        self._engine.mem_write(self._flash, image)
        self._instructions = self._counted_from = 0
        self._block_sizes: dict[tuple[int, int], int] = {}
        self._exception = 0
        self._reset_asked = False
        if facts["counting"]:
            self._engine.hook_add(UC_HOOK_BLOCK, self._on_block)

    def run(self) -> None:
        """Emulate until killed, or until a fault in the fault handler."""
        pc = self._reset()
        while True:
            try:
                self._engine.emu_start(pc | 1, NEVER)
            except UcError as error:
                pc = self._fault(error)
            else:
                pc = self._reset() if self._reset_asked else self._register("PC")

    def _register(self, name: str) -> int:
        return int(self._engine.reg_read(getattr(arm_const, f"UC_ARM_REG_{name}")))

    def _vector(self, number: int) -> int:
        data = bytes(self._engine.mem_read(self._flash + 4 * number, 4))
        return int(struct.unpack("<I", data)[0])

    def _reset(self) -> int:
        self._exception, self._reset_asked = 0, False
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, self._vector(0))
        return self._vector(1)

    def _fault(self, error: UcError) -> int:
        """Enter the hard fault handler; a fault inside it locks the core up."""
        place = f"pc {self._register('PC'):#010x}, lr {self._register('LR'):#010x}"
        if self._exception:
            sys.exit(f"the emulated core locked up: {error} at {place}")
        self._exception = HARD_FAULT
        frame = struct.pack("<8I", *(self._engine.reg_read(r) & 0xFFFFFFFF for r in STACKED))
        stack = self._register("SP") - len(frame)
        try:
            self._engine.mem_write(stack, frame)
        except UcError:
            sys.exit(f"the emulated core has no stack left: {error} at {place}")
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._engine.reg_write(arm_const.UC_ARM_REG_LR, 0xFFFFFFF9)
        return self._vector(HARD_FAULT)

    def _ppb_read(self, _uc: Uc, offset: int, _size: int, _data: object) -> int:
        counted = self._instructions - self._counted_from
        registers = {
            CPUID: self._cpuid,
            ICSR: self._exception,
            SYSTICK_VALUE: -counted & SYSTICK_RANGE,
            SYSTICK_CTRL: SYSTICK_WRAPPED if counted > SYSTICK_RANGE else 0,
        }
        return registers.get(PPB + offset, 0)

    def _ppb_write(self, _uc: Uc, offset: int, _size: int, _value: int, _data: object) -> None:
        if PPB + offset == SYSTICK_VALUE:
            self._counted_from = self._instructions
        elif PPB + offset == AIRCR:
            self._reset_asked = True
            self._engine.emu_stop()

    def _on_block(self, _uc: Uc, address: int, size: int, _data: object) -> None:
        """Count a whole block as it is entered.

        A reading in the middle of a block is thus ahead of the truth, and always by the same
        amount for the same instruction: it cancels where an empty function is counted too.
        """
        key = (address, size)
        if key not in self._block_sizes:
            self._block_sizes[key] = count_thumb(bytes(self._engine.mem_read(address, size)))
        self._instructions += self._block_sizes[key]


def count_thumb(code: bytes) -> int:
    """Instructions in Thumb code, most of which are one halfword."""
    count = position = 0
    while position < len(code):
        wide = code[position + 1] >> 3 >= WIDE_PREFIX
        position += 4 if wide else 2
        count += 1
    return count


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def refuse(why: str) -> NoReturn:
    """End, because the facts make no board; the status is ExitCode.BAD_INPUT."""
    sys.stderr.write(f"{why}\n")
    sys.exit(3)


def main() -> None:
    """Read the facts, say where the UART is, run."""
    facts = json.loads(sys.argv[1])
    if facts["cpu"] not in MODELS:
        refuse(f"it knows no {facts['cpu']}")
    try:
        machine = Machine(facts, Path(sys.argv[2]).read_bytes())
    except UcError as error:
        refuse(f"its memory and its UART cannot be laid out: {error}")
    sys.stdout.write(f"{machine.uart.name}\n")
    sys.stdout.flush()
    machine.run()


if __name__ == "__main__":
    main()
