"""Programs, images and vectors for the tests that need a device."""

import io
from functools import cache

import numpy as np
import serial
from elftools.elf.elffile import ELFFile
from qdeploy import boards, crossbuild, deploy, generate
from qdeploy.deploy._members import known_emulators
from qdeploy.deploy._run import reached
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import (
    Accumulator,
    FixedArray,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    SourceTree,
    Tensor,
    Vectors,
)
from qdeploy.ops import execute

from support.programs import random_codes, random_program
from support.tools import missing

FAST = deploy.Timing(hello_s=2.0, reply_s=0.2, attempts=60)
"""For lines that lose bytes on purpose."""

ALL = tuple(boards.all_boards())
IMAGED = tuple(name for name, board in boards.all_boards().items() if board.hardware)
EMULATED = tuple(name for name, board in boards.all_boards().items() if board.emulator)
TIMED = tuple(
    name
    for name, board in boards.all_boards().items()
    if board.emulator and known_emulators()[board.emulator.tool].keeps_time
)
"""Boards whose counter depends on the clock that is stated."""
ARM_COMPILERS = ("clang", "gcc")
HOST_COMPILERS = ("clang", "gcc", "system_clang")

CRASHING_RUN = b"""
static void run_untyped(const void *in, void *out)
{
    (void)in;
    (void)out;
    *(volatile int *)0xDEAD0000u = 1;
}
"""


def wide_program(n_in=640, n_out=40):
    """32-bit inputs of several kilobytes a vector: y_i = (x_i - x_(i+1)) / 2."""
    weight = np.zeros((n_out, n_in), dtype=np.int64)
    for row in range(n_out):
        weight[row, row], weight[row, row + 1] = 1, -1
    x = FixedTensor(Tensor("input", (n_in,)), QFormat(2, 30), Rounding.NEAREST)
    y = FixedTensor(Tensor("dense_1", (n_out,)), QFormat(2, 22), Rounding.FLOOR)
    arrays = {
        "weight": FixedArray(weight, QFormat(2, 1)),
        "bias": FixedArray(np.zeros(n_out), QFormat(33, 31)),
    }
    integers = {"shift": 9, "clamp_lo": -(1 << 23), "clamp_hi": (1 << 23) - 1}
    node = FixedNode(
        "dense_1", "dense", ("input",), "dense_1", arrays, integers, Accumulator(64, 31, 1 << 32)
    )
    return FixedNetwork("wide", ("input",), ("dense_1",), (x, y), (node,))


@cache
def program(name):
    """`wide`, or a random one by its seed."""
    return wide_program() if name == "wide" else random_program(name)


@cache
def image(name, board, compiler=None):
    """Build a program for a board, once a test session."""
    return build(program(name), boards.load(board), compiler)


def build(fixed, board, compiler=None):
    """Build; the test says what to install where the compiler is missing."""
    need_compiler(board, compiler)
    return crossbuild.run(generate.firmware(fixed, board), board, compiler)


def crashing_image(board):
    """An image whose model writes where nothing is."""
    tree = dict(generate.firmware(random_program(3), board).files)
    start = tree["model.c"].index(b"static void run_untyped")
    end = tree["model.c"].index(b"const qd_model_info qd_model =")
    tree["model.c"] = tree["model.c"][:start] + CRASHING_RUN + tree["model.c"][end:]
    return crossbuild.run(SourceTree(tree), board)


def need_compiler(board, compiler):
    target = "host" if board.hardware is None else "arm"
    rows = [row for row in crossbuild.status() if row.target == target]
    wanted = [row for row in rows if compiler in (None, row.name)]
    if not any(row.version for row in wanted):
        missing(f"no compiler for {board.name}: {wanted[0].fix}")


def need_emulator(board):
    for row in deploy.status():
        if board.emulator and row.name == board.emulator.tool and row.version is None:
            missing(f"{row.name} is missing: {row.fix}")


def vectors(fixed, count=256, seed=1):
    """Corners and random codes, with what the Python model makes of them."""
    codes = random_codes(fixed, count, seed)
    x = np.ldexp(codes.astype(np.float64), -fixed.input.format.fb)
    return Vectors(x, codes, execute(fixed, codes))


def device(name, board, compiler=None, timing=deploy.Timing()):  # noqa: B008
    """Open the board's device with a program on it, as a context."""
    loaded = boards.load(board)
    need_emulator(loaded)
    return reached(image(name, board, compiler), loaded, None, timing)


def symbol(elf, name):
    """Address of a symbol, without the Thumb bit."""
    table = ELFFile(io.BytesIO(elf)).get_section_by_name(".symtab")
    return table.get_symbol_by_name(name)[0]["st_value"] & ~1


class FaultyPort:
    """A pyserial port on a line that loses, doubles and flips bytes, both ways, from a seed."""

    def __init__(self, port, rng, rate):
        self._port = port
        self._rng = rng
        self._rate = rate
        self.damaged = 0

    def _spoil(self, data):
        out = bytearray()
        for byte in data:
            if self._rng.random() >= self._rate:
                out.append(byte)
                continue
            self.damaged += 1
            kind = self._rng.randrange(4)
            if kind == 0:
                out += bytes([byte, byte])
            elif kind == 1:
                out.append(byte ^ 1 << self._rng.randrange(8))
            elif kind == 2:
                out += bytes([byte, self._rng.randrange(256)])
        return bytes(out)

    def write(self, data):
        return self._port.write(self._spoil(data))

    def read(self, size):
        return self._spoil(self._port.read(size))

    @property
    def in_waiting(self):
        return self._port.in_waiting

    @property
    def timeout(self):
        return self._port.timeout

    @timeout.setter
    def timeout(self, value):
        self._port.timeout = value


def open_port(address):
    return serial.Serial(address, timeout=0.05, exclusive=True)
