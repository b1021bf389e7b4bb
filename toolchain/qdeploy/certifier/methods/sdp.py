"""Products of nonnegative facts under a semidefinite cone (`qdeploy.certifier.cones`)."""

from qdeploy.certifier.cones import Cones, Plan, plan
from qdeploy.certifier.method import Pursuit, Question
from qdeploy.proof import kernel
from qdeploy.proof.kernel import Analysis


class Sdp:
    """See the module."""

    rank = 4
    free = False
    looks = 0.5

    def survey(self, known: Analysis) -> Plan | None:
        """Count the variables of the cones; None where not even the smallest could be laid out."""
        if kernel.beyond_linear(known.pair):
            return None
        return plan(known)

    def pursue(self, question: Question, surveyed: Plan) -> Pursuit | None:
        """Bound output after output."""
        return Cones(question.box, surveyed)


METHOD = Sdp()
