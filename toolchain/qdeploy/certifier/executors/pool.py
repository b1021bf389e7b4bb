"""Processes of this machine, each computing one task at a time.

They are fresh interpreters in a process group of their own: they share no state, do not import
the user's script again, and Ctrl-C is not for them. A worker that dies loses one task, which is
given to another one, or computed here when that happens again. Until the work is worth the start
of processes, and while they start, tasks are computed here.
"""

import os
import selectors
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from qdeploy.certifier.executors import _wire
from qdeploy.certifier.executors._executor import Crew, Executor, Ticket
from qdeploy.certifier.tasks import Scene, Task, one_thread, perform

_WORTH_A_START = 1.0
"""Seconds of work, done or predicted, before processes are started (which takes half a second)."""
_MOST_DEATHS = 2
"""Workers a task may take with it before it is computed here."""
_PROGRAM = "from qdeploy.certifier.executors._worker import main; main()"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


_Job = tuple[Ticket, Task]


@dataclass(slots=True)
class _Worker:
    process: "subprocess.Popen[bytes]"
    inlet: BinaryIO
    outlet: BinaryIO
    ready: bool = False
    job: _Job | None = None


class _Pool:
    """Hands tasks to workers that are ready."""

    def __init__(self, scene: Scene, jobs: int) -> None:
        self.width = jobs
        self._scene = scene
        self._waiting: deque[_Job] = deque()
        self._deaths: Counter[Ticket] = Counter()
        self._for_here: deque[_Job] = deque()
        self._done: deque[tuple[_Job, bytes]] = deque()
        self._workers: list[_Worker] = []
        self._to_start = jobs
        self._events = selectors.DefaultSelector()
        self._worked = 0.0

    def submit(self, ticket: Ticket, task: Task) -> None:
        """Put a task at the end."""
        self._waiting.append((ticket, task))

    def receive(self, seconds: float | None) -> tuple[Ticket, Any] | None:
        """Return an answer of a worker, or compute one here while there is none to do it."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            self._start_workers()
            self._listen(0.0)
            self._hand_out()
            if self._done:
                return self._answer(*self._done.popleft())
            if (job := self._job_for_here()) is not None:
                return job[0], self._perform(job[1])
            left = None if end is None else max(0.0, end - time.monotonic())
            if not self._listen(left):
                return None

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            worker.process.kill()
        while self._workers:
            self._bury(self._workers[0])
        self._events.close()

    def _start_workers(self) -> None:
        ahead = sum(task.price for _, task in self._waiting)
        if not self._workers and self._worked + ahead < _WORTH_A_START:
            return
        while self._to_start:
            self._to_start -= 1
            worker = _start(_wire.dump_scene(self._scene))
            self._workers.append(worker)
            self._events.register(worker.outlet, selectors.EVENT_READ, worker)

    def _hand_out(self) -> None:
        for worker in list(self._workers):
            if worker.ready and worker.job is None and self._waiting:
                worker.job = self._waiting.popleft()
                if not _told(worker, _wire.dumps(worker.job[1])):
                    self._lose(worker)

    def _job_for_here(self) -> _Job | None:
        """Return a task that no worker is to have: it has killed some, or all are starting."""
        if self._for_here:
            return self._for_here.popleft()
        if self._waiting and not any(worker.ready for worker in self._workers):
            return self._waiting.popleft()
        return None

    def _answer(self, job: _Job, message: bytes) -> tuple[Ticket, Any]:
        try:
            return job[0], _wire.read_answer(message)
        except _wire.Lost:
            return job[0], self._perform(job[1])

    def _perform(self, task: Task) -> Any:  # noqa: ANN401  each task has its own answer
        begun = time.monotonic()
        answer = perform(self._scene, task)
        self._worked += time.monotonic() - begun
        return answer

    def _listen(self, seconds: float | None) -> bool:
        """Wait for workers to say something; whether one did."""
        events = self._events.select(seconds)
        for key, _ in events:
            self._hear(key.data)
        return bool(events)

    def _hear(self, worker: _Worker) -> None:
        message = _wire.receive(worker.outlet)
        if message is None:
            self._lose(worker)
        elif worker.job is None:
            worker.ready = True
        else:
            self._done.append((worker.job, message))
            worker.job = None

    def _lose(self, worker: _Worker) -> None:
        """Take a dead worker's task back, and start another one if this one had ever worked."""
        if worker.job is not None:
            self._deaths[worker.job[0]] += 1
            often = self._deaths[worker.job[0]] >= _MOST_DEATHS
            (self._for_here if often else self._waiting).appendleft(worker.job)
        self._to_start += worker.ready
        worker.process.kill()
        self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._events.unregister(worker.outlet)
        worker.process.wait()
        worker.outlet.close()
        with suppress(BrokenPipeError):
            worker.inlet.close()


def _start(scene: bytes) -> _Worker:
    environment = {
        **os.environ,
        **dict.fromkeys(_ONE_THREAD, "1"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        process_group=0,
    )
    worker = _Worker(process, cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout))
    _told(worker, scene)
    return worker


def _told(worker: _Worker, message: bytes) -> bool:
    """Write to a worker; whether it was there."""
    try:
        _wire.send(worker.inlet, message)
    except BrokenPipeError:
        return False
    return True


class Pool:
    """See the module."""

    def suits(self, crew: Crew) -> bool:
        """For several jobs."""
        return crew.cluster is None and crew.jobs > 1

    @contextmanager
    def open(self, scene: Scene, crew: Crew) -> Iterator[Executor]:
        """Start nothing yet."""
        pool = _Pool(scene, crew.jobs)
        with one_thread():
            try:
                yield pool
            finally:
                pool.close()


EXECUTOR = Pool()
