"""What every operator file states."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FixedNetwork, FixedNode, FractionArray, Node
from qdeploy.ops._curve import Curve

Enclosed = tuple[FractionArray, FractionArray]
"""Lower and upper ends of an enclosure, elementwise; the same object twice: no width at all."""


@runtime_checkable
class Op(Protocol):
    """An operator: three semantics that agree, its cost, and what its C template needs.

    Batches are rows: arrays are [n, size], tensors flattened in C order.
    """

    def evaluate(self, node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Real semantics in double precision (for searching, never for proofs)."""
        ...

    def enclose(self, node: Node, lo: FractionArray, hi: FractionArray) -> Enclosed:
        """Real semantics on everything between lo and hi; exact (the same array) where it can."""
        ...

    def execute(
        self, node: FixedNode, program: FixedNetwork, codes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Integer semantics: exactly what the device computes."""
        ...

    def multiplications(self, node: Node) -> int:
        """Multiply-accumulate operations of one inference."""
        ...

    def c_values(self, node: FixedNode, program: FixedNetwork) -> Mapping[str, object]:
        """Values, all computed and typed, for `templates/ops/<op>.c.j2`."""
        ...


@runtime_checkable
class Activation(Op, Protocol):
    """An operator on every element for itself, with a curve that proofs know."""

    def curve(self, node: Node) -> Curve:
        """Return the facts about the curve of this node."""
        ...

    def draw(self, rng: np.random.Generator, n: int) -> Mapping[str, FractionArray]:
        """Return parameters for n neurons, any that are allowed, to try those facts with."""
        ...
