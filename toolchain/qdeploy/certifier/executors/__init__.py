"""Executors: one file a kind. `EXECUTOR` says for which crew it is and opens it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import qdeploy.certifier.executors
from qdeploy.certifier.executors._executor import Crew, Executor, ExecutorKind
from qdeploy.certifier.tasks import Scene
from qdeploy.registry import discover

__all__ = ["Crew", "Executor", "ExecutorKind", "known_executors", "open_executor"]


def known_executors() -> Mapping[str, ExecutorKind]:
    """Every kind, by name."""
    return discover(qdeploy.certifier.executors, "EXECUTOR", ExecutorKind)  # type: ignore[type-abstract]


def open_executor(scene: Scene, crew: Crew) -> AbstractContextManager[Executor]:
    """Give the executor for a crew.

    Raises:
        MissingToolError: what it needs is not there.
    """
    (kind,) = (kind for kind in known_executors().values() if kind.suits(crew))
    return kind.open(scene, crew)
