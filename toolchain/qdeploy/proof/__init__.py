"""The trusted kernel: what a certificate says, and the exact check that makes it `Proven`.

`check(network, certificate)` is the whole trust: exact integers, no solver, no floating point.
"""

from qdeploy.proof.certificate import (
    Certificate,
    DecisionKind,
    DecisionStatus,
    RegionClaim,
    assumptions,
)
from qdeploy.proof.kernel import Proven, check, deviations, deviations_at
from qdeploy.proof.pair import MismatchError, align, coarse_grid
from qdeploy.proof.placing import Places, side_by_side
from qdeploy.proof.similarity import ProvenSimilarity, Similarity, check_similarity
from qdeploy.proof.similarity_file import is_similarity, read_similarity, write_similarity
from qdeploy.proof.statement import Statement, attest, read, tree_digest, write

__all__ = [
    "Certificate",
    "DecisionKind",
    "DecisionStatus",
    "MismatchError",
    "Places",
    "Proven",
    "ProvenSimilarity",
    "RegionClaim",
    "Similarity",
    "Statement",
    "align",
    "assumptions",
    "attest",
    "check",
    "check_similarity",
    "coarse_grid",
    "deviations",
    "deviations_at",
    "is_similarity",
    "read",
    "read_similarity",
    "side_by_side",
    "tree_digest",
    "write",
    "write_similarity",
]
