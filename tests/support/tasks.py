"""Tasks that executors are tried with; they live in a module that workers can import."""

import os
import signal
import time
from pathlib import Path

from qdeploy.certifier.tasks import Scene
from qdeploy.diagnostics import RefusedError


def double(scene: Scene, number: int) -> tuple[str, int]:
    return scene.network.source.name, 2 * number


def process(scene: Scene, seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def refuse(scene: Scene) -> None:
    raise RefusedError("no such thing")


def sleep(scene: Scene, seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def die_once(scene: Scene, trace: str) -> str:
    """End the process that computes this, the first time it is computed."""
    if not Path(trace).exists():
        Path(trace).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die_elsewhere(scene: Scene, home: int) -> int:
    """End every process but one."""
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return home


def need_memory_elsewhere(scene: Scene, home: int) -> int:
    if os.getpid() != home:
        raise MemoryError
    return home
