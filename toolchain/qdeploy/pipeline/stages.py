"""The line from an ONNX file to a validated board, in order.

Firmware is compiled before the bound is sought: a missing compiler or device should be heard
of in a second, not after a minute of proof search.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy import __version__, boards, crossbuild, deploy, generate, importer, quantize
from qdeploy import validate as validation
from qdeploy.boards import Board
from qdeploy.certify import Interrupted
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
from qdeploy.pipeline import outfolder
from qdeploy.pipeline.artifacts import (
    check_no_folder,
    check_replaceable,
    write_file,
    write_folder,
)
from qdeploy.pipeline.claims import Claim, attest, bound_of, origins_of, prove, unchecked
from qdeploy.pipeline.decision import decide, explain_tolerance
from qdeploy.pipeline.options import (
    DEFAULT_VECTORS,
    Options,
    check_decision,
    check_limits,
    choose_crew,
    choose_regions,
    read_decision,
    read_formats,
    read_methods,
    read_name,
    read_norm,
    read_prune,
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


def run_build(options: Options, watch: Stopwatch) -> Built:
    """Import, quantise, compile, prove, run on the board, and write the build folder."""
    tolerance, norm = read_tolerance(options), read_norm(options)
    board = boards.load(options.board)
    folder = options.output or Path(f"build-{board.name}")
    check_replaceable(folder)
    program = _program(options, watch)
    runs = not options.no_run and runs_by_itself(board)
    if runs:
        check_emulator(board)
    with watch.stage("generate"):
        library = generate.library(program.fixed, options.name)
        sources = generate.firmware(program.fixed, board, options.name)
    with watch.stage("compile"):
        firmware = crossbuild.run(sources, board, options.compiler)
    if runs:
        with watch.stage("run"):
            deploy.greet(firmware, board)
    claim = _claim(program, options, (library, firmware), watch)
    with watch.stage("vectors"):
        vectors = validation.choose_vectors(
            program.network, program.fixed, program.regions, DEFAULT_VECTORS, VECTOR_SEED
        )
    verdict = None
    if runs:
        verdict = _try_out((program, claim, firmware), board, vectors, watch)
    material = _material(
        program, claim, firmware, verdict, origins_of(program.network, claim, watch)
    )
    with watch.stage("report"):
        files = outfolder.files(material, claim, library, vectors)
        files.update(outfolder.model_files(options.model))
    code = decide(claim.statement, verdict, tolerance, norm)
    summary = {
        **certificate_summary(material, code, watch),
        "board_folder": board_folder(board, folder),
        "firmware": describe_firmware(firmware),
        "validation": None if verdict is None else describe_verdict(verdict),
    }
    write_folder(folder, {**files, "build.json": outfolder.json_bytes(summary)})
    return Built(material, summary, code, folder, explain_tolerance(claim.statement, options))


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
    check_no_folder(path)
    program = _program(options, watch)
    with watch.stage("generate"):
        library = generate.library(program.fixed, options.name)
    try:
        claim = _claim(program, options, (library, None), watch)
    except Interrupted as interrupted:
        raise _stopped(interrupted, library, path) from None
    origins = origins_of(program.network, claim, watch)
    material = _material(program, claim, None, None, origins)
    write_file(path, claim.content)
    code = decide(claim.statement, None, tolerance, norm)
    summary = certificate_summary(material, code, watch)
    return Certified(material, summary, code, path, explain_tolerance(claim.statement, options))


def _stopped(interrupted: Interrupted, library: SourceTree, path: Path) -> StoppedError:
    """Write what an interrupted search had reached, at once and unchecked: `verify` is for that."""
    content, said = unchecked(interrupted.certificate, library)
    write_file(path, content)
    return StoppedError(
        f"interrupted; {path} holds the best certificate so far: {said}",
        fix=f"check it with qdeploy verify {path}, or let the search run for longer",
    )


def _program(options: Options, watch: Stopwatch) -> Program:
    formats = read_formats(options)
    read_methods(options)
    check_limits(options)
    choose_crew(options)
    read_decision(options)
    read_prune(options)
    read_name(options)
    with watch.stage("import"):
        network = importer.run(options.model)
        check_decision(options, network)
        regions = choose_regions(options, formats, network.inputs[0].size)
    choice = choose_network(options, network, regions, watch)
    with watch.stage("quantize"):
        fixed = quantize.run(choice.network, formats.request(regions))
        check_alike(options, network, fixed, choice)
    return Program(network, choice, fixed, regions)


def _claim(
    program: Program,
    options: Options,
    made: tuple[SourceTree, Firmware | None],
    watch: Stopwatch,
) -> Claim:
    """Prove a bound, and bind it to what was made from the program."""
    places, regions = program.choice.places, program.regions
    certificate = prove(program.network, program.fixed, places, regions, options, watch)
    library, firmware = made
    return attest(program.network, certificate, library, firmware, watch)


def _try_out(
    built: tuple[Program, Claim, Firmware], board: Board, vectors: Vectors, watch: Stopwatch
) -> Verdict:
    """Run the firmware on its board and compare with the model and the bound."""
    program, claim, firmware = built
    with watch.stage("run"):
        trace = deploy.run(firmware, board, vectors)
    with watch.stage("validate"):
        bound = bound_of(claim.statement)
        return validation.run(program.network, program.fixed, bound, vectors, trace)


def _material(
    program: Program,
    claim: Claim,
    firmware: Firmware | None,
    verdict: Verdict | None,
    origins: Origins,
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
        verdict=verdict,
    )
