"""This computer: the library as a shared object, called through ctypes. No wire, no counter."""

import _ctypes
import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from qdeploy import scratch
from qdeploy.boards import Board
from qdeploy.deploy._protocol import Answers, Device, Endpoint, Timing
from qdeploy.ir import DeviceIdentity, Firmware


class _ModelInfo(ctypes.Structure):
    """qd_model_info of firmware/include/qd_model.h."""

    _fields_ = [  # type: ignore[mutable-override]  # a list, says ctypes
        ("abi", ctypes.c_uint16),
        ("in_bytes", ctypes.c_uint8),
        ("out_bytes", ctypes.c_uint8),
        ("n_in", ctypes.c_uint16),
        ("n_out", ctypes.c_uint16),
        ("in_fb", ctypes.c_int16),
        ("out_fb", ctypes.c_int16),
        ("digest", ctypes.c_uint8 * 32),
        ("run", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)),
    ]


class HostDevice:
    """A loaded library."""

    def __init__(self, library: ctypes.CDLL, model: str, compiler: str) -> None:
        self.retries = 0
        self._model = _ModelInfo.in_dll(library, model)
        self._compiler = compiler

    def identify(self) -> DeviceIdentity:
        """Read the model's own description."""
        model = self._model
        return DeviceIdentity(
            program_digest=bytes(model.digest).hex(),
            abi=model.abi,
            core=platform.machine(),
            clock_hz=0,
            compiler=self._compiler,
            n_in=model.n_in,
            n_out=model.n_out,
            counter="none",
        )

    def infer(self, codes: NDArray[np.int64]) -> Answers:
        """Call the library once a vector."""
        model = self._model
        inputs = np.ascontiguousarray(codes, dtype=f"i{model.in_bytes}")
        if inputs.shape != (len(codes), model.n_in) or not np.array_equal(inputs, codes):
            raise ValueError(f"codes of shape {codes.shape} do not suit {model.n_in} inputs")
        outputs = np.zeros((len(codes), model.n_out), dtype=f"i{model.out_bytes}")
        for source, target in zip(inputs, outputs, strict=True):
            model.run(source.ctypes.data, target.ctypes.data)
        return Answers(outputs.astype(np.int64), (None,) * len(codes))

    def count_loop(self, turns: int) -> int | None:
        """There is no counter."""
        del turns
        return None


class Host:
    """See the module."""

    def reaches(self, board: Board) -> bool:
        """The board without hardware of its own."""
        return board.hardware is None

    @contextmanager
    def open(self, firmware: Firmware, at: Endpoint, timing: Timing) -> Iterator[Device]:
        """Load the library, and let go of it afterwards."""
        del at, timing
        compiler = f"{firmware.compiler.name} {firmware.compiler.version}"
        with scratch.folder("host") as folder:
            path = folder / "model.so"
            path.write_bytes(firmware.elf)
            library = ctypes.CDLL(str(path))
            try:
                yield HostDevice(library, firmware.model_symbol, compiler)
            finally:
                _ctypes.dlclose(library._handle)  # noqa: SLF001  ctypes has no other way

    def find(self, board: Board) -> str | None:
        """It is always there."""
        del board
        return "host"


LINK = Host()
