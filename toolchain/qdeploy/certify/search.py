"""The search for the best proof of every region: cheap methods first, a cone where it pays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qdeploy.certify import semidefinite, splitting
from qdeploy.certify.attack import Sampled, attack
from qdeploy.certify.solvers import Solver, known_solvers
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.proof import cone, kernel, tree
from qdeploy.proof.certificate import Certificate, ConePart, Part, RegionClaim
from qdeploy.proof.kernel import Analysis
from qdeploy.proof.pair import MismatchError, align, coarse_grid

_LARGEST_CONE = 200
"""Components of chi beyond which not even the facts are laid out."""
_SPLIT_SHARE = 0.5
"""Part of the time that goes into splitting."""
_FEWEST_BOXES = 32
_FEWEST_TRIES = 1000
"""Evaluations of the attack on one of many regions."""
_FEWEST_ROUNDS = 8
_TIGHT = 1.01
_LEAST_OUTPUT = 0.1
"""Outputs that deviate less than this part of the largest one are not worth splitting for."""
_SMALLEST_FLOOR = 1e-30


METHODS = ("recursion", "interval", "linear", "split", "sdp")
"""Bound methods, cheap ones first; the first three cost next to nothing and are always used."""
_FREE = METHODS[:3]


@dataclass(frozen=True, slots=True)
class CertifyRequest:
    """How much to spend on a certificate."""

    time_limit: float = 5.0
    """Predicted seconds that splitting and semidefinite bounds may take in all; prediction, not
    the clock, decides, so that equal requests give equal certificates."""
    attack_budget: int = 50_000
    """Evaluations spent on looking for large deviations, shared by the regions."""
    seed: int = 0
    methods: frozenset[str] = frozenset(METHODS)
    """Which of `split` and `sdp` may be tried."""


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
    tries = max(request.attack_budget // len(regions), _FEWEST_TRIES)
    request = replace(request, attack_budget=tries)
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
    found = attack(network, program, box, budget=request.attack_budget, seed=request.seed)
    deep = kernel.beyond_linear(known.pair)
    parts = [kernel.prove_part(known, m, None) for m in (_FREE[:2] if deep else _FREE)]
    witness = kernel.witness(network, program, found.x)
    if deep:
        progress("too deep and wide for linear bounds: intervals only")
        return kernel.combine(box, parts, witness)
    if "split" in request.methods:
        split = _split(known, share * _SPLIT_SHARE, found, progress)
        parts += [] if split is None else [split]
    if "sdp" in request.methods and not _tight(kernel.combine(box, parts, witness)):
        cones = _semidefinite(known, share * (1 - _SPLIT_SHARE), progress)
        parts += [] if cones is None else [cones]
    return kernel.combine(box, parts, witness)


def _tight(claim: RegionClaim) -> bool:
    """Whether the attack already shows that no method could gain much."""
    return float(claim.linf) <= _TIGHT * float(claim.attack.linf)


def _split(known: Analysis, seconds: float, found: Sampled, progress: Progress) -> Part | None:
    """Cut the box as far as the predicted time goes."""
    try:
        pair = align(known.network, known.program, coarse_grid(known.program))
    except MismatchError:
        return None
    if splitting.predicted_round(pair) * _FEWEST_ROUNDS > seconds:
        return None
    price = splitting.predicted_seconds(pair, known.box)
    boxes = min(int(seconds / price), splitting.most_boxes(pair, known.box))
    largest = max(float(found.linf), _SMALLEST_FLOOR)
    floor = np.maximum([float(v) for v in found.per_output], _LEAST_OUTPUT * largest)
    if boxes < _FEWEST_BOXES or known.box.size > tree.LARGEST_AXIS:
        return None
    progress(f"splitting the box, up to {boxes} pieces")
    data = splitting.grow(pair, known.program, known.box, splitting.Budget(boxes, floor))
    return None if data is None else kernel.prove_part(known, "split", data)


def _semidefinite(known: Analysis, share: float, progress: Progress) -> Part | None:
    """Bound every output by a cone, as far as the predicted time goes."""
    slacks = _affordable_slacks(known, share)
    if slacks is None:
        return None
    solver = known_solvers()["clarabel"]
    facts = semidefinite.offer(known.cone(slacks=slacks))
    if facts is None:
        return None
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
        size = known.cone_size(slacks=slacks)
        # Every component has two sides, so this much is known before the cone is built.
        if not 1 < size <= _LARGEST_CONE or _price_of_both_sides(size, 2 * size) > share:
            continue
        if _price_of_both_sides(size, len(known.cone(slacks=slacks).forms)) <= share:
            return slacks
    return None


def _price_of_both_sides(size: int, forms: int) -> float:
    return 2 * semidefinite.predicted_seconds(size, forms)
