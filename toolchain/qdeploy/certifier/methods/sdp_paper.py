"""The constraint set of Li, Drummond and Duncan (2021): never better than ours, for comparison."""

from collections.abc import Sequence

from qdeploy.certifier import paper
from qdeploy.certifier.method import Pursuit, Question, Reached, Standing
from qdeploy.certifier.semidefinite import predicted_seconds
from qdeploy.certifier.solvers import known_solvers
from qdeploy.certifier.tasks import Scene, Task
from qdeploy.ir import Box
from qdeploy.proof import kernel
from qdeploy.proof.certificate import Part
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.paper import count_variables, covers

_LARGEST_CONE = 200
_SOLVER = "clarabel"


class SdpPaper:
    """See the module."""

    rank = 9
    free = False
    looks = 0.0

    def survey(self, known: Analysis) -> float | None:
        """Predict the seconds; None where an activation is no ReLU, or the cone too large."""
        size = count_variables(known.pair, known.intervals.row(0))
        if not covers(known.pair) or kernel.beyond_linear(known.pair) or size > _LARGEST_CONE:
            return None
        return predicted_seconds(size, 2 * size)

    def pursue(self, question: Question, surveyed: float) -> Pursuit | None:
        """Solve once."""
        return _Once(question.box, surveyed)


def bound_norm(scene: Scene, box: Box) -> Part | None:
    """Bound the 2-norm by the paper's facts; None where the answer proves nothing."""
    known = scene.analysis(box)
    data = paper.prove(known.paper_cone, known_solvers()[_SOLVER])
    return None if data is None else kernel.prove_part(known, "sdp-paper", data)


class _Once:
    """The one cone of a region."""

    def __init__(self, box: Box, price: float) -> None:
        self._left: tuple[Task, ...] = (Task(bound_norm, (box,), price),)
        self._standing: Reached | None = None

    def price(self) -> float | None:
        """Predict the cone's time, until it is solved."""
        return self._left[0].price if self._left else None

    def tasks(self) -> tuple[Task, ...]:
        """Return the cone."""
        return self._left

    def take(self, answers: Sequence[Part | None]) -> None:
        """Keep what was proven."""
        self._left = ()
        self._standing = None if answers[0] is None else Reached(answers[0])

    def standing(self) -> Standing | None:
        """Return the bound, once there is one."""
        return self._standing


METHOD = SdpPaper()
