"""What a bound method is: a look at a region, then steps of foreseeable price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qdeploy.certifier.attack import Sampled
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.ir import Box
from qdeploy.proof.certificate import Part
from qdeploy.proof.kernel import Analysis


@dataclass(frozen=True, slots=True)
class Question:
    """The region that is to be bounded, and the deviations that are known to occur in it."""

    scene: Scene
    box: Box
    found: Sampled


class Standing(Protocol):
    """What a method has reached; it does not change when the method goes on."""

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Return the part's bounds [outputs], near enough to choose by; inf where it has none."""
        ...

    def part(self) -> Part:
        """Return the part as a certificate holds it."""
        ...


class Pursuit(Protocol):
    """A method at work on one region, step by step.

    Steps and prices follow from the question and the answers alone, neither from the clock nor
    from what may still be spent: so a larger budget only ever adds steps.
    """

    def price(self) -> float | None:
        """Predict the seconds of the next step on one core; None when no step is left."""
        ...

    def tasks(self) -> tuple[Task, ...]:
        """Return the next step's work, each piece independent of the others."""
        ...

    def take(self, answers: Sequence[Any]) -> None:
        """Go on with the answers of all the step's tasks, in their order."""
        ...

    def standing(self) -> Standing | None:
        """Return what has been reached, None before there is anything."""
        ...


@runtime_checkable
class Method(Protocol):
    """One way to bound the deviation over a region."""

    rank: int
    """Where it stands among the parts of a certificate, cheap methods first."""
    free: bool
    """Costs next to nothing: always used, and everything it has to say is said by the survey."""

    looks: float
    """How long its survey takes, as a multiple of enclosing the region by lines once (of a method
    that is not free: in 64-bit integers, once it is enclosed)."""

    def survey(self, known: Analysis) -> object | None:
        """Look at a region (in any process); None where the method has no business."""
        ...

    def pursue(self, question: Question, surveyed: Any) -> Pursuit | None:  # noqa: ANN401  its own
        """Begin, with what the survey said; None where it turns out to be useless."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """A part that is there already."""

    reached: Part

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Its bounds as doubles."""
        return np.array([np.inf if b is None else float(b) for b in self.reached.per_output])

    def part(self) -> Part:
        """Return it."""
        return self.reached


class Settled:
    """The pursuit of a free method: nothing is left to be done."""

    def __init__(self, part: Part) -> None:
        self._standing = Reached(part)

    def price(self) -> float | None:
        """There is no next step."""
        return None

    def tasks(self) -> tuple[Task, ...]:
        """There is nothing to do."""
        return ()

    def take(self, answers: Sequence[Any]) -> None:
        """There is nothing to learn."""

    def standing(self) -> Standing | None:
        """Return what the survey found."""
        return self._standing
