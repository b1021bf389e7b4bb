"""The box cut into many, each bounded by lines or code by code (`qdeploy.certifier.splitting`)."""

from qdeploy.certifier.method import Pursuit, Question
from qdeploy.certifier.splitting import Growth, Prices, predict, sharp_pair
from qdeploy.proof import kernel, tree
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.pair import MismatchError


class Split:
    """See the module."""

    rank = 3
    free = False
    looks = 4.0

    def survey(self, known: Analysis) -> Prices | None:
        """Predict what boxes cost; None where cutting is impossible or hopeless."""
        if kernel.beyond_linear(known.pair) or known.box.size > tree.LARGEST_AXIS:
            return None
        try:
            pair = sharp_pair(known)
        except MismatchError:
            return None
        return predict(known, pair)

    def pursue(self, question: Question, surveyed: Prices) -> Pursuit | None:
        """Grow a tree."""
        return Growth(question, surveyed)


METHOD = Split()
