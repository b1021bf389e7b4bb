"""The wall clock, for searches that are to end at a time."""

import time


class Deadline:
    """A time to stop at; never, where no seconds are given."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left, at least 0; None: there is no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def leaves_room(self, seconds: float) -> bool:
        """Whether something that takes so long would end in time."""
        left = self.left()
        return left is None or seconds < left

    @property
    def over(self) -> bool:
        """Whether the time has come."""
        return self.left() == 0.0
