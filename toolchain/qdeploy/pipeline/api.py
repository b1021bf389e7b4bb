"""The Python API: functions that take the command line's options and return what --json prints."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, Unpack

from qdeploy import importer
from qdeploy.arguments import check_arguments, check_value
from qdeploy.diagnostics import ExitCode, StoppedError
from qdeploy.pipeline.device import ValidateOptions, run_validate
from qdeploy.pipeline.inspection import inspect_data
from qdeploy.pipeline.loaded import Loaded, load_build
from qdeploy.pipeline.options import Options
from qdeploy.pipeline.similarity import CompareOptions, run_compare
from qdeploy.pipeline.stages import run_build, run_certify
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.proof import DEFAULT_OPERATIONS


class NetworkOptions(TypedDict, total=False):
    """Options of `build` and `certify`; `qdeploy certify --help` explains each."""

    inputs: Path | str | None
    bits: int
    weights: str | None
    biases: str | None
    activations: str
    input_format: str | None
    ranges: str
    rounding: str
    quantizer: str | None
    prune: str | None
    deploy: Path | str | None
    tolerance: str | float | Fraction | Decimal | None
    norm: str
    method: str | None
    work: float | None
    decision: str | None
    time_limit: float | None
    memory: str | int | None
    jobs: int | None
    cluster: str | None
    name: str | None
    output: Path | str | None
    force: bool


class BuildOptions(NetworkOptions, total=False):
    """Options of `build` alone."""

    board: Path | str
    compiler: str | None
    no_run: bool


class SimilarityOptions(TypedDict, total=False):
    """Options of `compare`; `qdeploy compare --help` explains each."""

    inputs_b: Path | str | None
    relation: str
    input_format: str | None
    weights_of_bound: str | None
    method: str
    time_limit: float
    output: Path | str | None
    force: bool


class DeviceOptions(TypedDict, total=False):
    """Options of `validate`; `qdeploy validate --help` explains each."""

    port: str | None
    board: Path | str | None
    vectors: Path | str | int | None
    junit: Path | str | None
    operations: int
    force: bool


class LoadOptions(TypedDict, total=False):
    """Options of `load`."""

    check: bool
    operations: int


def build(model: Path | str, **options: Unpack[BuildOptions]) -> dict[str, Any]:
    """Build and validate firmware, as `qdeploy build` does; return what --json prints.

    Args:
        model: an ONNX file.
        **options: those of the command line, with underscores. `inputs`, the region; formats:
            `bits`, `weights`, `biases`, `activations`, `input_format`, `ranges`, `rounding`,
            `quantizer`; another network on the device: `prune`, `deploy`; the question:
            `tolerance`, `norm`, `decision`; the search: `method`, `work`, `time_limit`, `memory`,
            `jobs`, `cluster`; the firmware: `board`, `compiler`, `no_run`; the result: `name`,
            `output`, `force`.

    Returns:
        The content of build.json. Its `answer` is `yes`, `no` or `inconclusive`.

    Raises:
        StoppedError: by Ctrl-C; the folder then holds the build with the best bound so far.
        QdeployError: what is wrong, where, and how to fix it.
    """
    built = run_build(_options("build", model, options, BuildOptions), Stopwatch())
    if built.code is ExitCode.INTERRUPTED:
        raise StoppedError(
            f"interrupted; {built.folder} holds the build with the best bound so far",
            fix=f"check it with qdeploy verify {built.folder}, or let the search run for longer",
        )
    return built.summary


def certify(model: Path | str, **options: Unpack[NetworkOptions]) -> dict[str, Any]:
    """Prove a bound, as `qdeploy certify` does; return what --json prints.

    Args:
        model: an ONNX file.
        **options: those of the command line, with underscores; those of `build` without
            `board`, `compiler` and `no_run`.

    Raises:
        StoppedError: by Ctrl-C; the file then holds the best certificate so far.
        QdeployError: what is wrong, where, and how to fix it.
    """
    asked = _options("certify", model, options, NetworkOptions)
    return run_certify(asked, Stopwatch()).summary


def compare(
    first: Path | str,
    second: Path | str,
    inputs: Path | str,
    **options: Unpack[SimilarityOptions],
) -> dict[str, Any]:
    """Bound how far apart two models' outputs are, as `qdeploy compare` does.

    Args:
        first: an ONNX file.
        second: another one.
        inputs: the region.
        **options: those of the command line, with underscores: `inputs_b`, `relation`,
            `input_format`, `weights_of_bound`, `method`, `time_limit`, `output`, `force`.

    Returns:
        What --json prints.

    Raises:
        QdeployError: what is wrong, where, and how to fix it.
    """
    given = check_arguments("compare", options, SimilarityOptions)
    asked = CompareOptions(
        first=_path("first", first),
        second=_path("second", second),
        inputs=str(check_value("inputs", inputs, Path | str, needed=True)),
        **_texts(_paths(given, "output"), "inputs_b"),
    )
    return run_compare(asked, Stopwatch()).summary


def validate(folder: Path | str, **options: Unpack[DeviceOptions]) -> dict[str, Any]:
    """Run a build's device and compare, as `qdeploy validate` does; return what --json prints.

    Args:
        folder: what `build` wrote.
        **options: `port` of a device; `board`, another one with the same hardware; `vectors`, a
            number or an .npz file; `junit`, a file to write the result to as well;
            `operations`, the most that checking the certificate may take; `force`, to replace
            `junit` whatever it is.

    Returns:
        An object whose `answer` is `yes` or `no`, and whose `validation` says what was measured.

    Raises:
        QdeployError: what is wrong, where, and how to fix it.
    """
    given = check_arguments("validate", options, DeviceOptions)
    vectors = given.pop("vectors", None)
    asked = ValidateOptions(
        _path("folder", folder),
        vectors=None if vectors is None else str(vectors),
        **_texts(_paths(given, "junit"), "board"),
    )
    return run_validate(asked, Stopwatch()).summary


def inspect(model: Path | str) -> dict[str, Any]:
    """Show a model's layers, parameters and ranges, as `qdeploy inspect --json` does.

    Args:
        model: an ONNX file.

    Raises:
        QdeployError: what is wrong, where, and how to fix it.
    """
    return inspect_data(importer.run(_path("model", model)))


def load(folder: Path | str, **options: Unpack[LoadOptions]) -> Loaded:
    """Load a build, to run its integer program on arrays: `load(OUT).run(x)`.

    Every file that the certificate names is compared with its digest.

    Args:
        folder: what `build` wrote.
        **options: `check`, by default True: also prove the certificate's bounds again, which may
            take as long as `verify`. Without it nothing is known to be proven: every `bound` of
            the result is None. `operations`, the most that the check may take.

    Raises:
        RefusedError: a file is not what the certificate names, or the certificate does not check.
        QdeployError: what is wrong, where, and how to fix it.
    """
    given = check_arguments("load", options, LoadOptions)
    operations = given.get("operations", DEFAULT_OPERATIONS) if given.get("check", True) else None
    return load_build(_path("folder", folder), operations)


# --- arguments -------------------------------------------------------------------------------


def _path(name: str, value: object) -> Path:
    return Path(check_value(name, value, Path | str, needed=True))


def _options(
    function: str, model: object, given: BuildOptions | NetworkOptions, kinds: type
) -> Options:
    """Take paths as text, and numbers where the command line reads them from text."""
    found = check_arguments(function, given, kinds)
    found = _texts(_paths(found, "deploy", "output"), "inputs", "board", "tolerance", "memory")
    return Options(model=_path("model", model), **found)


def _paths(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return _converted(given, names, Path)


def _texts(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return _converted(given, names, str)


def _converted(
    given: dict[str, Any], names: tuple[str, ...], kind: Callable[[Any], object]
) -> dict[str, Any]:
    """Return the arguments, those of the given names converted where they are there."""
    return {
        name: kind(value) if name in names and value is not None else value
        for name, value in given.items()
    }
