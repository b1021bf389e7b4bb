"""What Ctrl-C and SIGTERM do. Imported first and importing nearly nothing: it is wanted at once."""

import signal
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
        for number in (*_BOTH, signal.SIGALRM):
            signal.signal(number, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        del number
        self.seen = True
        if _imports(frame):
            signal.setitimer(signal.ITIMER_REAL, _LATER)
        else:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Nothing is left to be interrupted: keep the exit code."""
        for number in (*_BOTH, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
