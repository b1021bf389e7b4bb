"""`qdeploy verify`: the exact checker, in a process that loads no solver.

What it answers rests on the importer, `proof` and, with --sources, the generator alone.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import click

from qdeploy import importer, proof
from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.cli._cut import cut_lines
from qdeploy.cli._similar import describe, region
from qdeploy.diagnostics import ExitCode, InputError, RefusedError, UsageError, Where
from qdeploy.ir import Network
from qdeploy.ir.printing import float_up, text_up

EXAMPLE = """\b
Example:
  qdeploy verify build-virtual-m4/certificate.json --model controller.onnx"""

MOST_BYTES = 256 * 1024 * 1024
C_FILES = frozenset({".c", ".h", ".s", ".S"})
"""A file of these in a library could change what is compiled."""
_MOST_REGIONS = 3


@click.command("verify", short_help="Check a certificate, without any solver.", epilog=EXAMPLE)
@click.argument("certificate", type=click.Path(path_type=Path), metavar="CERTIFICATE")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    metavar="MODEL.onnx",
    help="The model the certificate is about; two of them, in order, for what compare wrote.",
)
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also generate the C library again and compare it with DIR, byte for byte.",
)
@json_option
def command(certificate: Path, model: tuple[Path, ...], sources: Path | None) -> Answer:
    """Check a certificate in exact arithmetic, from the model file and the certificate alone."""
    content = _read(certificate)
    if proof.is_similarity(content):
        return _similarity(content, certificate.name, model, sources)
    if len(model) != 1:
        raise UsageError("a certificate is about one model", fix="give --model once")
    return _certificate(content, certificate.name, model[0], sources)


def _certificate(content: bytes, name: str, model: Path, sources: Path | None) -> Answer:
    network = importer.run(model)
    try:
        statement = proof.read(content)
        proven = proof.check(network, statement.certificate)
        if sources is not None:
            _compare(statement, sources)
    except RefusedError as refusal:
        return _refused(refusal)
    answer = _proven(proven, name, network, sources)
    return _with_decision(answer, statement.certificate, proven)


def _similarity(
    content: bytes, name: str, models: tuple[Path, ...], sources: Path | None
) -> Answer:
    """Check what `qdeploy compare` wrote."""
    if len(models) != len(("first", "second")) or sources is not None:
        raise UsageError(
            "this file compares two models, and no library belongs to it",
            fix="give --model twice, first and second model, and no --sources",
        )
    networks = (importer.run(models[0]), importer.run(models[1]))
    try:
        proven = proof.check_similarity(networks, proof.read_similarity(content))
    except RefusedError as refusal:
        return _refused(refusal)
    facts = [("certificate", name)]
    for which, network in zip(("f1", "f2"), networks, strict=True):
        facts += [(which, network.source.name), *cut_lines(network, f"cut of {which}")]
    x1, x2, x = (float_up(Fraction(g)) for g in proven.theorem.gammas)
    constant = float_up(Fraction(proven.theorem.constant))
    data = {
        "verdict": "proven",
        "linf": float_up(Fraction(proven.linf)),
        "per_output": [float_up(Fraction(b)) for b in proven.per_output],
        "gammas": {"x1": x1, "x2": x2, "x": x, "constant": constant},
        "cut": [list(network.cut) for network in networks],
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

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", fix="give OUT/library of a build")
    library = generate.library(statement.certificate.program)
    for name, content in library.files.items():
        path = folder / name
        if not path.is_file():
            raise RefusedError(f"sources: {name} is missing from {folder}")
        if _read(path, f"source file {name}") != content:
            raise RefusedError(f"sources: {name} is not what the certified program generates")
    for path in sorted(folder.iterdir()):
        if path.suffix in C_FILES and path.name not in library.files:
            raise RefusedError(f"sources: {path.name} is no file the certified program generates")
    if statement.subjects.get("library", proof.tree_digest(library)) != proof.tree_digest(library):
        raise RefusedError("subject: the certificate is for another library")


def _refused(refusal: RefusedError) -> Answer:
    data = {"verdict": "refused", "linf": None, "reason": refusal.what}
    return Answer(data, f"refused: {refusal}", ExitCode.NO)


def _proven(
    proven: Sequence[proof.Proven], certificate: str, network: Network, sources: Path | None
) -> Answer:
    linf, l2 = max(p.linf for p in proven), max(p.l2 for p in proven)
    outputs = zip(*(p.per_output for p in proven), strict=True)
    facts = [
        ("certificate", certificate),
        ("model", network.source.name),
        *cut_lines(network),
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
        "cut": list(network.cut),
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
