"""The trusted kernel: what a certificate says, and the exact check that makes it `Proven`.

`check(network, certificate)` is the whole trust: exact integers and no solver. Sums of integers may
be formed in double precision where that is exact, and never where `integers_only` is said.
"""

from qdeploy.fixedpoint.products import integers_only
from qdeploy.proof.budget import DEFAULT_OPERATIONS, check_operations
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
    "DEFAULT_OPERATIONS",
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
    "check_operations",
    "check_similarity",
    "coarse_grid",
    "deviations",
    "deviations_at",
    "integers_only",
    "is_similarity",
    "read",
    "read_similarity",
    "side_by_side",
    "tree_digest",
    "write",
    "write_similarity",
]
