"""`qdeploy verify`: the exact checker, in a process that loads no solver.

What it answers rests on the importer, `proof` and, with --sources, the generator alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import click

from qdeploy import importer, proof
from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.cli._similar import describe, region
from qdeploy.diagnostics import ExitCode, InputError, RefusedError, UsageError, Where
from qdeploy.ir.printing import float_up, text_up

EXAMPLE = """\b
Examples:
  qdeploy verify build-virtual-m4
  qdeploy verify build-virtual-m4 --model pendulum.onnx --sources build-virtual-m4/library
  qdeploy verify certificate.json --model pendulum.onnx"""

MOST_BYTES = 256 * 1024 * 1024
_MOST_REGIONS = 3
_CERTIFICATE = "certificate.json"


@dataclass(frozen=True, slots=True)
class _Case:
    """What is to be checked."""

    content: bytes
    name: str
    models: tuple[Path, ...]
    sources: Path | None
    folder: Path | None = None
    """Of a build, whose copy of the model is used where none is named."""


@click.command("verify", short_help="Check a certificate, without any solver.", epilog=EXAMPLE)
@click.argument("certificate", type=click.Path(path_type=Path), metavar="CERTIFICATE|OUT")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="MODEL.onnx",
    help="The model the certificate is about; two of them, in order, for what compare wrote. "
    "Default for a build folder: its own copy.",
)
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also generate the C library again and compare it with DIR, byte for byte.",
)
@json_option
def command(certificate: Path, model: tuple[Path, ...], sources: Path | None) -> Answer:
    """Check a certificate in exact arithmetic, from the model file and the certificate alone.

    OUT is the folder that qdeploy build wrote; its copy of the model is used where none is given.
    """
    case = _find(certificate, model, sources)
    if proof.is_similarity(case.content):
        return _similarity(case)
    if len(case.models) > 1:
        raise UsageError("a certificate is about one model", fix="give --model once")
    return _certificate(case)


def _find(path: Path, models: tuple[Path, ...], sources: Path | None) -> _Case:
    """Read the certificate that a file is or a build folder holds, and find its model."""
    if not path.is_dir():
        if not models:
            raise UsageError(
                "no --model is given, and the certificate alone proves nothing",
                fix="give the model file with --model, or the whole build folder instead of "
                "the certificate",
            )
        return _Case(_read(path), path.name, models, sources)
    if not (path / _CERTIFICATE).is_file():
        raise InputError(
            f"folder {path} holds no {_CERTIFICATE}",
            where=Where(str(path)),
            fix="give the folder that qdeploy build wrote, or a certificate",
        )
    return _Case(_read(path / _CERTIFICATE), _CERTIFICATE, models, sources, path)


def _certificate(case: _Case) -> Answer:
    try:
        statement = proof.read(case.content)
        model = _model(case, statement.certificate)
        network = importer.run(model)
        proven = proof.check(network, statement.certificate)
        if case.sources is not None:
            _compare(statement, case.sources)
    except RefusedError as refusal:
        return _refused(refusal)
    whose = "" if case.models else ", the copy in the build folder"
    facts = [
        ("certificate", case.name),
        ("model", f"{model.name}{whose}"),
        ("", f"sha256 {network.source.sha256}"),
    ]
    answer = _proven(proven, facts, case.sources)
    data = {**answer.data, "model": {"name": model.name, "sha256": network.source.sha256}}
    return _with_decision(replace(answer, data=data), statement.certificate, proven)


def _model(case: _Case, certificate: proof.Certificate) -> Path:
    """Return the model that was named, or the copy that a build keeps of the one it is about."""
    if case.models:
        return case.models[0]
    name = certificate.model_name
    if case.folder is None or name in ("", "..") or name != Path(name).name:
        raise RefusedError("model: its name is no name of a file")
    return case.folder / "model" / name


def _similarity(case: _Case) -> Answer:
    """Check what `qdeploy compare` wrote."""
    models = case.models
    if len(models) != len(("first", "second")) or case.sources is not None:
        raise UsageError(
            "this file compares two models, and no library belongs to it",
            fix="give --model twice, first and second model, and no --sources",
        )
    networks = (importer.run(models[0]), importer.run(models[1]))
    try:
        proven = proof.check_similarity(networks, proof.read_similarity(case.content))
    except RefusedError as refusal:
        return _refused(refusal)
    facts = [("certificate", case.name), ("f1", models[0].name), ("f2", models[1].name)]
    x1, x2, x = (float_up(Fraction(g)) for g in proven.theorem.gammas)
    constant = float_up(Fraction(proven.theorem.constant))
    data = {
        "verdict": "proven",
        "linf": float_up(Fraction(proven.linf)),
        "per_output": [float_up(Fraction(b)) for b in proven.per_output],
        "gammas": {"x1": x1, "x2": x2, "x": x, "constant": constant},
        "reason": None,
    }
    return Answer(data, f"proven\n\n{columns([*facts, *describe(proven)], '  ')}")


def _read(path: Path, what: str = "the certificate") -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{what} cannot be read: {error.strerror}",
            where=Where(str(path)),
            fix="give files that qdeploy build or certify wrote",
        ) from error


def _compare(statement: proof.Statement, folder: Path) -> None:
    """Compare a library with the one that follows from the certified program.

    Raises:
        RefusedError: they differ; the first file is named.
        InputError: the folder cannot be read.
    """
    from qdeploy import generate  # noqa: PLC0415  without --sources no generator is loaded

    library = generate.library(statement.certificate.program)
    generate.check_stored(library, folder)
    if statement.subjects.get("library", proof.tree_digest(library)) != proof.tree_digest(library):
        raise RefusedError("subject: the certificate is for another library")


def _refused(refusal: RefusedError) -> Answer:
    data = {"verdict": "refused", "linf": None, "reason": refusal.what}
    return Answer(data, f"refused: {refusal}", ExitCode.NO)


def _proven(
    proven: Sequence[proof.Proven], facts: list[tuple[str, str]], sources: Path | None
) -> Answer:
    linf, l2 = max(p.linf for p in proven), max(p.l2 for p in proven)
    outputs = zip(*(p.per_output for p in proven), strict=True)
    facts = [
        *facts,
        (
            "bound",
            f"|device - network| <= {text_up(Fraction(linf))} over {_regions(proven)}",
        ),
        ("2-norm", f"<= {text_up(Fraction(l2))}"),
    ]
    if sources is not None:
        facts.append(("sources", f"{sources} is what the certified program generates"))
    data = {
        "verdict": "proven",
        "linf": float_up(Fraction(linf)),
        "l2": float_up(Fraction(l2)),
        "per_output": [float_up(Fraction(max(column))) for column in outputs],
        "regions": [
            {"lo": [float(v) for v in p.box.lo], "hi": [float(v) for v in p.box.hi]} for p in proven
        ],
        "reason": None,
    }
    return Answer(data, f"proven\n\n{columns(facts, '  ')}")


def _with_decision(
    answer: Answer, certificate: proof.Certificate, proven: Sequence[proof.Proven]
) -> Answer:
    """Add in how many regions the decision is proven unchanged, where the certificate says so."""
    if certificate.decision is None:
        return answer
    kind = certificate.decision.kind.value
    found = [p.decision for p in proven]
    counts = {status.value: found.count(status) for status in proof.DecisionStatus}
    said = f"{kind}: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    text = f"{answer.text}\n{columns([('decision', f'{said} of {len(proven)} regions')], '  ')}"
    return Answer({**answer.data, "decision": {"kind": kind, **counts}}, text)


def _regions(proven: Sequence[proof.Proven]) -> str:
    """Say the corners: a name in a certificate is what somebody chose to write there."""
    shown = [region(p.box) for p in proven[:_MOST_REGIONS]]
    if len(proven) > _MOST_REGIONS:
        shown.append(f"and {len(proven) - _MOST_REGIONS} more regions")
    return "; ".join(shown)


COMMAND = command
