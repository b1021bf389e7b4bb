"""`qdeploy validate`: a finished build against its device, once more."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import deploy, validate
from qdeploy.diagnostics import UsageError
from qdeploy.ir import Vectors, Verdict
from qdeploy.pipeline.board import choose_board
from qdeploy.pipeline.claims import bound_of
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.pipeline.stored import Stored, read_build
from qdeploy.pipeline.summary import describe_verdict
from qdeploy.report.values import Statement

VECTOR_SEED = 1
"""Another seed than a build's, so that `--vectors N` tries something else."""
MOST_VECTORS = 1_000_000


@dataclass(frozen=True, slots=True)
class Validated:
    """What `qdeploy validate` answers."""

    title: str
    statement: Statement
    verdict: Verdict
    summary: dict[str, Any]
    """build.json's object, with this validation."""


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What may be asked of `qdeploy validate`, in the words of the command line."""

    folder: Path
    port: str | None = None
    board: str | None = None
    """None: the one that the build was made for."""
    vectors: str | None = None


def run_validate(options: DeviceOptions, watch: Stopwatch) -> Validated:
    """Check the folder, run its device on the wanted vectors, and compare."""
    with watch.stage("check"):
        stored = read_build(options.folder)
    board = choose_board(stored, options.board)
    with watch.stage("vectors"):
        vectors = _vectors(stored, options.vectors)
    with watch.stage("run"):
        trace = deploy.run(stored.firmware, board, vectors, port=options.port)
    with watch.stage("validate"):
        bound = bound_of(stored.claim.statement)
        verdict = validate.run(stored.network, stored.fixed, bound, vectors, trace)
    summary = {**stored.summary, "validation": describe_verdict(verdict)}
    title = f"{stored.network.name} on {board.name}"
    return Validated(title, stored.claim.statement, verdict, summary)


def _vectors(stored: Stored, wanted: str | None) -> Vectors:
    if wanted is None:
        return validate.read_vectors(stored.folder / "vectors.npz", stored.network, stored.fixed)
    if not wanted.isascii() or not wanted.isdigit():
        return validate.read_vectors(Path(wanted), stored.network, stored.fixed)
    count = int(wanted) if len(wanted) <= len(str(MOST_VECTORS)) else MOST_VECTORS + 1
    if not 1 <= count <= MOST_VECTORS:
        raise UsageError(
            f"--vectors {wanted} is not possible", fix=f"choose 1 to {MOST_VECTORS} vectors"
        )
    regions = tuple(r.box for r in stored.claim.statement.regions)
    return validate.choose_vectors(stored.network, stored.fixed, regions, count, VECTOR_SEED)
