"""This process: one task after the other, in the order they came."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qdeploy.certifier.executors._executor import Crew, Executor, Ticket
from qdeploy.certifier.tasks import Scene, Task, one_thread, perform


class _Inline:
    """Tasks wait until somebody asks for an answer."""

    width = 1

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._waiting: deque[tuple[Ticket, Task]] = deque()

    def submit(self, ticket: Ticket, task: Task) -> None:
        """Put a task at the end."""
        self._waiting.append((ticket, task))

    def receive(self, seconds: float | None) -> tuple[Ticket, Any] | None:
        """Compute the first task, however long that takes."""
        del seconds
        ticket, task = self._waiting.popleft()
        return ticket, perform(self._scene, task)


class Inline:
    """See the module."""

    def suits(self, crew: Crew) -> bool:
        """For one job."""
        return crew.cluster is None and crew.jobs == 1

    @contextmanager
    def open(self, scene: Scene, crew: Crew) -> Iterator[Executor]:
        """There is nothing to start."""
        del crew
        with one_thread():
            yield _Inline(scene)


EXECUTOR = Inline()
