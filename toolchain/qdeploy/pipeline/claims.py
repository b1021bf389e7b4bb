"""The one place where the pipeline meets certify and proof.

A `Claim` pairs a certificate with what it says, for people. Every bound in it is a
`proof.Proven`: the kernel derived it again from the certificate as it is written.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from qdeploy import proof, validator
from qdeploy.certifier import (
    DecideRequest,
    Effort,
    Interrupted,
    Plan,
    Undecided,
    attack_relaxed,
    decide,
    explain,
    make_plan,
)
from qdeploy.certifier import run as search
from qdeploy.ir import Box, FixedNetwork, Network, SourceTree
from qdeploy.pipeline.options import Options, choose_crew, read_decision, read_search
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.report.values import Bound, Decided, Found, Origin, Origins, RegionResult, Statement


@dataclass(frozen=True, slots=True)
class Claim:
    """A certificate as it is written, and the statement it makes."""

    certificate: proof.Certificate
    content: bytes
    subjects: dict[str, str]
    statement: Statement


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a certificate names by digest, beside the model."""

    library: SourceTree
    files: Mapping[str, bytes] = field(default_factory=dict)


def plan(
    network: Network,
    fixed: FixedNetwork,
    places: proof.Places | None,
    regions: tuple[Box, ...],
    options: Options,
) -> Plan:
    """Say what a certificate will take, and what is left out.

    Raises:
        ExhaustedError: --memory does not suffice for any bound.
    """
    wide = proof.side_by_side(network, fixed, places)
    return make_plan(*wide, regions, read_search(options), choose_crew(options).jobs)


def prove(
    network: Network,
    fixed: FixedNetwork,
    places: proof.Places | None,
    regions: tuple[Box, ...],
    options: Options,
    watch: Stopwatch,
) -> proof.Certificate:
    """Search for a certificate within the work or the time that is given."""
    wide = proof.side_by_side(network, fixed, places)
    with watch.stage("certify"):
        try:
            found = _search(*wide, regions, options, watch)
        except Interrupted as stopped:
            # What is written down is the program that runs, not the one that was made wider.
            best = replace(
                stopped.certificate, program=fixed, places=places, library_name=options.name
            )
            raise Interrupted(best) from None
    return replace(found, program=fixed, places=places, library_name=options.name)


def _search(
    network: Network,
    fixed: FixedNetwork,
    regions: tuple[Box, ...],
    options: Options,
    watch: Stopwatch,
) -> proof.Certificate:
    request = read_search(options)
    found = search(network, fixed, regions, request, watch.tell, choose_crew(options))
    kind = read_decision(options)
    if kind is None:
        return found
    asked = DecideRequest(kind, request.allowance)
    try:
        crew = choose_crew(options)
        crew = replace(crew, jobs=make_plan(network, fixed, regions, request, crew.jobs).jobs)
        decided = decide(network, fixed, regions, asked, watch.tell, crew)
    except Undecided as stopped:
        raise Interrupted(replace(found, work=None, decision=stopped.claim)) from None
    except KeyboardInterrupt:
        raise Interrupted(replace(found, work=None)) from None
    return replace(found, decision=decided)


def attest(
    network: Network,
    certificate: proof.Certificate,
    subjects: Subjects,
    watch: Stopwatch,
    relaxed: float | None,
) -> Claim:
    """Write the certificate for these artifacts, and check what was written.

    `relaxed`: predicted seconds of each region's attack with free roundings; None: there is none.
    """
    with watch.stage("check"):
        content = proof.write(proof.attest(certificate, subjects.library, subjects.files))
        claim = check_claim(proof.read(content), content, network, None)
    if relaxed is None or len(certificate.regions) > _MOST_RELAXED:
        return claim
    with watch.stage("attack"):
        return replace(claim, statement=_with_relaxed(network, claim, Effort(relaxed)))


_MOST_RELAXED = 16
"""Regions over which the attack with free roundings runs; it is only there for comparison."""


