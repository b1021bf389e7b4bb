"""One array out of an .npz archive of anybody, for samples and for test vectors.

The archive is read without numpy's loader: sizes that it declares are not believed, a header is
matched and never evaluated, and nothing in it is ever unpickled.
"""

import io
import re
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.diagnostics import InputError, Where
from qdeploy.reading.files import Kind, SizeError, read_bytes, shown

MAX_MEMBERS = 1000
_ENTRY = b"PK\x01\x02"
"""Begins every entry of an archive's directory, each of which takes a kilobyte of memory."""
_MAGIC = b"\x93NUMPY"
_LENGTHS = {b"\x01\x00": 2, b"\x02\x00": 4}
"""By version of the array format: bytes of the length of the header."""
_HEADER = re.compile(
    r"\{ *'descr': *'([^']{1,40})', *'fortran_order': *(True|False), *"
    r"'shape': *\(((?:\d{1,18}L?, *)*(?:\d{1,18}L?)?)\),? *\} *\n?",
    re.ASCII,
)
_NUMBERS = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1)")
_LONGEST_HEADER = 4096
_MOST_AXES = 32
_MOST_NUMBERS = 1 << 40
"""Even where an axis has no extent: numpy multiplies the others."""
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class _DamagedError(Exception):
    """Why an archive is none that can be read."""


def read_array(path: Path, kind: Kind) -> NDArray[Any]:
    """Return the array `x` of an archive, or the only one: numbers of up to 64 bits.

    Raises:
        InputError: the archive cannot be read, or is larger than its kind may be, packed or not.
    """
    data = read_bytes(path, kind)
    try:
        return _decoded(_member(data, kind.most_bytes))
    except (_DamagedError, SizeError) as problem:
        fix = kind.smaller if isinstance(problem, SizeError) and kind.smaller else kind.fix
        what = f"{kind.noun} cannot be read: {problem}"
        raise InputError(what, where=Where(shown(path)), fix=fix) from problem


def _member(data: bytes, most: int) -> bytes:
    if data.count(_ENTRY) > MAX_MEMBERS:
        raise _DamagedError(f"it holds more than {MAX_MEMBERS} arrays")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_chosen(archive)) as stream:
            # The declared size of a member is not believed: reading stops at the limit.
            member = stream.read(most + 1)
    except _BROKEN_ARCHIVE as problem:
        raise _DamagedError("it is no readable .npz archive") from problem
    if len(member) > most:
        raise SizeError(f"the array is larger than {most} bytes")
    return member


def _chosen(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    chosen = [m for m in members if m.filename == "x.npy"] or members
    if len(chosen) != 1:
        names = ", ".join(m.filename.removesuffix(".npy") for m in chosen[:5])
        raise _DamagedError(
            f"it has {len(chosen)} arrays and none or several called 'x' ({names[:200]})"
        )
    (member,) = chosen
    plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if member.flag_bits & 1 or not plain:
        raise _DamagedError("it is encrypted, or packed by another method than numpy's")
    return member


def _decoded(member: bytes) -> NDArray[Any]:
    header, start = _header(member)
    found = _HEADER.fullmatch(header)
    if found is None:
        raise _DamagedError("the array has no valid header")
    if _NUMBERS.fullmatch(found[1]) is None:
        raise _DamagedError(f"its elements are {found[1]!r}, not numbers of up to 64 bits")
    dtype = np.dtype(found[1])
    shape = tuple(int(extent.rstrip("L")) for extent in re.findall(r"\d+L?", found[3]))
    extents = prod(filter(None, shape))
    misfit = prod(shape) * dtype.itemsize != len(member) - start
    if len(shape) > _MOST_AXES or extents > _MOST_NUMBERS or misfit:
        raise _DamagedError("the array does not have the size its shape asks for")
    flat = np.frombuffer(member[start:], dtype)
    if dtype.kind == "b":
        flat = flat.view(np.uint8) != 0  # numpy itself stores no other bytes than 0 and 1
    return flat.reshape(shape, order="F" if found[2] == "True" else "C")


def _header(member: bytes) -> tuple[str, int]:
    """Return the text of the header, and where the numbers begin."""
    begin = len(_MAGIC) + 2
    version = member[len(_MAGIC) : begin]
    if not member.startswith(_MAGIC) or len(version) < begin - len(_MAGIC):
        raise _DamagedError("the array has no valid header")
    if version not in _LENGTHS:
        raise _DamagedError(f"it uses version {tuple(version)} of the array format")
    begin, size_at = begin + _LENGTHS[version], begin
    size = int.from_bytes(member[size_at:begin], "little")
    if size > _LONGEST_HEADER or begin + size > len(member):
        raise _DamagedError("the array has no valid header")
    return member[begin : begin + size].decode("latin-1"), begin + size
