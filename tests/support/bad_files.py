"""Paths that lead to no usable file, and files that hold nothing usable, for every reader."""

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np


def missing(folder: Path, suffix: str) -> Path:
    return folder / f"none{suffix}"


def a_folder(folder: Path, suffix: str) -> Path:
    path = folder / f"folder{suffix}"
    path.mkdir()
    return path


def a_pipe(folder: Path, suffix: str) -> Path:
    path = folder / f"pipe{suffix}"
    os.mkfifo(path)
    return path


def a_device(folder: Path, suffix: str) -> Path:
    """Return a link to a device that never ends."""
    path = folder / f"zero{suffix}"
    path.symlink_to("/dev/zero")
    return path


def a_long_name(folder: Path, suffix: str) -> Path:
    return folder / ("n" * 300 + suffix)


def a_long_path(folder: Path, suffix: str) -> Path:
    return folder.joinpath(*["deep"] * 1500, f"x{suffix}")


def a_circle(folder: Path, suffix: str) -> Path:
    one, other = folder / f"one{suffix}", folder / f"other{suffix}"
    one.symlink_to(other)
    other.symlink_to(one)
    return one


def through_a_file(folder: Path, suffix: str) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file" / f"x{suffix}"


def far_too_large(folder: Path, suffix: str) -> Path:
    path = folder / f"large{suffix}"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    return path


UNREADABLE = {
    name.__name__: name
    for name in (
        missing,
        a_folder,
        a_pipe,
        a_device,
        a_long_name,
        a_long_path,
        a_circle,
        through_a_file,
        far_too_large,
    )
}

TEXTS = {
    "nothing": b"",
    "zero bytes": bytes(100),
    "no UTF-8": b"\xff\xfe{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "escape characters": b"\x1b[2J\x1b[31mproven\x07",
    "deep lists": b"[" * 3000 + b"]" * 3000,
    "deep objects": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "a text without end": b'{"lo": "' + b'\\"' * 3000,
}

JSON = TEXTS | {
    "5 000 digits": b'{"lo": ' + b"7" * 5000 + b', "hi": 1}',
    "infinity": b'{"lo": -Infinity, "hi": Infinity}',
    "a number beyond doubles": b'{"lo": 0, "hi": 1e999}',
    "half a character": b'{"lo": 0, "hi": "\\ud800"}',
    "a zero byte in a name": b'{"lo\\u0000": 0, "hi": 1}',
    "a key that stands twice": b'{"lo": 0, "lo": 0, "hi": 1}',
}

TOML = TEXTS | {
    "5 000 digits": b"lo = " + b"7" * 5000 + b"\nhi = 1",
    "5 000 hexadecimal digits": b"lo = 0x" + b"f" * 5000 + b"\nhi = 1",
    "infinity": b"lo = -inf\nhi = inf",
    "not a number": b"lo = nan\nhi = nan",
    "deep lists": b"lo = " + b"[" * 3000 + b"]" * 3000,
    "deep tables": b".".join([b"a"] * 3000) + b" = 1",
    "deep tables with spaces": b" . ".join([b'"a"'] * 3000) + b" = 1",
    "a table of many parts": b"[" + b".".join([b"a"] * 100_000) + b"]",
    "a day that is none": b"lo = 2020-02-31\nhi = 1",
    "deep inline tables": b"lo = " + b"{a = " * 3000 + b"1" + b"}" * 3000,
}


def archive(member: bytes, name: str = "x.npy", **options: int) -> bytes:
    """Return an .npz archive with one member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as made:
        made.writestr(name, member)
    return stream.getvalue()


def array(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Return an .npy member with this header."""
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header.encode("latin-1") + body


def stated(shape: str, descr: str = "'<f8'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def saved(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _encrypted() -> bytes:
    content = bytearray(archive(array(stated("(1, 2)"), bytes(16))))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    return bytes(content)


def _packed_by(method: int) -> bytes:
    content = bytearray(archive(array(stated("(1, 2)"), bytes(16))))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(mark) + offset] = method
    return bytes(content)


def _many_members() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for number in range(2000):
            made.writestr(f"{number}.npy", b"")
    return stream.getvalue()


NPZ = {
    "nothing": b"",
    "no archive": b"PK\x03\x04" + bytes(50),
    "an archive cut short": saved(x=np.ones((2, 2)))[:-30],
    "encrypted": _encrypted(),
    "packed by a method that nobody has": _packed_by(97),
    "packed by LZMA": archive(array(stated("(1, 2)"), bytes(16)), compression=zipfile.ZIP_LZMA),
    "thousands of members": _many_members(),
    "no array": archive(b"", "x.txt"),
    "an empty member": archive(b""),
    "a header without end": archive(array("{'descr': '<f8', 'fortran_order': False, 'shape': (1,")),
    "a header of 9 000 signs": archive(array("(" * 9000)),
    "a header of 9 000 minus signs": archive(array("-" * 9000 + "1")),
    "a header longer than the file": archive(array(stated("(1, 2)"))[:30], "x.npy"),
    "a header of 4 GiB": archive(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
    "a version that nobody has": archive(array(stated("(1, 2)"), bytes(16), b"\x09\x00")),
    "a shape beyond memory": archive(array(stated("(99999999999, 99999999999)"))),
    "a shape beyond integers": archive(array(stated("(" + "9" * 40 + ", 2)"))),
    "an absurd shape of no size": archive(array(stated("(0, 99999999999999999, 9999999999)"))),
    "a negative shape": archive(array(stated("(-1, -2)"), bytes(16))),
    "a hundred axes": archive(array(stated("(" + "1, " * 100 + ")"), bytes(8))),
    "pickles": saved(x=np.array([{"a": 1}], dtype=object)),
    "texts": saved(x=np.array([["a", "b"]])),
    "complex numbers": saved(x=np.ones((2, 2), complex)),
    "structures": archive(array(stated("(1, 2)", "[('a', '<f8')]"), bytes(16))),
    "a program for a header": archive(array("__import__('os').abort()")),
    "a bomb": archive(bytes((64 << 20) + 1000), compression=zipfile.ZIP_DEFLATED),
    "not a number": saved(x=np.full((2, 2), np.nan)),
}
