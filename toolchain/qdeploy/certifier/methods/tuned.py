"""Lines whose slopes were tuned, in few boxes (`qdeploy.certifier.tuned_tree`)."""

from qdeploy.certifier.method import Pursuit, Question
from qdeploy.certifier.tuned_tree import Prices, Refinement, predict
from qdeploy.proof import kernel
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.pair import MismatchError


class Tuned:
    """See the module."""

    rank = 5
    free = False
    looks = 1.0

    def survey(self, known: Analysis) -> Prices | None:
        """Predict what turns cost; None where there is nothing to tune."""
        if kernel.beyond_linear(known.pair):
            return None
        try:
            return predict(known)
        except MismatchError:
            return None

    def pursue(self, question: Question, surveyed: Prices) -> Pursuit | None:
        """Tune the whole region, then cut it."""
        return Refinement(question, surveyed)


METHOD = Tuned()
