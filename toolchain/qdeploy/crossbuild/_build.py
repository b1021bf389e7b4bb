"""One build, in a temporary folder."""

import re
from pathlib import Path

from qdeploy import scratch
from qdeploy.boards import ENTRY, SOURCES_IN, Board, Hardware, facts
from qdeploy.crossbuild._complaints import not_compiling, not_linking
from qdeploy.crossbuild._image import flat_binary, intel_hex, read_image
from qdeploy.crossbuild._process import ToolFailedError, run_tool
from qdeploy.crossbuild._protocol import Toolchain
from qdeploy.crossbuild._select import toolchain
from qdeploy.crossbuild._stack import stack_bound
from qdeploy.diagnostics import InputError
from qdeploy.ir import CompilerIdentity, Firmware, SourceTree

_COMPILED = (".c", ".S", ".s")
_OVERFLOW = re.compile(r"[`']?(FLASH|RAM)'?:? overflowed by (\d+) bytes")


def run(sources: SourceTree, board: Board, compiler: str | None = None) -> Firmware:
    """Build `sources` for `board`, with the named compiler or the first one there is.

    Raises:
        UsageError: no such compiler for this board.
        MissingToolError: the compiler is not installed.
        InputError: the program does not fit the board, or the board's files do not compile or link.
    """
    chosen = toolchain(board.cpu, compiler)
    with scratch.folder("build") as folder:
        _write(sources, folder)
        _compile(chosen, folder)
        _compile_board(chosen, folder, board)
        _link(chosen, folder, board)
        return _collect(chosen, folder, board)


def _write(sources: SourceTree, folder: Path) -> None:
    for name, data in sources.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _compile(chosen: Toolchain, folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.suffix in _COMPILED)
    run_tool([*chosen.compile, *names], folder)


def _compile_board(chosen: Toolchain, folder: Path, board: Board) -> None:
    """Compile the board's own files: board.c as ours, the others as they come.

    What lies in folders below is found like a compiler's own headers, and so without a warning.
    """
    own = folder / SOURCES_IN
    found = [p for p in own.rglob("*") if p.is_file() and p.suffix in _COMPILED]
    files = sorted(p.relative_to(own).as_posix() for p in found)
    below = sorted(p.relative_to(folder).as_posix() for p in own.rglob("*") if p.is_dir())
    search = ["-I.", f"-I{SOURCES_IN}", *(word for name in below for word in ("-isystem", name))]
    defines = [f"-D{define}" for define in (board.hardware.defines if board.hardware else ())]
    for name in files:
        command = chosen.compile if name == ENTRY else chosen.compile_foreign
        source = f"{SOURCES_IN}/{name}"
        try:
            run_tool([*command, *search, *defines, source, "-o", f"{source}.o"], folder)
        except ToolFailedError as error:
            raise not_compiling(error, name, board) from error


def _link(chosen: Toolchain, folder: Path, board: Board) -> None:
    objects = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.o"))
    try:
        run_tool([*chosen.link, *objects], folder)
    except ToolFailedError as error:
        overflow = _OVERFLOW.search(error.output)
        if overflow is None or board.hardware is None:
            told = not_linking(error, board)
            if told is None:
                raise
            raise told from error
        raise _too_large(overflow[1], int(overflow[2]), board.title, board.hardware) from error


def _too_large(region: str, excess: int, title: str, hardware: Hardware) -> InputError:
    size = hardware.flash.bytes if region == "FLASH" else hardware.ram.bytes
    kind = "flash" if region == "FLASH" else "RAM"
    return InputError(
        f"the program does not fit {title}: it needs at least {size + excess} bytes of {kind}, "
        f"and there are {size}",
        fix="use fewer bits (--bits 8), a smaller network or a larger board",
    )


def _collect(chosen: Toolchain, folder: Path, board: Board) -> Firmware:
    elf = (folder / "image.elf").read_bytes()
    image = read_image(elf)
    start, flat = (0, b"") if board.hardware is None else flat_binary(elf)
    return Firmware(
        board=board.name,
        elf=elf,
        hex=intel_hex(start, flat) if flat else b"",
        bin=flat,
        map=(folder / "image.map").read_bytes(),
        flash_bytes=image.flash_bytes,
        ram_bytes=image.ram_bytes,
        stack_bytes=stack_bound(folder, elf, image.entry) if board.hardware else None,
        compiler=CompilerIdentity(chosen.name, chosen.version, chosen.flags),
        program_digest=image.program_digest,
        model_symbol=image.model_symbol,
        board_facts=facts(board),
    )
