"""`qdeploy verify`: the exact checker, in a process that loads no solver."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from qdeploy import checking, proof
from qdeploy.checking import Checked, CheckedPair
from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.cli._checking import operations_option
from qdeploy.cli._cut import cut_lines
from qdeploy.cli._similar import describe, region
from qdeploy.diagnostics import ExitCode, RefusedError
from qdeploy.ir.printing import text_up

EXAMPLE = """\b
Examples:
  qdeploy verify build-virtual-m4
  qdeploy verify build-virtual-m4 --model pendulum.onnx --sources build-virtual-m4/library
  qdeploy verify certificate.json --model pendulum.onnx"""

_MOST_REGIONS = 3


@click.command("verify", short_help="Check a certificate, without any solver.", epilog=EXAMPLE)
@click.argument("path", type=click.Path(path_type=Path), metavar="CERTIFICATE|OUT")
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
@operations_option
@click.option(
    "--pure",
    is_flag=True,
    help="Form every sum in integers, none in double precision: slower, and the numbers are the "
    "same.",
)
@json_option
def command(model: tuple[Path, ...], **given: Any) -> Answer:  # noqa: ANN401  click's values
    """Check a certificate in exact arithmetic, from the model file and the certificate alone.

    OUT is the folder that qdeploy build wrote; its copy of the model is used where none is given.
    """
    try:
        checked = checking.run(checking.Question(models=model, **given))
    except RefusedError as refusal:
        data = checking.describe_refusal(refusal)
        return Answer(data, f"refused: {refusal}", ExitCode.NO)
    facts = _pair(checked) if isinstance(checked, CheckedPair) else _facts(checked)
    return Answer(checking.describe(checked), f"proven\n\n{columns(facts, '  ')}")


def _pair(checked: CheckedPair) -> list[tuple[str, str]]:
    named = [("certificate", checked.name)]
    for which, model, network in zip(("f1", "f2"), checked.models, checked.networks, strict=True):
        named += [(which, model.name), *cut_lines(network, f"cut of {which}")]
    return [*named, *describe(checked.proven)]


def _facts(checked: Checked) -> list[tuple[str, str]]:
    proven = checked.proven
    linf, l2 = (Fraction(max(p.linf for p in proven)), Fraction(max(p.l2 for p in proven)))
    whose = ", the copy in the build folder" if checked.copied else ""
    facts = [
        ("certificate", checked.name),
        ("model", f"{checked.model.name}{whose}"),
        ("", f"sha256 {checked.statement.certificate.model_sha256}"),
        *cut_lines(checked.network),
        ("bound", f"|device - network| <= {text_up(linf)} over {_regions(proven)}"),
        ("2-norm", f"<= {text_up(l2)}"),
    ]
    if checked.sources is not None:
        facts.append(("sources", f"{checked.sources} is what the certified program generates"))
    claim = checked.statement.certificate.decision
    if claim is not None:
        counts = checking.decisions(checked).items()
        said = ", ".join(f"{count} {name}" for name, count in counts)
        facts.append(("decision", f"{claim.kind.value}: {said} of {len(proven)} regions"))
    return facts


def _regions(proven: Sequence[proof.Proven]) -> str:
    """Say the corners: a name in a certificate is what somebody chose to write there."""
    shown = [region(p.box) for p in proven[:_MOST_REGIONS]]
    if len(proven) > _MOST_REGIONS:
        shown.append(f"and {len(proven) - _MOST_REGIONS} more regions")
    return "; ".join(shown)


COMMAND = command
