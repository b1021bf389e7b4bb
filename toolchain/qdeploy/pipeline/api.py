"""The Python API: `qdeploy.build`, `certify` and `compare` take the command line's options.

`qdeploy.certify` is the stage of that name, so its function stands here.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from qdeploy.pipeline.options import Options
from qdeploy.pipeline.similarity import CompareOptions, run_compare
from qdeploy.pipeline.stages import run_build, run_certify
from qdeploy.pipeline.stopwatch import Stopwatch


class NetworkOptions(TypedDict, total=False):
    """Options of `build` and `certify`; `qdeploy certify --help` explains each."""

    inputs: str | None
    bits: int
    weights: str | None
    biases: str | None
    activations: str
    input_format: str | None
    rounding: str
    quantizer: str | None
    prune: str | None
    deploy: Path | str | None
    tolerance: str | float | None
    norm: str
    method: str | None
    work: float | None
    decision: str | None
    time_limit: float | None
    jobs: int | None
    cluster: str | None
    name: str | None
    output: Path | str | None


class BuildOptions(NetworkOptions, total=False):
    """Options of `build` alone."""

    board: str
    compiler: str | None
    no_run: bool


def build(model: Path | str, **options: Unpack[BuildOptions]) -> dict[str, Any]:
    """Build and validate firmware, as `qdeploy build` does; return what --json prints.

    Raises:
        QdeployError: what is wrong, where, and how to fix it.
    """
    return run_build(_options(model, options), Stopwatch()).summary


def certify(model: Path | str, **options: Unpack[NetworkOptions]) -> dict[str, Any]:
    """Prove a bound, as `qdeploy certify` does; return what --json prints.

    Raises:
        QdeployError: what is wrong, where, and how to fix it.
    """
    return run_certify(_options(model, options), Stopwatch()).summary


class SimilarityOptions(TypedDict, total=False):
    """Options of `compare` beside `inputs`; `qdeploy compare --help` explains each."""

    inputs_b: str | None
    relation: str
    input_format: str | None
    weights_of_bound: str | None
    method: str
    time_limit: float
    output: Path | None


def compare(
    first: Path | str, second: Path | str, inputs: str, **options: Unpack[SimilarityOptions]
) -> dict[str, Any]:
    """Bound how far apart two models' outputs are, as `qdeploy compare` does.

    Raises:
        QdeployError: what is wrong, where, and how to fix it.
    """
    asked = CompareOptions(first=Path(first), second=Path(second), inputs=inputs, **options)
    return run_compare(asked, Stopwatch()).summary


def _options(model: Path | str, given: BuildOptions | NetworkOptions) -> Options:
    """Take paths as strings and a tolerance as a number, too."""
    options = Options(model=Path(model), **given)
    return replace(
        options,
        deploy=None if options.deploy is None else Path(options.deploy),
        output=None if options.output is None else Path(options.output),
        tolerance=None if options.tolerance is None else str(options.tolerance),
    )
