"""`qdeploy compare`: two models in, a proven bound on how far apart their outputs can be."""

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from qdeploy import __version__, importer, proof
from qdeploy.certifier import similarity as search
from qdeploy.certifier.similarity import SimilarityRequest, Weights
from qdeploy.diagnostics import InputError, RefusedError, UsageError, Where
from qdeploy.fixedpoint import QFormat, parse_format
from qdeploy.ir import Box, Network
from qdeploy.ir.printing import float_down, float_up
from qdeploy.pipeline import artifacts, reads
from qdeploy.pipeline.artifacts import SIMILARITY, Target
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.proof.similarity import Constraints, Question, Relation

DEFAULT_TIME = 30.0
_LARGEST_WEIGHT = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """The options of `qdeploy compare`, as given."""

    first: Path
    second: Path
    inputs: str
    inputs_b: str | None = None
    relation: str = Relation.EQUAL.value
    input_format: str | None = None
    weights_of_bound: str | None = None
    method: str = Constraints.OURS.value
    time_limit: float = DEFAULT_TIME
    output: Path | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """What `qdeploy compare` answers."""

    networks: tuple[Network, Network]
    proven: proof.ProvenSimilarity
    claim: proof.Similarity
    summary: dict[str, Any]
    path: Path
    note: str
    """What was not tried; empty where nothing was left out."""


def run_compare(options: CompareOptions, watch: Stopwatch) -> Compared:
    """Import both models, search for a bound, write the claim, and check what was written."""
    relation, fmt = _relation(options), _format(options)
    request = SimilarityRequest(
        _weights(options.weights_of_bound, relation),
        time_limit=_time_limit(options.time_limit),
        constraints=Constraints(options.method),
    )
    target = _target(options)
    artifacts.check(target)
    with watch.stage("import"):
        networks = (importer.run(options.first), importer.run(options.second))
        question = _question(options, relation, fmt, networks)
    data = reads.with_data((options.first, options.second))
    target = replace(target, inputs=(*target.inputs, *data))
    artifacts.check(target)
    with watch.stage("certify"):
        found = _search(networks, question, request, watch)
    content = proof.write_similarity(found.claim)
    with watch.stage("check"):
        proven = proof.check_similarity(networks, proof.read_similarity(content))
    artifacts.write(target, content)
    summary = _summary(found, proven, content, request.weights)
    summary["seconds"] = watch.total()
    return Compared(networks, proven, found.claim, summary, target.path, found.note)


def _target(options: CompareOptions) -> Target:
    regions = (*reads.regions(options.inputs), *reads.regions(options.inputs_b))
    path = options.output or Path("similarity.json")
    inputs = (options.first, options.second, *regions)
    return Target(path, SIMILARITY, options.force, inputs)


def _search(
    networks: tuple[Network, Network],
    question: Question,
    request: SimilarityRequest,
    watch: Stopwatch,
) -> search.Found:
    try:
        return search.run(networks, question, request, watch.tell)
    except RefusedError as refusal:
        raise InputError(
            refusal.what,
            where=Where(f"{networks[0].source.name}, {networks[1].source.name}"),
            fix="compare chains of dense layers with equally many inputs and outputs, whose "
            "activations are ReLUs or the same layer by layer",
        ) from refusal


def _relation(options: CompareOptions) -> Relation:
    try:
        relation = Relation(options.relation)
    except ValueError as problem:
        known = ", ".join(r.value for r in Relation)
        raise UsageError(
            f"--relation {options.relation!r} is unknown", fix=f"choose one of {known}"
        ) from problem
    if relation is Relation.EQUAL and options.inputs_b is not None:
        raise UsageError(
            "equal inputs lie in one region, so --inputs-b says nothing",
            fix="leave --inputs-b out, or say --relation independent",
        )
    if (relation is Relation.QUANTISED) != (options.input_format is not None):
        raise UsageError(
            "--input-format belongs to --relation quantised, and is needed there",
            fix="write for example --relation quantised --input-format 4.12",
        )
    return relation


