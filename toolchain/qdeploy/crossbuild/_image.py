"""Reading an image: its cost, its bytes, and the program it says it carries."""

import io
import re
import struct
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from intelhex import IntelHex

from qdeploy.diagnostics import InputError

_MODEL = re.compile(r"\w+_model_([0-9a-f]{64})")
"""The symbol of the model's description: whatever the library is called, the program's digest."""
_INFO = struct.Struct("<12x32sI")
"""qd_model_info of 32-bit cores: `digest` and `run`. On the host, `run` is not looked at."""
_STACK_SECTION = ".stack"


@dataclass(frozen=True, slots=True)
class Image:
    """What an ELF file amounts to."""

    flash_bytes: int
    ram_bytes: int
    program_digest: str
    entry: int
    """Address of the function that runs one inference."""
    model_symbol: str
    """What the linker knows the model's description by."""


_DAMAGE = (
    ELFError,
    ConstructError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    EOFError,
    RecursionError,
    MemoryError,
)
"""What reading a file that is no whole ELF image ends in."""


def measure(elf: bytes) -> Image:
    """Measure an image that comes from a file.

    Raises:
        InputError: it is no image of ours.
    """
    try:
        return read_image(elf)
    except _DAMAGE as error:
        raise InputError(
            f"the image is no firmware of qdeploy: {str(error)[:200] or type(error).__name__}",
            fix="build it again with qdeploy build",
        ) from error


def read_image(elf: bytes) -> Image:
    """Measure an ELF file and read the digest its model carries."""
    file = ELFFile(io.BytesIO(elf))
    flash = ram = 0
    for section in file.iter_sections():
        flags = section["sh_flags"]
        if not flags & SH_FLAGS.SHF_ALLOC or section.name == _STACK_SECTION:
            continue
        stored = section["sh_type"] != "SHT_NOBITS"
        flash += section["sh_size"] if stored else 0
        ram += section["sh_size"] if flags & SH_FLAGS.SHF_WRITE else 0
    symbol, address = _model(file)
    digest, run = _model_info(file, address)
    if not symbol.endswith(digest.hex()):
        raise ValueError(f"the model {symbol} says that it is {digest.hex()}")
    return Image(flash, ram, digest.hex(), run & ~1, symbol)


def _model_info(file: ELFFile, address: int) -> tuple[bytes, int]:
    for segment in file.iter_segments("PT_LOAD"):
        start = address - segment["p_vaddr"]
        if start >= 0 and start + _INFO.size <= segment["p_filesz"]:
            digest, run = _INFO.unpack_from(segment.data(), start)
            return digest, run
    raise ValueError("the model's description lies in no segment of the image")


def _model(file: ELFFile) -> tuple[str, int]:
    """Return name and address of the one object that describes a model."""
    tables = [s for s in file.iter_sections() if isinstance(s, SymbolTableSection)]
    found = {
        symbol.name: int(symbol["st_value"])
        for table in tables
        for symbol in table.iter_symbols()
        if symbol["st_shndx"] != "SHN_UNDEF" and _MODEL.fullmatch(symbol.name)
    }
    if len(found) != 1:
        raise ValueError(f"the image describes {len(found)} models")
    return next(iter(found.items()))


def flat_binary(elf: bytes) -> tuple[int, bytes]:
    """Return the address flash begins at in the image, and its bytes; gaps are erased flash."""
    file = ELFFile(io.BytesIO(elf))
    pieces = [(s["p_paddr"], s.data()) for s in file.iter_segments("PT_LOAD") if s["p_filesz"]]
    start = min(address for address, _ in pieces)
    end = max(address + len(data) for address, data in pieces)
    image = bytearray(b"\xff" * (end - start))
    for address, data in pieces:
        image[address - start : address - start + len(data)] = data
    return start, bytes(image)


def intel_hex(start: int, image: bytes) -> bytes:
    """Return the image as an Intel HEX file."""
    made = IntelHex()
    made.frombytes(image, offset=start)
    text = io.StringIO()
    made.write_hex_file(text)
    return text.getvalue().encode("ascii")
