"""The line from an ONNX file to a validated board, in order.

Firmware is compiled and vectors are chosen before the bound is sought: a missing compiler or
device should be heard of in a second, not after a minute of proof search; and whenever the search
ends, also by Ctrl-C, all is there that the rest of a build needs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qdeploy import (
    __version__,
    boards,
    crossbuild,
    deploy,
    generate,
    importer,
    proof,
    quantize,
    validator,
)
from qdeploy.boards import Board
from qdeploy.certifier import Interrupted, Plan, check_size
from qdeploy.diagnostics import ExitCode, MissingToolError, StoppedError
from qdeploy.ir import (
    Box,
    Firmware,
    FixedNetwork,
    Network,
    SourceTree,
    Vectors,
    Verdict,
    program_digest,
)
from qdeploy.pipeline import artifacts, outfolder, reads
from qdeploy.pipeline.advice import remarks
from qdeploy.pipeline.artifacts import CERTIFICATE, Target
from qdeploy.pipeline.claims import (
    Claim,
    Subjects,
    attest,
    bound_of,
    origins_of,
    plan,
    prove,
    stated,
    unchecked,
)
from qdeploy.pipeline.decision import decide, explain_tolerance
from qdeploy.pipeline.options import (
    DEFAULT_VECTORS,
    Options,
    check_decision,
    choose_crew,
    choose_regions,
    read_decision,
    read_formats,
    read_name,
    read_norm,
    read_prune,
    read_search,
    read_tolerance,
)
from qdeploy.pipeline.reduction import Choice, check_alike, choose_network
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.pipeline.summary import certificate_summary, describe_firmware, describe_verdict
from qdeploy.report.values import Material, Origins

VECTOR_SEED = 0


@dataclass(frozen=True, slots=True)
class Program:
    """A model, quantised: the trained network, the integer program, and the regions meant."""

    network: Network
    choice: Choice
    fixed: FixedNetwork
    regions: tuple[Box, ...]
    plan: Plan
    """Of the search for a bound."""


@dataclass(frozen=True, slots=True)
class Certified:
    """What `qdeploy certify` answers."""

    material: Material
    summary: dict[str, Any]
    code: ExitCode
    path: Path
    tolerance: str
    """In words, whether it is kept; empty where none was given."""


@dataclass(frozen=True, slots=True)
class Built:
    """What `qdeploy build` answers."""

    material: Material
    summary: dict[str, Any]
    code: ExitCode
    folder: Path
    tolerance: str
    """In words, whether it is kept; empty where none was given."""


@dataclass(frozen=True, slots=True)
class _Made:
    """All of a build that is there before the bound is sought."""

    program: Program
    library: SourceTree
    firmware: Firmware
    vectors: Vectors
    board: Board
    runs: bool
    """Whether the firmware is to be tried out."""
    copies: Mapping[str, bytes]
    """Of the model's files, by their names in the folder."""
    target: Target

    @property
    def subjects(self) -> Subjects:
        """What the certificate names by digest."""
        files = {
            **outfolder.firmware_files(self.firmware),
            outfolder.VECTORS: outfolder.vectors_bytes(self.vectors),
        }
        return Subjects(self.library, {Path(n).name: data for n, data in files.items()})


def run_build(options: Options, watch: Stopwatch) -> Built:
    """Import, quantise, compile, prove, run on the board, and write the build folder.

    The first Ctrl-C after there is a bound ends the search and finishes the build with it.
    """
    read_tolerance(options)
    board = boards.load(options.board)
    folder = options.output or Path(f"build-{board.name}")
    target = Target(folder, None, options.force, reads.named(options))
    artifacts.check(target)
    made = _make(options, board, target, watch)
    program = made.program
    try:
        certificate = prove(
            program.network, program.fixed, program.choice.places, program.regions, options, watch
        )
    except Interrupted as stopped:
        watch.warn(_finishing(stopped.certificate))
        return _finish(made, stopped.certificate, options, watch, interrupted=True)
    try:
        return _finish(made, certificate, options, watch, interrupted=False)
    except KeyboardInterrupt:
        watch.warn(_finishing(certificate))
        return _finish(made, certificate, options, watch, interrupted=True)


