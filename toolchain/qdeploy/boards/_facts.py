"""A board's facts as plain values, in the shape of board.toml: what a build keeps of its board."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qdeploy.boards._board import Board, Hardware, Region


def facts(board: Board) -> dict[str, Any]:
    """Return what `read_facts` makes the board of again; equal boards give equal facts.

    No path is among them, nor what only writes to the board would need.
    """
    found: dict[str, Any] = {
        "title": board.title,
        "verified": board.verified.value,
        "how": board.how,
        "usb": board.usb,
        "cpu": board.cpu,
    }
    if board.hardware is not None:
        found |= _hardware(board.hardware)
    if board.emulator is not None:
        found["emulator"] = {"tool": board.emulator.tool, "machine": board.emulator.machine}
    return found


def _hardware(hardware: Hardware) -> dict[str, Any]:
    return {
        "clock_hz": hardware.clock_hz,
        "memory": {
            "flash": _region(hardware.flash),
            "ram": _region(hardware.ram),
            "stack": hardware.stack_bytes,
        },
        "uart": {"base": hardware.uart.base, "baud": hardware.uart.baud},
        "sources": {"define": list(hardware.defines)},
    }


def _region(region: Region) -> dict[str, int]:
    return {"start": region.start, "bytes": region.bytes}


def first_difference(one: Board, other: Board) -> tuple[str, object, object] | None:
    """Return the first fact that shapes an image and differs, the core before all: key, values."""
    left, right = _shaping(one), _shaping(other)
    for key in sorted({*left, *right}, key=lambda key: (key != "cpu", key)):
        if left.get(key) != right.get(key):
            return key, left.get(key), right.get(key)
    return None


def _shaping(board: Board) -> Mapping[str, object]:
    bare = replace(board, title="", how="", usb="", emulator=None)
    return dict(_flat("", {k: v for k, v in facts(bare).items() if k != "verified"}))


def _flat(path: str, value: object) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        return [(path, value)]
    return [
        pair
        for key, inner in value.items()
        for pair in _flat(f"{path}.{key}" if path else key, inner)
    ]
