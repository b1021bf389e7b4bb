"""What Ctrl-C and SIGTERM do. Imported first and importing nearly nothing: it is wanted at once."""

import signal
import sys
from types import FrameType

_BOTH = (signal.SIGINT, signal.SIGTERM)
_IMPORTING = "<frozen importlib._bootstrap>"
_LATER = 0.02
"""Seconds after which an interruption that cannot happen now is tried again."""


class Interrupts:
    """Ctrl-C and SIGTERM unwind the stack alike, so that nothing half-written or running stays.

    Not in the midst of an import, which might lose the exception, or end in a segmentation fault
    where an extension module is set up; a moment later then. The flag tells what an exception
    means that some library made of the interruption.
    """

    def __init__(self) -> None:
        self.seen = False
        self._outermost = sys._getframe(1)  # noqa: SLF001  `inspect` takes long to import
        for number in (*_BOTH, signal.SIGALRM):
            signal.signal(number, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        del number
        self.seen = True
        if self._importing(frame):
            signal.setitimer(signal.ITIMER_REAL, _LATER)
        else:
            raise KeyboardInterrupt

    def _importing(self, frame: FrameType | None) -> bool:
        """Whether a frame is part of an import that began after this was made."""
        while frame is not None and frame is not self._outermost:
            if frame.f_code.co_filename == _IMPORTING:
                return True
            frame = frame.f_back
        return False

    def ignore(self) -> None:
        """Nothing is left to be interrupted: keep the exit code."""
        for number in (*_BOTH, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
