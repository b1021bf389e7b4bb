"""Pieces of work as values: what to compute about one network and program, wherever that runs.

A task names a function of a module and its arguments; its answer depends on nothing else, so it
may be computed in this process, in another one or on another machine, and again if that is lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from qdeploy.certifier.solvers import known_solvers
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.proof import kernel
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.pair import MismatchError, Pair, Pairs

_ANALYSES = 4
"""Regions whose analysis a process keeps: neighbouring tasks are mostly about the same one."""


class Scene:
    """A network and a program, with what many tasks derive from them."""

    def __init__(self, network: Network, program: FixedNetwork) -> None:
        self.network = network
        self.program = program
        self.pairs = Pairs(network, program)
        self.analysis: Callable[[Box], Analysis] = lru_cache(_ANALYSES)(self._analysis)

    def _analysis(self, box: Box) -> Analysis:
        return kernel.analyses(self.pairs, [box])[0]

    def pair(self, grid: int | None) -> Pair:
        """Return network and program on a grid."""
        try:
            return self.pairs.on(grid)
        except MismatchError as problem:
            raise RefusedError(f"program: {problem}") from problem


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work."""

    function: Callable[..., Any]
    """Of a module; its first argument is the scene."""
    arguments: tuple[object, ...]
    price: float
    """Predicted seconds on one core of the reference machine."""


def perform(scene: Scene, task: Task) -> Any:  # noqa: ANN401  each function has its own answer
    """Compute a task's answer.

    pre: BLAS has one thread, else sums may be rounded in another order and bytes would differ.
    """
    return task.function(scene, *task.arguments)


def one_thread() -> Any:  # noqa: ANN401  a context manager of threadpoolctl, which has no types
    """Give BLAS one thread, from now on or for the body of a `with`."""
    known_solvers()  # brings the BLAS of its own along, which has to be there to be found
    return ThreadpoolController().limit(limits=1)


def in_pieces(count: int, size: int) -> Sequence[slice]:
    """Cut `count` rows into slices of `size`: work is cut by its amount, never by the cores."""
    return [slice(start, start + size) for start in range(0, count, size)]
