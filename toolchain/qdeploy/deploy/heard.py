"""What arrives at a port where nobody answers, and what that most likely means."""

from collections.abc import Sequence

from qdeploy.deploy._protocol import NoAnswerError
from qdeploy.deploy.frames import Packet, is_damage_report
from qdeploy.diagnostics import Where

_SAMPLE = 4096
_SHOWN = 60
_TEXT_SHARE = 0.9
"""Of the characters; a wrong baud rate makes letters of a third of them."""
_LEAST_TEXT = 8
_SPACES = "\r\n\t"


class Heard:
    """A count of what arrives, and its beginning."""

    def __init__(self, name: str, baud: int) -> None:
        self._name = name
        self._baud = baud
        self._sample = b""
        self._packets = 0
        self._echoes = 0
        self._complaints = 0

    def take(self, data: bytes, packets: Sequence[Packet | None], asked: Packet) -> None:
        """Take what came while an answer to `asked` was awaited; None is a damaged packet."""
        if len(self._sample) < _SAMPLE:
            self._sample += data
        intact = [packet for packet in packets if packet is not None]
        self._packets += len(intact)
        self._echoes += intact.count(asked)
        self._complaints += sum(map(is_damage_report, intact))

    def instead_of_an_answer(self, seconds: float) -> NoAnswerError:
        """Say what there was in so many seconds; the case is that of the first that applies."""
        if not self._sample:
            return self._error(
                f"nothing answers on {self._name} within {seconds:g} s",
                f"nothing came within {seconds:g} s",
                "check that the board has power and runs OUT/firmware/firmware.hex, that the port "
                "is the right one, and that no other program uses it",
            )
        if self._echoes:
            return self._error(
                "what is sent comes back, and nothing answers it",
                "it sends back what it receives",
                "separate TX and RX of the port, and switch off the echo of what is between",
            )
        if self._complaints:
            return self._error(
                "the device is there, but every request reaches it damaged",
                "its UART damages every request",
                "check the wire to its RX, the ground between both, and that nobody else sends",
            )
        if self._packets:
            return self._error(
                f"packets arrive, but none that answers within {seconds:g} s",
                f"packets came, but no answer within {seconds:g} s",
                "end what else uses this line; if nothing does, it is too slow",
            )
        text = self._text()
        if text:
            return self._error(
                f"text arrives, but no intact frame: {text!r}",
                f"text came, but no intact frame: {text!r}",
                "write OUT/firmware/firmware.hex to the board: another program runs there",
            )
        return self._error(
            f"bytes arrive, but no intact frame: is the baud rate {self._baud}?",
            "bytes came, but no intact frame",
            f"let both sides use {self._baud} baud, 8 data bits, no parity, 1 stop bit; where the "
            "core's clock is not the clock_hz of board.toml, the device's rate is another",
        )

    def _error(self, what: str, heard: str, fix: str) -> NoAnswerError:
        return NoAnswerError(what, heard=heard, where=Where(self._name), fix=fix)

    def _text(self) -> str:
        """Return the beginning of what arrived if that is text."""
        letters = self._sample.decode("latin-1").replace("\0", "")
        readable = [c for c in letters if (c.isascii() and c.isprintable()) or c in _SPACES]
        if len(letters) < _LEAST_TEXT or len(readable) < _TEXT_SHARE * len(letters):
            return ""
        return " ".join("".join(readable).split())[:_SHOWN]
