"""`data:X.npz[:RADIUS]`: the hull of stored samples, or a cube of that radius around each.

The archive is read without numpy's loader, so that its declared sizes are checked before anything
is allocated, and nothing in it is ever unpickled.
"""

import io
import struct
import tokenize
import warnings
import zipfile
import zlib
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.regions.numbers import LARGEST, check_sides, decimal
from qdeploy.ir import Box

PREFIX = "data:"
MAX_ARRAY_BYTES = 64 << 20
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
)
_BROKEN_HEADER = (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError)
MAX_MEMBERS = 1000
MAX_CUBES = 4096
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_FIX = "save the samples with numpy.savez(path, x=array)"


def read(spec: str, n_inputs: int) -> tuple[Box, ...]:
    """Return the region of `spec`, which starts with `data:`."""
    file, radius = _split(spec)
    path = Path(file)
    rows = _rows(_array(path), n_inputs, path)
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


def _array(path: Path) -> NDArray[Any]:
    """Return the array `x`, or the only one, of the archive."""
    if not path.is_file():
        raise InputError("there is no such file", where=Where(str(path)), fix=_FIX)
    if path.stat().st_size > MAX_ARRAY_BYTES:
        raise _damaged(path, f"the archive is larger than {MAX_ARRAY_BYTES} bytes")
    try:
        with zipfile.ZipFile(path) as archive:
            return _decoded(_member_bytes(archive, path), path)
    except _BROKEN_ARCHIVE as problem:
        raise _damaged(path, "it is no readable .npz archive") from problem


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"the samples cannot be read: {why}", where=Where(path.name), fix=_FIX)


def _member_bytes(archive: zipfile.ZipFile, path: Path) -> bytes:
    members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    if len(members) > MAX_MEMBERS:
        raise _damaged(path, f"it holds {len(members)} arrays")
    chosen = [m for m in members if m.filename == "x.npy"] or members
    if len(chosen) != 1:
        names = ", ".join(m.filename.removesuffix(".npy") for m in chosen[:5])
        raise _damaged(
            path, f"it has {len(chosen)} arrays and none or several called 'x' ({names})"
        )
    stored_plainly = chosen[0].compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if chosen[0].flag_bits & 1 or not stored_plainly:
        raise _damaged(path, "it is encrypted, or packed by another method than numpy's")
    with archive.open(chosen[0]) as stream:
        # The declared size of a member is not believed: reading stops at the limit.
        data = stream.read(MAX_ARRAY_BYTES + 1)
    if len(data) > MAX_ARRAY_BYTES:
        raise _damaged(path, f"the array is larger than {MAX_ARRAY_BYTES} bytes")
    return data


def _decoded(data: bytes, path: Path) -> NDArray[Any]:
    stream = io.BytesIO(data)
    shape, columns_first, dtype = _header(stream, path)
    if dtype.kind not in "fiu" or dtype.itemsize > 8:  # noqa: PLR2004  a double, every value of which is exact
        raise _damaged(path, f"its elements are {dtype}, not numbers of up to 64 bits")
    body = data[stream.tell() :]
    if any(d < 0 for d in shape) or prod(shape) * dtype.itemsize != len(body):
        raise _damaged(path, "the array does not have the size its shape asks for")
    return np.frombuffer(body, dtype).reshape(shape, order="F" if columns_first else "C")


def _header(stream: io.BytesIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise _damaged(path, f"it uses version {version} of the array format")
        with warnings.catch_warnings():
            # numpy remarks on headers Python 2 wrote; they read the same.
            warnings.simplefilter("ignore", UserWarning)
            return _HEADERS[version](stream)
    except _BROKEN_HEADER as problem:
        raise _damaged(path, "the array has no valid header") from problem


def _rows(array: NDArray[Any], n_inputs: int, path: Path) -> NDArray[Any]:
    """Return the samples as rows, each flattened in C order."""
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
