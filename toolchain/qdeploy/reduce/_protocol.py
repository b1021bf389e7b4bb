"""What a reducer is asked, what it answers, and what every reducer file states."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from qdeploy.ir import Box, Network


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is to go: a number of things, or a share of all there are, rounded down."""

    number: Fraction
    is_share: bool
    """Whether `number` is a share between 0 and 1."""

    def of(self, total: int) -> int:
        """Return how many of `total` things are meant."""
        return int(self.number * total) if self.is_share else int(self.number)


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """Which reducer is to remove how much; the regions are those of the later statement."""

    reducer: str
    amount: Amount
    regions: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A smaller network, and what each of its rows was."""

    network: Network
    kept: tuple[tuple[int, ...], ...]
    """Per hidden dense layer: the rows of the imported network that remain, in their order."""


@runtime_checkable
class Reducer(Protocol):
    """One way to make a chain of dense layers smaller."""

    things: str
    """What it removes, in the plural, for messages."""

    def total(self, network: Network) -> int:
        """Return how many of these things there are."""
        ...

    def most(self, network: Network) -> int:
        """Return how many may go."""
        ...

    def reduce(self, network: Network, count: int, regions: tuple[Box, ...]) -> Reduction:
        """Remove `count` of them, those that seem to matter least; 0 <= count <= most."""
        ...
