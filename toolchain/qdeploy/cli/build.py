"""`qdeploy build`: from the model to validated firmware and its certificate."""

from pathlib import Path

import click

from qdeploy.boards import DEFAULT
from qdeploy.cli._answer import Answer, json_option
from qdeploy.cli._options import network_options, with_options
from qdeploy.cli._progress import progress
from qdeploy.cli._text import describe_build
from qdeploy.pipeline import Options, run_build

EXAMPLE = """\b
Examples:
  qdeploy build pendulum.onnx --inputs box.json --bits 12 --tolerance 0.5
  qdeploy build pendulum.onnx --inputs -1:1 --board virtual-m4 -o build-unit"""


@click.command(
    "build", short_help="Turn a model into validated, certified firmware.", epilog=EXAMPLE
)
@network_options
@click.option(
    "--board",
    default=DEFAULT,
    show_default=True,
    metavar="B",
    help="The board: a name that `qdeploy boards` lists, or the folder of your own.",
)
@click.option("--compiler", metavar="NAME", help="clang or gcc. Default: the first installed.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="The folder to write; an earlier build there is replaced. Default: build-BOARD.",
)
@click.option(
    "--no-run",
    is_flag=True,
    help="Do not run the firmware; boards without an emulator are never run by build.",
)
@json_option
@with_options
def command(options: Options) -> Answer:
    """Turn MODEL.onnx into firmware for a board, with a proven bound on its deviation.

    Writes the C library, the firmware image, the certificate and a report, and unless --no-run is
    given runs the firmware on the board and compares every output.
    """
    with progress() as watch:
        built = run_build(options, watch)
    look_at = (
        ("report", str(built.folder / "report.html")),
        ("certificate", str(built.folder / "certificate.html")),
        ("library", str(built.folder / "library")),
        ("firmware", str(built.folder / "firmware")),
    )
    text = describe_build(built.material, look_at, watch.seconds(), built.tolerance)
    return Answer(built.summary, text, built.code)


COMMAND = command
