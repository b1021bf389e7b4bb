"""`data:X.npz[:RADIUS]`: the hull of stored samples, or a cube of that radius around each."""

from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.regions.numbers import LARGEST, check_sides, decimal
from qdeploy.ir import Box
from qdeploy.reading import Kind, read_array

PREFIX = "data:"
SAMPLES = Kind("the samples", 64 << 20, "save the samples with numpy.savez(path, x=array)")
MAX_CUBES = 4096


def read(spec: str, n_inputs: int) -> tuple[Box, ...]:
    """Return the region of `spec`, which starts with `data:`."""
    file, radius = _split(spec)
    path = Path(file)
    rows = _rows(read_array(path, SAMPLES), n_inputs, path)
    if radius is None:
        # Doubles are dyadic, so minimum and maximum lose nothing.
        lo, hi = _fractions(rows.min(axis=0)), _fractions(rows.max(axis=0))
        return (Box.enclosing(lo, hi, f"hull of {path.name}"),)
    check_sides(len(rows), n_inputs, Where(path.name))
    if len(rows) > MAX_CUBES:
        raise InputError(
            f"{path.name} holds {len(rows)} samples; at most {MAX_CUBES} regions can be certified",
            where=Where(path.name),
            fix="give fewer samples, or leave the radius out for their hull",
        )
    return tuple(_cube(_fractions(row), radius, f"{path.name}[{i}]") for i, row in enumerate(rows))


def _split(spec: str) -> tuple[str, Fraction | None]:
    rest = spec.removeprefix(PREFIX)
    if rest.lower().endswith(".npz"):
        return rest, None
    file, colon, text = rest.rpartition(":")
    if not colon or not file.lower().endswith(".npz"):
        raise InputError(
            f"{spec[:200]!r} names no .npz file", fix="write data:SAMPLES.npz or data:SAMPLES.npz:R"
        )
    radius = decimal(text, Where(spec))
    if radius < 0:
        raise InputError(f"the radius {text} is negative", fix="write a radius of 0 or more")
    return file, radius


def _fractions(row: NDArray[Any]) -> tuple[Fraction, ...]:
    return tuple(Fraction(v) for v in row.tolist())


def _cube(centre: tuple[Fraction, ...], radius: Fraction, name: str) -> Box:
    return Box.enclosing(tuple(v - radius for v in centre), tuple(v + radius for v in centre), name)


def _rows(array: NDArray[Any], n_inputs: int, path: Path) -> NDArray[Any]:
    """Return the samples as rows, each flattened in C order."""
    if array.dtype.kind == "b":
        raise InputError(
            "the samples cannot be read: its elements are bool, not numbers",
            where=Where(path.name),
            fix=SAMPLES.fix,
        )
    if array.ndim == 1 and n_inputs > 1:
        array = array[np.newaxis]
    per_sample = prod(array.shape[1:])
    if array.ndim == 0 or len(array) == 0 or per_sample != n_inputs:
        raise InputError(
            f"the samples have the shape {list(array.shape)}, the network has {n_inputs} inputs",
            where=Where(path.name),
            fix="give an array with one sample a row",
        )
    rows = array.reshape(len(array), n_inputs)
    bad = np.argwhere(~(np.abs(rows.astype(np.float64)) <= LARGEST))
    if bad.size:
        raise InputError(
            f"sample {bad[0][0]} holds {rows[tuple(bad[0])]} at input {bad[0][1]}",
            where=Where(path.name),
            fix="remove samples that are not finite, or beyond 1e300",
        )
    return rows
