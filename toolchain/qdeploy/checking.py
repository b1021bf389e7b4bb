"""Checking a certificate again, from the model file and the certificate alone.

What `qdeploy verify` and `qdeploy.verify` do. It rests on the importer, `proof` and, where a
library is compared, the generator: no solver is loaded.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, Unpack

from qdeploy import importer, proof
from qdeploy.arguments import check_arguments, check_value
from qdeploy.diagnostics import InputError, RefusedError, UsageError, Where
from qdeploy.ir import Network
from qdeploy.ir.printing import float_up
from qdeploy.reading import Kind, is_file, is_folder, read_bytes, shown

_KIND = Kind(
    "the certificate",
    1 << 28,
    "give a file that qdeploy build, certify or compare wrote, or the folder that build wrote",
)
_CERTIFICATE = "certificate.json"
_TWO = 2


class VerifyOptions(TypedDict, total=False):
    """Options of `verify`; `qdeploy verify --help` explains each."""

    model: Path | str | None
    second_model: Path | str | None
    sources: Path | str | None
    operations: int
    pure: bool


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be checked."""

    path: Path
    """A certificate, what compare wrote, or a build folder."""
    models: tuple[Path, ...] = ()
    sources: Path | None = None
    operations: int = proof.DEFAULT_OPERATIONS
    """That checking may take, over all regions."""
    pure: bool = False
    """Whether every sum is formed in integers, none in double precision."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate that holds."""

    name: str
    model: Path
    copied: bool
    """Whether the model is the copy in a build folder."""
    statement: proof.Statement
    proven: tuple[proof.Proven, ...]
    sources: Path | None
    """A library that the certified program generates."""
    network: Network


@dataclass(frozen=True, slots=True)
class CheckedPair:
    """A comparison of two models that holds."""

    name: str
    models: tuple[Path, Path]
    proven: proof.ProvenSimilarity
    networks: tuple[Network, Network]


def verify(certificate: Path | str, **options: Unpack[VerifyOptions]) -> dict[str, Any]:
    """Check a certificate in exact arithmetic, as `qdeploy verify` does; return what --json prints.

    Args:
        certificate: a certificate, what `compare` wrote, or a build folder.
        **options: `model`, the model file; a build folder has a copy of its own, which is taken
            where none is given. `second_model`, for what `compare` wrote. `sources`, a library
            to compare with the one that the certified program generates. `operations`, the most
            that checking may take; `pure`, to form every sum in integers.

    Returns:
        An object whose `verdict` is `proven` or `refused`; then `reason` says why.

    Raises:
        QdeployError: an argument is wrong, or a file cannot be read.
    """
    path = Path(check_value("certificate", certificate, Path | str, needed=True))
    given = check_arguments("verify", options, VerifyOptions)
    models = tuple(Path(given[k]) for k in ("model", "second_model") if given.get(k) is not None)
    sources = given.get("sources")
    limits = {name: given[name] for name in ("operations", "pure") if name in given}
    question = Question(path, models, None if sources is None else Path(sources), **limits)
    try:
        return dict(describe(run(question)))
    except RefusedError as refusal:
        return dict(describe_refusal(refusal))


def run(question: Question) -> Checked | CheckedPair:
    """Check what the question names.

    Raises:
        RefusedError: it does not hold; the reason names the part.
        UsageError: models are missing, or too many.
        InputError: a file cannot be read.
    """
    proof.check_operations(question.operations)
    with proof.integers_only() if question.pure else nullcontext():
        return _checked(question)


def _checked(question: Question) -> Checked | CheckedPair:
    folder = question.path if is_folder(question.path) else None
    content = _content(question, folder)
    name = question.path.name if folder is None else _CERTIFICATE
    if proof.is_similarity(content):
        return _pair(question, name, content)
    if len(question.models) > 1:
        raise UsageError("a certificate is about one model", fix="give --model once")
    return _certificate(question, name, content, folder)


def _content(question: Question, folder: Path | None) -> bytes:
    """Read the certificate that a file is, or a build folder holds."""
    if folder is not None:
        if not is_file(folder / _CERTIFICATE):
            raise InputError(
                f"folder {shown(folder)} holds no {_CERTIFICATE}",
                where=Where(shown(folder)),
                fix="give the folder that qdeploy build wrote, or a certificate",
            )
        return read_bytes(folder / _CERTIFICATE, _KIND)
    if not question.models:
        raise UsageError(
            "no --model is given, and the certificate alone proves nothing",
            fix="give the model file with --model, or the whole build folder instead of "
            "the certificate",
        )
    return read_bytes(question.path, _KIND)


