"""Running vectors on a board: start or find it, make sure it is the right program, exchange."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from qdeploy.boards import Board
from qdeploy.deploy._members import emulator, link
from qdeploy.deploy._protocol import (
    BAUD,
    Answers,
    ConnectionLostError,
    Device,
    DeviceFaultError,
    Endpoint,
    NoAnswerError,
    PortError,
    Timing,
)
from qdeploy.deploy.counting import (
    NO_COUNTER,
    NO_CYCLES,
    NOTHING,
    UNKNOWN_TICKS,
    Cost,
    count_cycles,
    count_instructions,
)
from qdeploy.deploy.emulators._endings import CHECK, KEEP
from qdeploy.deploy.identity import CYCLES, TICKS
from qdeploy.deploy.links.serial_port import answering
from qdeploy.diagnostics import MissingToolError, RefusedError, Where
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
    emulated = port is None and board.emulator is not None
    with reached(firmware, board, port, timing) as device:
        identity = checked_identity(device, firmware)
        answers = device.infer(vectors.codes)
        cost = _cost(device, identity.counter, answers, board, emulated=emulated)
        retries = device.retries
    if emulated and identity.counter == TICKS and answers.counts:
        cost = _count(firmware, board, vectors.codes, timing)
    in_cycles = identity.counter == CYCLES
    return Trace(
        link=_link_name(board, port),
        identity=identity,
        outputs=answers.outputs,
        cycles=cost.count if in_cycles else None,
        instructions=None if in_cycles else cost.count,
        uncounted=cost.why_not,
        retries=retries,
    )


def identify(port: str, timing: Timing = _DEFAULT_TIMING) -> DeviceIdentity:
    """Ask the device at a serial port what it is.

    Raises:
        MissingToolError: the port cannot be opened, or nobody answers there.
    """
    with answering(Endpoint(port), timing) as device:
        return device.identify()


def greet(firmware: Firmware, board: Board, timing: Timing = _DEFAULT_TIMING) -> None:
    """Make sure that the board's emulator, or the host, runs the program, before more is done.

    Raises:
        InputError, MissingToolError: it does not; the error says why.
    """
    with reached(firmware, board, None, timing) as device:
        checked_identity(device, firmware)


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
        at = Endpoint(port or _attached(board), _baud(board))
        with link(board).open(firmware, at, timing) as device:
            yield device
        return
    with emulator(board).start(firmware, board, counting=counting) as running:
        try:
            at = Endpoint(running.address, _baud(board))
            with link(board).open(firmware, at, timing) as device:
                yield device
        except (ConnectionLostError, PortError) as error:
            # It has just named this port, and nobody but itself takes that away again.
            raise running.ended() from error
        except NoAnswerError as error:
            raise _mute(board, error, running.said()) from error
        except DeviceFaultError as error:
            raise _crashed(board, error) from error


def _baud(board: Board) -> int:
    return BAUD if board.hardware is None else board.hardware.uart.baud


def _mute(board: Board, error: NoAnswerError, said: str) -> NoAnswerError:
    """Say of an emulated board that it does not answer: it has neither power nor a cable."""
    printed = f"; the emulator printed: {said}" if said else ""
    return NoAnswerError(
        f"the emulated {board.title} does not answer: {error.heard}{printed}",
        heard=error.heard,
        where=Where(board.file) if board.own else None,
        fix=f"{CHECK}; {KEEP}" if board.own else "report this as a bug",
    )


def _crashed(board: Board, error: DeviceFaultError) -> DeviceFaultError:
    fix = "look the address up in OUT/firmware/firmware.map and report this as a bug"
    if board.own:
        fix = f"look the address up in the map: {KEEP}; if board.c is not to blame, report a bug"
    place = f": {error.place}" if error.place else ""
    return DeviceFaultError(
        f"the emulated {board.title} crashed{place}", place=error.place, fix=fix
    )


def _attached(board: Board) -> str:
    address = link(board).find(board)
    if address is None:
        raise MissingToolError(
            f"no {board.title} is attached" if board.usb else f"{board.title} needs a port",
            fix="write OUT/firmware/firmware.hex to the board and name its port with --port",
        )
    return address


def _cost(device: Device, counter: str, answers: Answers, board: Board, *, emulated: bool) -> Cost:
    """What an inference costs, as far as the run that computed the answers can say."""
    if board.hardware is None or not answers.counts:
        return NOTHING
    if counter == CYCLES:
        return NO_CYCLES if emulated else count_cycles(device, answers.counts)
    return UNKNOWN_TICKS if counter == TICKS else NO_COUNTER


def _count(firmware: Firmware, board: Board, codes: NDArray[np.int64], timing: Timing) -> Cost:
    """Instructions of one inference, from a second, slower run whose time is exact."""
    with reached(firmware, board, None, timing, counting=True) as device:
        return count_instructions(device, codes, emulator(board), board)


def _link_name(board: Board, port: str | None) -> str:
    if port is not None:
        return port
    if board.emulator is not None:
        return f"serial port of {board.emulator.tool}"
    return "direct calls" if board.hardware is None else "serial port"
