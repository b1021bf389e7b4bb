"""A cluster, through Dask distributed (the extra `cluster`).

Every task carries its scene, so nothing is lost when workers come and go; what the cluster gives
up is computed here.
"""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

from qdeploy.certifier.executors import _wire
from qdeploy.certifier.executors._executor import Crew, Executor, Ticket
from qdeploy.certifier.tasks import Scene, Task, one_thread, perform
from qdeploy.diagnostics import MissingToolError, install

_SECONDS_TO_ANSWER = 10
_SCENES = 2
_LOOK_EVERY = 5.0
"""Seconds between looks at whether the scheduler is still there."""


@lru_cache(1)
def _prepare() -> None:
    one_thread()


@lru_cache(_SCENES)
def _scene(data: bytes) -> Scene:
    _prepare()
    return _wire.load_scene(data)


def compute(scene: bytes, task: bytes) -> bytes:
    """Compute a task on a worker."""
    return _wire.answer_of(_scene(scene), task)


def version() -> str:
    """Say which qdeploy this process, or a worker, has."""
    return importlib.metadata.version("qdeploy")


class _Dask:
    """Hands tasks to a cluster."""

    def __init__(self, client: Any, scene: Scene) -> None:  # noqa: ANN401  distributed has no types
        self.width = max(1, sum(client.nthreads().values()))
        self._client = client
        self._scene = scene
        self._sent = _wire.dump_scene(scene)
        self._jobs: dict[Ticket, tuple[Task, Any]] = {}
        self._done: SimpleQueue[Ticket] = SimpleQueue()

    def submit(self, ticket: Ticket, task: Task) -> None:
        """Send a task to the scheduler."""
        future = self._client.submit(compute, self._sent, _wire.dumps(task), pure=False)
        self._jobs[ticket] = (task, future)
        future.add_done_callback(lambda _: self._done.put(ticket))

    def receive(self, seconds: float | None) -> tuple[Ticket, Any] | None:
        """Wait for an answer; compute one here if the cluster has lost it or is gone."""
        left = seconds
        while True:
            patience = _LOOK_EVERY if left is None else min(left, _LOOK_EVERY)
            try:
                ticket = self._done.get(timeout=patience)
            except Empty:
                if self._client.status not in ("running", "connecting"):
                    return self._answer(next(iter(self._jobs)))
                left = None if left is None else left - patience
                if left is not None and left <= 0:
                    return None
                continue
            if ticket in self._jobs:
                return self._answer(ticket)

    def _answer(self, ticket: Ticket) -> tuple[Ticket, Any]:
        task, future = self._jobs.pop(ticket)
        if future.status == "finished":
            try:
                return ticket, _wire.read_answer(future.result())
            except _wire.Lost:
                pass
        return ticket, perform(self._scene, task)


class Dask:
    """See the module."""

    def suits(self, crew: Crew) -> bool:
        """For a cluster."""
        return crew.cluster is not None

    @contextmanager
    def open(self, scene: Scene, crew: Crew) -> Iterator[Executor]:
        """Connect, and see that somebody is there who has the same qdeploy.

        Raises:
            MissingToolError: Dask is not installed, or the cluster does not answer as it must.
        """
        client = _connect(str(crew.cluster))
        try:
            _require_workers(client, str(crew.cluster))
            with one_thread():
                yield _Dask(client, scene)
        finally:
            client.close(timeout=_SECONDS_TO_ANSWER)


def _connect(address: str) -> Any:  # noqa: ANN401  distributed has no types
    try:
        from distributed import Client  # noqa: PLC0415  an extra
    except ImportError as problem:
        raise MissingToolError(
            "--cluster needs Dask distributed, which is not installed",
            fix=install("cluster"),
        ) from problem
    try:
        return Client(address, timeout=_SECONDS_TO_ANSWER, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as problem:
        raise MissingToolError(
            f"no Dask scheduler answers at {address}",
            fix="start one with dask scheduler, and give its address: --cluster tcp://HOST:8786",
        ) from problem


def _require_workers(client: Any, address: str) -> None:  # noqa: ANN401  distributed has no types
    try:
        client.wait_for_workers(1, timeout=_SECONDS_TO_ANSWER)
    except TimeoutError as problem:
        raise MissingToolError(
            f"the cluster at {address} has no workers",
            fix=f"start some with dask worker {address}",
        ) from problem
    try:
        versions = set(client.run(version).values())
    except (ImportError, OSError) as problem:
        raise MissingToolError(
            f"a worker of the cluster at {address} has no qdeploy",
            fix=f"install qdeploy {version()} where the workers run",
        ) from problem
    if versions != {version()}:
        raise MissingToolError(
            f"workers of the cluster at {address} have qdeploy {', '.join(sorted(versions))}",
            fix=f"install qdeploy {version()} where the workers run",
        )


EXECUTOR = Dask()