def _certificate(question: Question, name: str, content: bytes, folder: Path | None) -> Checked:
    statement = proof.read(content)
    model = _model(question, statement.certificate, folder)
    network = importer.run(model)
    proven = proof.check(network, statement.certificate, question.operations)
    if question.sources is not None:
        _compare(statement, question.sources)
    copied, sources = not question.models, question.sources
    return Checked(name, model, copied, statement, proven, sources, network)


def _model(question: Question, certificate: proof.Certificate, folder: Path | None) -> Path:
    """Return the model that was named, or the copy that a build keeps of the one it is about."""
    if question.models:
        return question.models[0]
    name = certificate.model_name
    if folder is None or name in ("", "..") or name != Path(name).name:
        raise RefusedError("model: its name is no name of a file")
    return folder / "model" / name


def _compare(statement: proof.Statement, folder: Path) -> None:
    """Compare a library with the one that follows from the certified program.

    Raises:
        RefusedError: they differ; the first file is named.
        InputError: the folder cannot be read.
    """
    from qdeploy import generate  # noqa: PLC0415  without --sources no generator is loaded

    called = statement.certificate.library_name
    library = generate.library(statement.certificate.program, called)
    generate.check_stored(library, called, folder)
    if statement.subjects.get("library", proof.tree_digest(library)) != proof.tree_digest(library):
        raise RefusedError("subject: the certificate is for another library")


def _pair(question: Question, name: str, content: bytes) -> CheckedPair:
    """Check what `qdeploy compare` wrote."""
    if len(question.models) != _TWO or question.sources is not None:
        raise UsageError(
            "this file compares two models, and no library belongs to it",
            fix="give --model twice, first and second model, and no --sources",
        )
    first, second = question.models
    networks = (importer.run(first), importer.run(second))
    proven = proof.check_similarity(networks, proof.read_similarity(content))
    return CheckedPair(name, (first, second), proven, networks)


# --- for programs ----------------------------------------------------------------------------


def describe(checked: Checked | CheckedPair) -> Mapping[str, Any]:
    """Return what --json prints."""
    return _described_pair(checked) if isinstance(checked, CheckedPair) else _described(checked)


def describe_refusal(refusal: RefusedError) -> Mapping[str, Any]:
    """Return what --json prints where the answer is no."""
    return {"verdict": "refused", "linf": None, "reason": refusal.what}


def _described(checked: Checked) -> Mapping[str, Any]:
    proven, certificate = checked.proven, checked.statement.certificate
    outputs = zip(*(p.per_output for p in proven), strict=True)
    data = {
        "verdict": "proven",
        "model": {"name": checked.model.name, "sha256": certificate.model_sha256},
        "linf": float_up(Fraction(max(p.linf for p in proven))),
        "l2": float_up(Fraction(max(p.l2 for p in proven))),
        "per_output": [float_up(Fraction(max(column))) for column in outputs],
        "regions": [
            {"lo": [float(v) for v in p.box.lo], "hi": [float(v) for v in p.box.hi]} for p in proven
        ],
        "cut": list(checked.network.cut),
        "reason": None,
    }
    if certificate.decision is None:
        return data
    kind = certificate.decision.kind.value
    return {**data, "decision": {"kind": kind, **decisions(checked)}}


def decisions(checked: Checked) -> dict[str, int]:
    """Return in how many regions each status of the decision holds."""
    found = [p.decision for p in checked.proven]
    return {status.value: found.count(status) for status in proof.DecisionStatus}


def _described_pair(checked: CheckedPair) -> Mapping[str, Any]:
    proven = checked.proven
    x1, x2, x = (float_up(Fraction(g)) for g in proven.theorem.gammas)
    return {
        "verdict": "proven",
        "linf": float_up(Fraction(proven.linf)),
        "per_output": [float_up(Fraction(b)) for b in proven.per_output],
        "gammas": {
            "x1": x1,
            "x2": x2,
            "x": x,
            "constant": float_up(Fraction(proven.theorem.constant)),
        },
        "cut": [list(network.cut) for network in checked.networks],
        "reason": None,
    }
