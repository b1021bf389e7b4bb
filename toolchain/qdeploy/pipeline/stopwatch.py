"""Seconds by stage, and a listener that is told what is being done."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, str], None]
"""Is told the stage, and within it what is being worked on (empty at its beginning)."""


Warner = Callable[[str], None]
"""Is told what a person should know at once."""


def _nobody(stage: str, detail: str) -> None:
    del stage, detail


def _silent(text: str) -> None:
    del text


class Stopwatch:
    """Measures stages one after the other; the only place of a build that reads a clock."""

    def __init__(self, listener: Listener = _nobody, warner: Warner = _silent) -> None:
        self._listener = listener
        self.warn = warner
        self._seconds: dict[str, float] = {}
        self._stage = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the body of a `with` under `name`."""
        self._stage = name
        self._listener(name, "")
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self._seconds[name] = self._seconds.get(name, 0.0) + elapsed

    def tell(self, detail: str) -> None:
        """Say what the current stage is working on."""
        self._listener(self._stage, detail)

    def seconds(self) -> dict[str, float]:
        """Return seconds by stage in the order they ran, rounded to milliseconds."""
        return {name: round(value, 3) for name, value in self._seconds.items()}

    def total(self) -> float:
        """Return the sum over all stages."""
        return round(sum(self._seconds.values()), 3)
