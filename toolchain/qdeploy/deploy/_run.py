"""Running vectors on a board: start or find it, make sure it is the right program, exchange."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from qdeploy.boards import Board
from qdeploy.deploy._members import emulator, link
from qdeploy.deploy._protocol import ConnectionLostError, Device, Timing
from qdeploy.deploy.identity import CYCLES, TICKS
from qdeploy.deploy.links.serial_port import answering
from qdeploy.diagnostics import MissingToolError, RefusedError
from qdeploy.ir import DeviceIdentity, Firmware, Trace, Vectors

_DEFAULT_TIMING = Timing()


def run(
    firmware: Firmware,
    board: Board,
    vectors: Vectors,
    *,
    port: str | None = None,
    timing: Timing = _DEFAULT_TIMING,
) -> Trace:
    """Run every vector on the board and return what it answered.

    With a port, the device there; else the board's emulator, or the attached board.

    Raises:
        MissingToolError: no emulator, no device, or it is silent, crashed or went away.
        RefusedError: the device runs another program.
    """
    with reached(firmware, board, port, timing) as device:
        identity = checked_identity(device, firmware)
        answers = device.infer(vectors.codes)
        counts = [count for count in answers.counts if count is not None]
        retries = device.retries
    counted = None
    if port is None and len(vectors.codes) and identity.counter == TICKS:
        counted = _count(firmware, board, vectors.codes[:1], timing)
    return Trace(
        link=_link_name(board, port),
        identity=identity,
        outputs=answers.outputs,
        cycles=max(counts) if counts and identity.counter == CYCLES else None,
        instructions=counted,
        retries=retries,
    )


def identify(port: str, timing: Timing = _DEFAULT_TIMING) -> DeviceIdentity:
    """Ask the device at a serial port what it is.

    Raises:
        MissingToolError: the port cannot be opened, or nobody answers there.
    """
    with answering(port, timing) as device:
        return device.identify()


def checked_identity(device: Device, firmware: Firmware) -> DeviceIdentity:
    """Return the device's identity.

    Raises:
        RefusedError: it does not run the firmware's program.
    """
    identity = device.identify()
    if identity.program_digest != firmware.program_digest:
        raise RefusedError(
            f"the device runs another program: its digest is {identity.program_digest[:16]}..., "
            f"expected {firmware.program_digest[:16]}...",
            fix="write OUT/firmware/firmware.hex of this build to the board",
        )
    return identity


@contextmanager
def reached(
    firmware: Firmware, board: Board, port: str | None, timing: Timing, *, counting: bool = False
) -> Iterator[Device]:
    """Open the device at `port`, or the board's emulator, or the attached board."""
    if port is not None or board.emulator is None:
        address = port or _attached(board)
        with link(board).open(firmware, address, timing) as device:
            yield device
        return
    tool = emulator(board)
    with tool.start(firmware, board, counting=counting) as running:
        try:
            with link(board).open(firmware, running.address, timing) as device:
                yield device
        except ConnectionLostError as error:
            raise MissingToolError(
                f"the emulator {board.emulator.tool} stopped: {running.last_words()}",
                fix="run it again; if it happens again, report it as a bug",
            ) from error


def _attached(board: Board) -> str:
    address = link(board).find(board)
    if address is None:
        raise MissingToolError(
            f"no {board.title} is attached" if board.usb else f"{board.title} needs a port",
            fix="write OUT/firmware/firmware.hex to the board and name its port with --port",
        )
    return address


def _count(
    firmware: Firmware, board: Board, codes: NDArray[np.int64], timing: Timing
) -> int | None:
    """Instructions of one inference, from a second, slower run whose time is exact."""
    with reached(firmware, board, None, timing, counting=True) as device:
        (ticks,) = device.infer(codes).counts
    # The empty function that was subtracted consists of its return.
    return None if ticks is None else emulator(board).instructions(ticks, board) + 1


def _link_name(board: Board, port: str | None) -> str:
    if port is not None:
        return port
    if board.emulator is not None:
        return f"serial port of {board.emulator.tool}"
    return "direct calls" if board.hardware is None else "serial port"
