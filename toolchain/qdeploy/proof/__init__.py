"""The trusted kernel: what a certificate says, and the exact check that makes it `Proven`.

`check(network, certificate)` is the whole trust: exact integers, no solver, no floating point.
"""

from qdeploy.proof.certificate import (
    ASSUMPTIONS,
    Certificate,
    DecisionKind,
    DecisionStatus,
    RegionClaim,
)
from qdeploy.proof.kernel import Proven, check, deviations, deviations_at
from qdeploy.proof.statement import Statement, attest, read, tree_digest, write

__all__ = [
    "ASSUMPTIONS",
    "Certificate",
    "DecisionKind",
    "DecisionStatus",
    "Proven",
    "RegionClaim",
    "Statement",
    "attest",
    "check",
    "deviations",
    "deviations_at",
    "read",
    "tree_digest",
    "write",
]