def _finishing(certificate: proof.Certificate) -> str:
    return (
        f"interrupted: the build is finished with the best bound so far ({stated(certificate)}); "
        "interrupted again, it leaves nothing"
    )


def _make(options: Options, board: Board, target: Target, watch: Stopwatch) -> _Made:
    """Do all that needs no bound."""
    program = _program(options, watch)
    target = _knowing(target, options)
    runs = not options.no_run and runs_by_itself(board)
    if runs:
        check_emulator(board)
    copies = outfolder.model_files(options.model)
    with watch.stage("generate"):
        library = generate.library(program.fixed, options.name)
        sources = generate.firmware(program.fixed, board, options.name)
    with watch.stage("compile"):
        firmware = crossbuild.run(sources, board, options.compiler)
    if runs:
        with watch.stage("run"):
            deploy.greet(firmware, board)
    with watch.stage("vectors"):
        vectors = validator.choose_vectors(
            program.network,
            program.fixed,
            program.regions,
            validator.usual_count(program.network, DEFAULT_VECTORS),
            VECTOR_SEED,
        )
    return _Made(program, library, firmware, vectors, board, runs, copies, target)


def _finish(
    made: _Made,
    certificate: proof.Certificate,
    options: Options,
    watch: Stopwatch,
    *,
    interrupted: bool,
) -> Built:
    """Check what was found, run the board, and write the folder; in a hurry, what must be."""
    network, firmware = made.program.network, made.firmware
    relaxed = None if interrupted else made.program.plan.relaxed
    claim = attest(network, certificate, made.subjects, watch, relaxed)
    verdict = _try_out(made, claim, watch) if made.runs else None
    origins = _origins(made.program, claim, watch)
    material = _material(made.program, claim, origins, firmware, options)
    material = replace(material, verdict=verdict, interrupted=interrupted)
    with watch.stage("report"):
        files = outfolder.files(material, claim, made.library, made.vectors)
        files.update(made.copies)
    answer = decide(claim.statement, verdict, read_tolerance(options), read_norm(options))
    summary = {
        **certificate_summary(material, answer, watch),
        "board_folder": board_folder(made.board, made.target.path),
        "firmware": describe_firmware(firmware),
        "validation": None if verdict is None else describe_verdict(verdict),
        "files": outfolder.digests(files),
    }
    artifacts.write(made.target, {**files, artifacts.MARKER: outfolder.json_bytes(summary)})
    code = ExitCode.INTERRUPTED if interrupted else answer
    said = explain_tolerance(material, options)
    return Built(material, summary, code, made.target.path, said)


def board_folder(board: Board, out: Path) -> str | None:
    """Return the way from a build's folder to the user's own board; both may move together."""
    if not board.own or board.folder is None:
        return None
    return Path(os.path.relpath(board.folder, out.resolve())).as_posix()


def runs_by_itself(board: Board) -> bool:
    """Whether a build can try its firmware out; a real board has to be written first."""
    return board.hardware is None or board.emulator is not None


def check_emulator(board: Board) -> None:
    """Say that an emulator is missing before the long work is done.

    Raises:
        MissingToolError: the board's emulator is not installed.
    """
    wanted = None if board.emulator is None else board.emulator.tool
    for status in deploy.status():
        if status.name == wanted and status.version is None:
            raise MissingToolError(f"the emulator {wanted} is not installed", fix=status.fix)


