"""The line that says what is being done: on stderr, and only for a person."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from qdeploy.diagnostics import visible
from qdeploy.pipeline import Stopwatch

STAGES = {
    "import": "reading the model",
    "quantize": "choosing formats",
    "generate": "generating C",
    "compile": "compiling the firmware",
    "certify": "proving a bound",
    "attack": "searching for the worst input",
    "vectors": "choosing test vectors",
    "run": "running the device",
    "validate": "comparing device, model and bound",
    "report": "writing reports",
    "check": "checking the certificate",
}


@contextmanager
def progress() -> Iterator[Stopwatch]:
    """Give a stopwatch whose stages are shown as they run, if stderr is a terminal."""
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield Stopwatch(warner=lambda text: print(_warning(text), file=sys.stderr))
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("starting")

        def show(stage: str, detail: str) -> None:
            what = STAGES.get(stage, stage)
            bar.update(task, description=visible(f"{what}: {detail}" if detail else what))

        def warn(text: str) -> None:
            console.print(_warning(text), markup=False, highlight=False, soft_wrap=True)

        yield Stopwatch(show, warn)


def _warning(text: str) -> str:
    return f"warning: {visible(text)}"
