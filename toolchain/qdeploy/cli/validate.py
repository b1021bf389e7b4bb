"""`qdeploy validate`: run a build's firmware on its device and compare."""

from pathlib import Path
from typing import Any

import click

from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.cli._checking import operations_option
from qdeploy.cli._options import force_option
from qdeploy.cli._progress import progress
from qdeploy.cli._text import statement_lines, time_line, verdict_lines
from qdeploy.diagnostics import ExitCode
from qdeploy.pipeline.device import ValidateOptions, run_validate

EXAMPLE = """\b
Example:
  qdeploy validate build-virtual-m4 --vectors 1000 --junit validation.xml"""


@click.command("validate", short_help="Run a build's device and compare it.", epilog=EXAMPLE)
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--port",
    metavar="PORT",
    help="Serial port of a device that runs the firmware: /dev/ttyACM0, socket://HOST:PORT or "
    "rfc2217://HOST:PORT. Default: the board's emulator.",
)
@click.option(
    "--board",
    metavar="B",
    help="Another board with the same hardware, by name or folder. Default: the one of the build.",
)
@click.option(
    "--vectors",
    metavar="N|X.npz",
    help="How many vectors to choose, or a file with an array x of inputs. Default: those of OUT.",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the result as JUnit XML, for a test rack.",
)
@operations_option
@force_option
@json_option
def command(**given: Any) -> Answer:  # noqa: ANN401  click's converted values, named like our fields
    """Run the device of a build folder and check it against model, program and certificate.

    Every output must equal the program's integers, and stay within the proven bound of the network.
    """
    with progress() as watch:
        result = run_validate(ValidateOptions(**given), watch)
    code = ExitCode.YES if result.verdict.passed else ExitCode.NO
    lines = statement_lines(result.statement) + verdict_lines(result.verdict)
    text = f"{result.title}\n\n{columns(lines, '  ')}\n\n{time_line(watch.seconds())}"
    return Answer(result.summary, text, code)


COMMAND = command