def _format(options: CompareOptions) -> QFormat | None:
    if options.input_format is None:
        return None
    return parse_format(options.input_format, "--input-format")


def _time_limit(seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise UsageError(
            f"--time-limit {seconds} is no positive number of seconds",
            fix="write for example --time-limit 60",
        )
    return seconds


def _weights(text: str | None, relation: Relation) -> Weights:
    """Read wx1,wx2,wx,w; by default only what the relation leaves a meaning has a weight.

    Raises:
        UsageError: not four numbers, or the constant is free.
    """
    if text is None:
        return Weights(x=1.0 if relation is Relation.INDEPENDENT else 0.0)
    try:
        values = [_number(part) for part in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError):
        values = []
    if len(values) != 4 or not all(0 <= v <= _LARGEST_WEIGHT for v in values) or values[3] == 0:  # noqa: PLR2004
        raise UsageError(
            f"--weights-of-bound {text[:80]!r} is not four weights wx1,wx2,wx,w with w > 0",
            fix="write for example --weights-of-bound 0,0,1/16,1e6; weight 0 leaves a term out",
        )
    return Weights(*values)


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(text)


def _question(
    options: CompareOptions,
    relation: Relation,
    fmt: QFormat | None,
    networks: tuple[Network, Network],
) -> Question:
    first = _region(options.inputs, networks[0], "--inputs")
    delta = Fraction(0) if fmt is None else fmt.step
    if options.inputs_b is not None:
        second = _region(options.inputs_b, networks[1], "--inputs-b")
    else:
        low, high = (tuple(v - delta for v in first.lo), tuple(v + delta for v in first.hi))
        second = Box.enclosing(low, high)
    if fmt is not None and (min(first.lo) < fmt.min - delta or max(first.hi) > fmt.max + delta):
        raise UsageError(
            f"--input-format {fmt.ib}.{fmt.fb} saturates inside --inputs, by more than one step",
            fix="give the format more integer bits",
        )
    return Question(first, second, relation, delta)


def _region(spec: str, network: Network, option: str) -> Box:
    regions = importer.read_regions(spec, network.inputs[0].size)
    if len(regions) != 1:
        raise UsageError(
            f"{option} stands for {len(regions)} regions; two networks are compared over one",
            fix="give LO:HI or a file with one box",
        )
    return regions[0]


def _summary(
    found: search.Found, proven: proof.ProvenSimilarity, content: bytes, weights: Weights
) -> dict[str, Any]:
    claim, question = found.claim, found.claim.question
    methods = [claim.constraints.value] if claim.sides or claim.theorem.proof is not None else []
    x1, x2, x = (float_up(Fraction(g)) for g in proven.theorem.gammas)
    constant = float_up(Fraction(proven.theorem.constant))
    return {
        "qdeploy": __version__,
        "models": [
            {"name": name, "sha256": sha, "cut": list(cut)}
            for name, sha, cut in zip(claim.names, claim.digests, claim.cuts, strict=True)
        ],
        "relation": question.relation.value,
        "delta": float_up(question.delta),
        "inputs": [
            {"lo": [float(v) for v in box.lo], "hi": [float(v) for v in box.hi]}
            for box in (question.first, question.second)
        ],
        "weights": [*weights.factors, weights.constant],
        "gammas": {"x1": x1, "x2": x2, "x": x, "constant": constant},
        "per_output": [float_up(Fraction(b)) for b in proven.per_output],
        "linf": float_up(Fraction(proven.linf)),
        "attack": {
            "linf": float_down(Fraction(claim.attack.linf)),
            "x1": [float(v) for v in claim.attack.x1],
            "x2": [float(v) for v in claim.attack.x2],
        },
        "methods": ["linear", *methods],
        "note": found.note or None,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