def run_certify(options: Options, watch: Stopwatch) -> Certified:
    """Import, quantise and prove; write the certificate alone."""
    tolerance, norm = read_tolerance(options), read_norm(options)
    path = options.output or Path("certificate.json")
    target = Target(path, CERTIFICATE, options.force, reads.named(options))
    artifacts.check(target)
    program = _program(options, watch)
    target = _knowing(target, options)
    with watch.stage("generate"):
        library = generate.library(program.fixed, options.name)
    claim, origins = _claim(program, options, library, target, watch)
    material = _material(program, claim, origins, None, options)
    artifacts.write(target, claim.content)
    code = decide(claim.statement, None, tolerance, norm)
    summary = certificate_summary(material, code, watch)
    said = explain_tolerance(material, options)
    return Certified(material, summary, code, path, said)


def _claim(
    program: Program, options: Options, library: SourceTree, target: Target, watch: Stopwatch
) -> tuple[Claim, Origins | None]:
    """Prove a bound; whenever a person ends that, write what there is.

    Raises:
        StoppedError: a person did.
    """
    network, places = program.network, program.choice.places
    try:
        certificate = prove(network, program.fixed, places, program.regions, options, watch)
    except Interrupted as stopped:
        raise _stopped(stopped.certificate, library, target) from None
    try:
        claim = attest(network, certificate, Subjects(library), watch, program.plan.relaxed)
        return claim, _origins(program, claim, watch)
    except KeyboardInterrupt:
        raise _stopped(certificate, library, target) from None


def _stopped(certificate: proof.Certificate, library: SourceTree, target: Target) -> StoppedError:
    """Write what an interrupted search had reached, at once and unchecked: `verify` is for that."""
    content, said = unchecked(certificate, library)
    artifacts.write(target, content)
    return StoppedError(
        f"interrupted; {target.path} holds the best certificate so far: {said}",
        fix=f"check it with qdeploy verify {target.path}, or let the search run for longer",
    )


def _knowing(target: Target, options: Options) -> Target:
    """Return the target that spares the models' data files as well, which are known by now."""
    data = reads.with_data((options.model, options.deploy))
    target = replace(target, inputs=(*target.inputs, *data))
    artifacts.check(target)
    return target


def _program(options: Options, watch: Stopwatch) -> Program:
    formats, search = read_formats(options), read_search(options)
    choose_crew(options)
    read_decision(options)
    read_norm(options)
    read_prune(options)
    read_name(options)
    with watch.stage("import"):
        network = importer.run(options.model)
        check_decision(options, network)
        check_size(network, search.memory)
        regions = choose_regions(options, formats, network.inputs[0].size)
    choice = choose_network(options, network, regions, watch)
    with watch.stage("quantize"):
        fixed = quantize.run(choice.network, formats.request(regions, search.for_pieces))
        check_alike(options, network, fixed, choice)
        planned = plan(network, fixed, choice.places, regions, options)
    return Program(network, choice, fixed, regions, planned)


def _origins(program: Program, claim: Claim, watch: Stopwatch) -> Origins | None:
    """Return where the bound comes from; None where working that out would take too long."""
    return origins_of(program.network, claim, watch) if program.plan.explained else None


def _try_out(made: _Made, claim: Claim, watch: Stopwatch) -> Verdict:
    """Run the firmware on its board and compare with the model and the bound."""
    program, vectors = made.program, made.vectors
    with watch.stage("run"):
        trace = deploy.run(made.firmware, made.board, vectors)
    with watch.stage("validate"):
        bound = bound_of(claim.statement)
        return validator.run(program.network, program.fixed, bound, vectors, trace)


def _material(
    program: Program,
    claim: Claim,
    origins: Origins | None,
    firmware: Firmware | None,
    options: Options,
) -> Material:
    return Material(
        qdeploy=__version__,
        network=program.network,
        fixed=program.fixed,
        program_digest=program_digest(program.fixed),
        statement=claim.statement,
        origins=origins,
        reduced=program.choice.reduced,
        firmware=firmware,
        warnings=(
            *program.fixed.notes,
            *program.plan.notes,
            *remarks(
                program.network, program.choice.network, program.fixed, claim.statement, options
            ),
        ),
    )
