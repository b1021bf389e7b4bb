"""The links and emulators there are, and the one for a board."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import qdeploy.deploy.emulators
import qdeploy.deploy.links
from qdeploy.boards import Board
from qdeploy.deploy._protocol import EmulatorTool, Link
from qdeploy.diagnostics import InputError
from qdeploy.registry import discover


@dataclass(frozen=True, slots=True)
class EmulatorStatus:
    """Whether an emulator can be used, for `qdeploy doctor`."""

    name: str
    version: str | None
    """None where it is missing."""
    fix: str
    """What to install."""


@cache
def known_links() -> Mapping[str, Link]:
    """Every link, by name."""
    return discover(qdeploy.deploy.links, "LINK", Link)  # type: ignore[type-abstract]


@cache
def known_emulators() -> Mapping[str, EmulatorTool]:
    """Every emulator, by name."""
    return discover(qdeploy.deploy.emulators, "EMULATOR", EmulatorTool)  # type: ignore[type-abstract]


def status() -> tuple[EmulatorStatus, ...]:
    """Every emulator, and whether it is installed."""
    return tuple(
        EmulatorStatus(name, tool.version(), tool.missing().fix)
        for name, tool in known_emulators().items()
    )


def link(board: Board) -> Link:
    """Return the link that reaches a board."""
    return next(member for member in known_links().values() if member.reaches(board))


def emulator(board: Board) -> EmulatorTool:
    """Return the emulator that plays a board.

    Raises:
        InputError: its board.toml names one that does not exist.
    """
    name = "" if board.emulator is None else board.emulator.tool
    if name not in known_emulators():
        raise InputError(
            f"board {board.name} wants the emulator {name!r}, which does not exist",
            fix=f"name one of {', '.join(known_emulators())} in its board.toml",
        )
    return known_emulators()[name]