def _with_relaxed(network: Network, claim: Claim, effort: Effort) -> Statement:
    """Say for each region how far free roundings could deviate."""
    wide = _wide(network, claim.certificate)
    found = [
        attack_relaxed(*wide, r.box, seed=0, start=r.found.x, effort=effort)
        for r in claim.statement.regions
    ]
    regions = tuple(
        replace(r, relaxed=None if f is None else f.linf)
        for r, f in zip(claim.statement.regions, found, strict=True)
    )
    return replace(claim.statement, regions=regions)


def _wide(network: Network, certificate: proof.Certificate) -> tuple[Network, FixedNetwork]:
    """Return network and program with equal layers, as the proof sees them."""
    return proof.side_by_side(network, certificate.program, certificate.places)


def unchecked(certificate: proof.Certificate, library: SourceTree) -> tuple[bytes, str]:
    """Write a certificate, and say what it states and by which methods."""
    methods = {part.method: None for claim in certificate.regions for part in claim.parts}
    said = f"it states {stated(certificate)} by {', '.join(methods)}"
    return proof.write(proof.attest(certificate, library)), said


def stated(certificate: proof.Certificate) -> str:
    """Return what a certificate states, which nobody has checked yet."""
    return f"|deviation| <= {max(claim.linf for claim in certificate.regions)}"


def check_claim(
    stored: proof.Statement, content: bytes, network: Network, operations: int | None
) -> Claim:
    """Prove the bounds of a certificate again that was read from `content`.

    `operations` that the check may take; None: as many as it asks for.

    Raises:
        RefusedError: it does not check.
    """
    proven = proof.check(network, stored.certificate, operations)
    statement = _statement(network, stored.certificate, proven, content)
    return Claim(stored.certificate, content, dict(stored.subjects), statement)


def _statement(
    network: Network,
    certificate: proof.Certificate,
    proven: Sequence[proof.Proven],
    content: bytes,
) -> Statement:
    points = [claim.attack.x for claim in certificate.regions]
    shown = proof.deviations_at(network, certificate.program, points)
    regions = tuple(map(_region, points, shown, proven))
    methods = {part.method: None for claim in certificate.regions for part in claim.parts}
    sha256 = hashlib.sha256(content).hexdigest()
    decided = _decided(certificate, proven)
    assumed = proof.assumptions(certificate.cut)
    return Statement(regions, tuple(methods), assumed, sha256, decided)


def _decided(certificate: proof.Certificate, proven: Sequence[proof.Proven]) -> Decided | None:
    claim = certificate.decision
    if claim is None:
        return None
    pairs = claim.pairs
    return Decided(
        claim.kind.value,
        tuple("" if p.decision is None else p.decision.value for p in proven),
        tuple(getattr(case, "winner", None) for case in claim.cases),
        tuple(getattr(case, "x", None) for case in claim.cases),
        None if pairs is None else tuple(tuple(map(Fraction, row)) for row in pairs),
    )


def _region(
    x: tuple[Fraction, ...], per_output: tuple[Fraction, ...], proven: proof.Proven
) -> RegionResult:
    found = Found(max(per_output), per_output, x)
    bound = Bound(
        Fraction(proven.linf), Fraction(proven.l2), tuple(map(Fraction, proven.per_output))
    )
    return RegionResult(proven.box, bound, found)


def origins_of(network: Network, claim: Claim, watch: Stopwatch) -> Origins:
    """Divide the bound over the worst region among its sources, by the proof's multipliers."""
    regions = claim.certificate.regions
    worst = max(range(len(regions)), key=lambda i: regions[i].linf)
    with watch.stage("explain"):
        found = explain(*_wide(network, claim.certificate), regions[worst])
    shares = tuple(Origin(s.layer, s.source, s.share) for s in found.shares)
    return Origins(worst, found.output, shares)


def bound_of(statement: Statement) -> validator.Bound | None:
    """Return the proven bounds as validation wants them, None unless every region has one."""
    if statement.bound is None:
        return None
    proven = [(r.box, r.bound.per_output) for r in statement.regions if r.bound is not None]
    return validator.Bound(tuple(b for b, _ in proven), tuple(p for _, p in proven))
