"""Generated sources and built firmware, as values in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceTree:
    """Generated files: relative POSIX path -> bytes, sorted by path."""

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", MappingProxyType(dict(sorted(self.files.items()))))


@dataclass(frozen=True, slots=True)
class CompilerIdentity:
    """Which compiler made an image."""

    name: str
    version: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Firmware:
    """An image for one board, its cost, and what made it."""

    board: str
    elf: bytes
    """The ELF (for the host board: the shared object)."""
    hex: bytes
    bin: bytes
    map: bytes
    flash_bytes: int
    ram_bytes: int
    """Static RAM: .data + .bss, without the stack."""
    stack_bytes: int | None
    """Upper bound on stack use of one inference, None where it could not be derived."""
    compiler: CompilerIdentity
    program_digest: str
    model_symbol: str
    """What the linker knows the model's description by."""
    board_facts: Mapping[str, Any]
    """What the board was when the image was built for it, as plain values."""
