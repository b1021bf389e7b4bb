"""What computes tasks: this process, other processes, or other machines."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from qdeploy.certifier.tasks import Scene, Task

Ticket = tuple[int, int]
"""Which region's task it is, and which of its step's tasks."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works on a certificate; no byte of it depends on that."""

    jobs: int = 1
    """Processes of this machine."""
    cluster: str | None = None
    """Address of a Dask scheduler, to be used instead."""


class Executor(Protocol):
    """Computes tasks in any order; no answer depends on where or how often it was computed."""

    @property
    def width(self) -> int:
        """Return how many tasks are computed at the same time."""
        ...

    def submit(self, ticket: Ticket, task: Task) -> None:
        """Take a task; its answer will come under the ticket."""
        ...

    def receive(self, seconds: float | None) -> tuple[Ticket, Any] | None:
        """Return an answer, or None when `seconds` are over before there is one.

        An exception of a task is raised here.

        pre: some task has been submitted and not yet received.
        """
        ...


@runtime_checkable
class ExecutorKind(Protocol):
    """A kind of executors."""

    def suits(self, crew: Crew) -> bool:
        """Whether this is the kind for a crew; exactly one is."""
        ...

    def open(self, scene: Scene, crew: Crew) -> AbstractContextManager[Executor]:
        """Give an executor for tasks about a scene; at the end nothing of it keeps running.

        Raises:
            MissingToolError: what it needs is not there.
        """
        ...
