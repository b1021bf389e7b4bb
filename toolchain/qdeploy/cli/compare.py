"""`qdeploy compare`: how far apart the outputs of two networks can be."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.cli._cut import cut_lines
from qdeploy.cli._options import force_option
from qdeploy.cli._progress import progress
from qdeploy.cli._similar import describe
from qdeploy.cli._text import model_line, time_line
from qdeploy.ir.printing import text_down, text_up
from qdeploy.pipeline import Compared, CompareOptions, run_compare

EXAMPLE = """\b
Examples:
  qdeploy compare trained.onnx pruned.onnx --inputs -1:1
  qdeploy compare a.onnx b.onnx --inputs -1:1 --relation independent --weights-of-bound 0,0,1,1
  qdeploy compare a.onnx b.onnx --inputs box.json --relation quantised --input-format 4.12"""


@click.command(
    "compare", short_help="Prove how far apart two models' outputs can be.", epilog=EXAMPLE
)
@click.argument("first", type=click.Path(path_type=Path), metavar="A.onnx")
@click.argument("second", type=click.Path(path_type=Path), metavar="B.onnx")
@click.option(
    "--inputs",
    required=True,
    metavar="BOX",
    help="The inputs x1 of A: LO:HI for all, a .json or .toml file with lo and hi, or a .vnnlib "
    "file.",
)
@click.option(
    "--inputs-b", metavar="BOX", help="The inputs x2 of B. Default: all that --inputs allows."
)
@click.option(
    "--relation",
    type=click.Choice(["equal", "independent", "quantised"]),
    default="equal",
    show_default=True,
    help="x2 = x1; or any pair; or x2 within one step of --input-format of x1.",
)
@click.option("--input-format", metavar="IB.FB", help="Format of x2, for quantised inputs.")
@click.option(
    "--weights-of-bound",
    metavar="WX1,WX2,WX,W",
    help="Find |f1(x1) - f2(x2)|^2 <= G1 |x1|^2 + G2 |x2|^2 + G3 |x1 - x2|^2 + G with the least "
    "WX1 G1 + WX2 G2 + WX G3 + W G; weight 0 leaves a term out. Default: 0,0,1,1 for independent "
    "inputs, else 0,0,0,1.",
)
@click.option(
    "--method",
    type=click.Choice(["sdp", "sdp-paper"]),
    default="sdp",
    show_default=True,
    help="Our facts, or the constraint set of Li, Drummond and Duncan (2021) for comparison.",
)
@click.option(
    "--time-limit",
    type=float,
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds the semidefinite bounds may take, as predicted.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the claim and its proof. Default: similarity.json.",
)
@force_option
@json_option
def command(**given: Any) -> Answer:  # noqa: ANN401  click's converted values, named like our fields
    """Prove how far apart the outputs of two networks can be, of any depths and widths.

    `qdeploy verify similarity.json --model A.onnx --model B.onnx` checks the proof again.
    """
    with progress() as watch:
        compared = run_compare(CompareOptions(**given), watch)
    return Answer(compared.summary, f"{_text(compared)}\n\n{time_line(watch.seconds())}")


def _text(compared: Compared) -> str:
    first, second = compared.networks
    facts = [
        ("f1", f"{first.source.name}: {model_line(first)}"),
        *cut_lines(first, "cut of f1"),
        ("f2", f"{second.source.name}: {model_line(second)}"),
        *cut_lines(second, "cut of f2"),
        *describe(compared.proven),
        ("found", _found(compared)),
    ]
    if compared.note:
        facts.append(("note", compared.note))
    facts.append(("proof", str(compared.path)))
    return f"{first.name} and {second.name}\n\n{columns(facts, '  ')}"


def _found(compared: Compared) -> str:
    largest = Fraction(compared.claim.attack.linf)
    said = f"{text_down(largest)} is the largest difference found"
    if not largest:
        return said
    ratio = text_up(Fraction(compared.proven.linf) / largest, 3)
    return f"{said}, so the bound is at most {ratio} times the true worst case"


COMMAND = command
