"""The search for the best proof of every region: cheap methods first, a cone where it pays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qdeploy.certify import semidefinite
from qdeploy.certify.attack import attack
from qdeploy.certify.solvers import Solver, known_solvers
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.proof import cone, kernel
from qdeploy.proof.certificate import Certificate, ConePart, Part, RegionClaim
from qdeploy.proof.kernel import Analysis

_LARGEST_CONE = 200
"""Components of chi beyond which not even the facts are laid out."""


@dataclass(frozen=True, slots=True)
class CertifyRequest:
    """How much to spend on a certificate."""

    time_limit: float = 20.0
    """Predicted seconds that semidefinite bounds may take in all; prediction, not clock, decides,
    so that equal requests give equal certificates."""
    attack_budget: int = 50_000
    """Evaluations spent on looking for a large deviation in each region."""
    seed: int = 0


Progress = Callable[[str], None]


def _silent(message: str) -> None:
    del message


def run(
    network: Network,
    program: FixedNetwork,
    regions: Sequence[Box],
    request: CertifyRequest,
    progress: Progress = _silent,
) -> Certificate:
    """Find and prove bounds on |device - network| over every region.

    `progress` is told in words what is being worked on.

    Raises:
        RefusedError: network and program do not belong together.
    """
    share = request.time_limit / len(regions)
    claims = []
    for index, box in enumerate(regions):
        progress(f"region {index + 1} of {len(regions)}: linear bounds and attack")
        claims.append(_claim(network, program, box, (request, share), progress))
    return Certificate(network.source.name, network.source.sha256, program, tuple(claims))


def _claim(
    network: Network,
    program: FixedNetwork,
    box: Box,
    spend: tuple[CertifyRequest, float],
    progress: Progress,
) -> RegionClaim:
    request, share = spend
    known = kernel.analysis(network, program, box)
    parts = [kernel.prove_part(known, m, None) for m in ("recursion", "interval", "linear")]
    cone_part = _semidefinite(known, share, progress)
    if cone_part is not None:
        parts.append(cone_part)
    found = attack(network, program, box, budget=request.attack_budget, seed=request.seed)
    return kernel.combine(box, parts, kernel.witness(network, program, found.x))


def _semidefinite(known: Analysis, share: float, progress: Progress) -> Part | None:
    """Bound every output by a cone, as far as the predicted time goes."""
    slacks = _affordable_slacks(known, share)
    if slacks is None:
        return None
    solver = known_solvers()["clarabel"]
    facts = semidefinite.offer(known.cone(slacks=slacks))
    price = semidefinite.predicted_seconds(facts.cone.size, len(facts.cone.forms))
    sides, left = [], share
    outputs = known.pair.layers[-1].width
    for output in range(outputs):
        if left < 2 * price:
            break
        progress(f"semidefinite bound of output {output + 1} of {outputs}")
        pair = [semidefinite.prove_side(facts, solver, output, sign) for sign in (1, -1)]
        left -= 2 * price
        sides += [side for side in pair if side is not None and None not in pair]
    norm = _norm(facts, solver) if outputs > 1 and left >= price else None
    if not sides and norm is None:
        return None
    return kernel.prove_part(known, "sdp", ConePart(slacks, tuple(sides), norm))


def _norm(facts: semidefinite.Facts, solver: Solver) -> cone.Dual | None:
    matrix, _ = kernel.norm_objective(facts.cone)
    return semidefinite.prove_objective(facts, solver, matrix)


def _affordable_slacks(known: Analysis, share: float) -> bool | None:
    """Whether hidden rounding slacks can be variables; None if no cone fits the share at all."""
    for slacks in (True, False):
        size = cone.count_variables(known.pair, known.tight, slacks=slacks)
        if 1 < size <= _LARGEST_CONE:
            forms = len(known.cone(slacks=slacks).forms)
            if 2 * semidefinite.predicted_seconds(size, forms) <= share:
                return slacks
    return None
