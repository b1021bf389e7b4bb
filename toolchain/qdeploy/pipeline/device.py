"""`qdeploy validate`: a finished build against its device, once more."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import __version__, deploy, validator
from qdeploy.diagnostics import ExitCode, QdeployError, UsageError
from qdeploy.ir import Vectors, Verdict
from qdeploy.pipeline import artifacts
from qdeploy.pipeline.artifacts import JUNIT, Target
from qdeploy.pipeline.board import choose_board
from qdeploy.pipeline.claims import bound_of
from qdeploy.pipeline.junit import junit_bytes, junit_error_bytes
from qdeploy.pipeline.outfolder import VECTORS
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.pipeline.stored import Stored, read_build
from qdeploy.pipeline.summary import describe_verdict
from qdeploy.proof import DEFAULT_OPERATIONS, check_operations
from qdeploy.report.values import Statement

VECTOR_SEED = 1
"""Another seed than a build's, so that `--vectors N` tries something else."""
MOST_VECTORS = 1_000_000


@dataclass(frozen=True, slots=True)
class ValidateOptions:
    """The options of `qdeploy validate`, as given."""

    folder: Path
    port: str | None = None
    board: str | None = None
    """None: the one that the build was made for."""
    vectors: str | None = None
    """How many, or the name of a file."""
    junit: Path | None = None
    operations: int = DEFAULT_OPERATIONS
    """That checking the certificate may take."""
    force: bool = False
    """Whether `junit` may take the place of something that we did not write."""


@dataclass(frozen=True, slots=True)
class Validated:
    """What `qdeploy validate` answers."""

    title: str
    statement: Statement
    verdict: Verdict
    summary: dict[str, Any]
    """What --json prints: nothing but what was checked or measured now."""


def run_validate(options: ValidateOptions, watch: Stopwatch) -> Validated:
    """Check the folder, run its device on the wanted vectors, compare, and write the JUnit file."""
    check_operations(options.operations)
    if options.junit is None:
        return _validated(options, watch)
    read = () if options.vectors is None else (Path(options.vectors),)
    target = Target(options.junit, JUNIT, options.force, read)
    artifacts.check(target)
    try:
        result = _validated(options, watch)
    except QdeployError as error:
        artifacts.write(target, junit_error_bytes(options.folder.name, error))
        raise
    artifacts.write(target, junit_bytes(result.title, result.verdict))
    return result


def _validated(options: ValidateOptions, watch: Stopwatch) -> Validated:
    with watch.stage("check"):
        stored = read_build(options.folder, options.operations)
    board = choose_board(stored, options.board)
    with watch.stage("vectors"):
        vectors = _vectors(stored, options.vectors)
    with watch.stage("run"):
        trace = deploy.run(stored.firmware, board, vectors, port=options.port)
    with watch.stage("validate"):
        bound = bound_of(stored.claim.statement)
        verdict = validator.run(stored.network, stored.fixed, bound, vectors, trace)
    summary = {
        **stored.summary,
        "qdeploy": __version__,
        "answer": (ExitCode.YES if verdict.passed else ExitCode.NO).name.lower(),
        "validation": describe_verdict(verdict),
        "seconds": {"total": watch.total(), "stages": watch.seconds()},
    }
    title = f"{stored.network.name} on {board.name}"
    return Validated(title, stored.claim.statement, verdict, summary)


def _vectors(stored: Stored, wanted: str | None) -> Vectors:
    if wanted is None:
        return validator.read_vectors(stored.folder / VECTORS, stored.network, stored.fixed)
    if not wanted.isascii() or not wanted.isdigit():
        return validator.read_vectors(Path(wanted), stored.network, stored.fixed)
    count = int(wanted) if len(wanted) <= len(str(MOST_VECTORS)) else MOST_VECTORS + 1
    if not 1 <= count <= MOST_VECTORS:
        raise UsageError(
            f"--vectors {wanted} is not possible", fix=f"choose 1 to {MOST_VECTORS} vectors"
        )
    regions = tuple(r.box for r in stored.claim.statement.regions)
    return validator.choose_vectors(stored.network, stored.fixed, regions, count, VECTOR_SEED)
