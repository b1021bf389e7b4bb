"""`qdeploy certify`: a proven bound, without a board."""

from pathlib import Path

import click

from qdeploy.cli._answer import Answer, json_option
from qdeploy.cli._options import network_options, with_options
from qdeploy.cli._progress import progress
from qdeploy.cli._text import describe_build
from qdeploy.pipeline import Options, run_certify

EXAMPLE = """\b
Examples:
  qdeploy certify pendulum.onnx --inputs box.json --weights 5.11 --tolerance 0.2
  qdeploy certify digits.onnx --inputs data:samples.npz:0.02 --decision argmax -o digits.json"""


@click.command(
    "certify", short_help="Prove how far a model in fixed point deviates.", epilog=EXAMPLE
)
@network_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the certificate. Default: certificate.json.",
)
@json_option
@with_options
def command(options: Options) -> Answer:
    """Prove how far MODEL.onnx in fixed point deviates from the trained network.

    No compiler and no board are needed.
    """
    with progress() as watch:
        certified = run_certify(options, watch)
    look_at = (("certificate", str(certified.path)),)
    text = describe_build(certified.material, look_at, watch.seconds(), certified.tolerance)
    return Answer(certified.summary, text, certified.code)


COMMAND = command
