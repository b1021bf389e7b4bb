"""Readers take regular files within limits, and say in plain words what else they were given."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from qdeploy.diagnostics import InputError
from qdeploy.reading import (
    Entry,
    Kind,
    MalformedError,
    PathError,
    SizeError,
    bytes_of,
    exists,
    integer,
    is_file,
    is_folder,
    look,
    names_in,
    opened,
    parse_json,
    parse_toml,
    read_array,
    read_bytes,
    read_text,
    resolved,
    shown,
)
from qdeploy.reading.documents import DEEPEST, LARGEST_BITS, MOST_VALUES
from support import bad_files

KIND = Kind("the list", 100, "give a list", "give a shorter list")

WHY = {
    "missing": "there is no such file",
    "a_folder": "it is a folder, no file",
    "a_pipe": "it is a pipe, no file",
    "a_device": "it is a device or socket, no file",
    "a_long_name": "the path is too long",
    "a_long_path": "the path is too long",
    "a_circle": "symbolic links lead in a circle",
    "through_a_file": "there is no such file: a part of the path is no folder",
    "far_too_large": "it is larger than 100 bytes",
}


@pytest.mark.parametrize("kind", bad_files.UNREADABLE)
def test_why_a_file_cannot_be_read_is_said(kind, tmp_path):
    path = bad_files.UNREADABLE[kind](tmp_path, "")
    with pytest.raises(PathError) as caught:
        bytes_of(path, 100)
    assert str(caught.value) == WHY[kind]
    with pytest.raises(InputError) as told:
        read_bytes(path, KIND)
    too_large = kind == "far_too_large"
    assert WHY[kind].removeprefix("it ") in told.value.what
    assert told.value.fix == ("give a shorter list" if too_large else "give a list")
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_said(name, tmp_path):
    path = tmp_path / name
    for read in (lambda: bytes_of(path, 1), lambda: look(path), lambda: names_in(path)):
        with pytest.raises(PathError, match="a character that no path can hold"):
            read()
    assert not exists(path)
    assert not is_file(path)
    assert not is_folder(path)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("missing", Entry.ABSENT),
        ("a_folder", Entry.FOLDER),
        ("a_pipe", Entry.PIPE),
        ("a_device", Entry.OTHER),
        ("far_too_large", Entry.FILE),
    ],
)
def test_what_stands_at_a_path_is_told(kind, found, tmp_path):
    path = bad_files.UNREADABLE[kind](tmp_path, "")
    assert look(path) is found
    assert exists(path) == (found is not Entry.ABSENT)
    assert is_file(path) == (found is Entry.FILE)
    assert is_folder(path) == (found is Entry.FOLDER)


def test_the_limit_is_the_last_size_that_is_read(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(bytes(100))
    assert bytes_of(path, 100) == bytes(100)
    with pytest.raises(SizeError):
        bytes_of(path, 99)


def test_a_file_whose_size_the_system_does_not_say_is_read_up_to_the_limit():
    path = Path("/proc/self/maps")
    assert path.stat().st_size == 0
    assert bytes_of(path, 1 << 24).startswith(path.read_bytes()[:10])
    with pytest.raises(SizeError):
        bytes_of(path, 100)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(PathError, match="permission denied"):
        bytes_of(path, 1)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path):
    """Whatever happens between looking and opening, nobody is waited for."""
    path = tmp_path / "list"
    stop = time.monotonic() + 1.0

    def swap():
        while time.monotonic() < stop:
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            path.unlink()
            path.write_bytes(b"content")

    path.write_bytes(b"content")
    swapping = threading.Thread(target=swap)
    swapping.start()
    found = []
    while swapping.is_alive():
        try:
            found.append(bytes_of(path, 100).decode())
        except PathError as problem:
            found.append(str(problem))
    swapping.join()
    assert {WHY["a_pipe"], "content"} < set(found)
    assert set(found) <= {WHY["a_pipe"], WHY["missing"], "content", ""}


def test_files_are_opened_and_links_followed(tmp_path):
    (tmp_path / "list").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("list")
    with opened(tmp_path / "link") as stream:
        stream.seek(4)
        assert stream.read(2) == b"45"
    assert resolved(tmp_path / "link") == tmp_path.resolve() / "list"
    assert names_in(tmp_path) == ("link", "list")
    with pytest.raises(PathError, match="circle"):
        resolved(bad_files.a_circle(tmp_path, ""))


def test_text_is_utf_8(tmp_path):
    path = tmp_path / "list"
    path.write_bytes("größe".encode())
    assert read_text(path, KIND) == "größe"
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="the list is no UTF-8 text"):
        read_text(path, KIND)


def test_of_a_long_path_both_ends_are_shown():
    path = Path("/begin", *["deep"] * 1000, "end")
    assert len(shown(path)) == 201
    assert shown(path).startswith("/begin/deep")
    assert shown(path).endswith("deep/end")


# --- JSON ------------------------------------------------------------------------------------

ACCEPTED = [
    ('{"a": [1, -2.5, "x", true, null]}', {"a": [1, -2.5, "x", True, None]}),
    ('"[[[[\\"[[["', '[[[["[[['),
    ("[" * DEEPEST + "]" * DEEPEST, None),
    (str((1 << LARGEST_BITS - 1) - 1), (1 << LARGEST_BITS - 1) - 1),
    (" [ ] ", []),
]


@pytest.mark.parametrize(("text", "value"), ACCEPTED)
def test_json_is_read(text, value):
    found = parse_json(text)
    assert value is None or found == value


REFUSED = [
    ("", "Expecting value"),
    ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than 64 deep"),
    ("[" * 100_000, "nested more than 64 deep"),
    ('{"a":' * 100_000, "nested more than 64 deep"),
    ('"' + "[" * 100, "a text in it has no end"),
    ('"a\\"', "a text in it has no end"),
    ('{"a": 1, "b": 2, "a": 1}', "a key appears twice"),
    ("7" * 5000, "an integer has more than 4096 bits"),
    ("-" + "7" * 1233, "an integer has more than 4096 bits"),
    ("NaN", "NaN is no finite number"),
    ("-Infinity", "-Infinity is no finite number"),
    ("1e999", "1e999 is no finite number"),
    ("1" * 400 + ".5", "is no finite number"),
    ("[" + "1," * MOST_VALUES + "1]", "more than 4194304 values"),
    ("\ufeff{}", "BOM"),
    ("{} {}", "Extra data"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_moderate_json_is_refused(text, why):
    with pytest.raises(MalformedError, match=why):
        parse_json(text)


@pytest.mark.parametrize("text", ["1.0", "1e3", "NaN", "Infinity"])
def test_numbers_can_be_required_to_be_integers(text):
    assert parse_json("[12, -7]", number=integer) == [12, -7]
    with pytest.raises(MalformedError, match=f"number {text} is no integer"):
        parse_json(text, number=integer)


@pytest.mark.parametrize(
    "text",
    [
        '"' + 'a\\"' * 2_000_000,
        " " * 6_000_000,
        '"a",' * 1_000_000,
        '["' + '\\"' * 3_000_000 + '"]',
        "[" + '"' * 3_000_001,
    ],
    ids=range(5),
)
def test_a_hostile_text_takes_linear_time(text):
    begun = time.monotonic()
    with pytest.raises(MalformedError):
        parse_json(text + "!")
    assert time.monotonic() - begun < 10


# --- TOML ------------------------------------------------------------------------------------


def test_toml_is_read():
    assert parse_toml('a = 1_000\nb = 0x10\n[c.d]\ne = ["x"]') == {
        "a": 1000,
        "b": 16,
        "c": {"d": {"e": ["x"]}},
    }
    assert parse_toml("a = 8.10", number=str) == {"a": "8.10"}
    dots = ".".join(["a"] * (DEEPEST - 1))
    assert parse_toml(f"{dots} = 1\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = 1\na = 2", "Cannot overwrite a value"),
        ("a = \0", "Illegal|Invalid"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested more than 64 deep"),
        ("a = " + "[" * 70 + "]" * 70, "nested more than 64 deep"),
        (".".join(["a"] * 70) + " = 1", "a key has more than 64 parts"),
        ("[" + ' . "b". '.join(["a"] * 70) + "]", "a key has more than 64 parts"),
        (".".join(["a"] * 300_000) + " = 1", "a key has more than 64 parts"),
        ("a = " + "7" * 5000, "an integer has more than 4096 bits"),
        ("a = [[0x1" + "0" * 1024 + "]]", "an integer has more than 4096 bits"),
        ("a = 2020-02-30", "Invalid date"),
    ],
    ids=range(10),
)
def test_what_is_no_moderate_toml_is_refused(text, why):
    begun = time.monotonic()
    with pytest.raises(MalformedError, match=why):
        parse_toml(text)
    assert time.monotonic() - begun < 10


# --- arrays ----------------------------------------------------------------------------------

ARRAYS = Kind("the samples", 64 << 20, "save them again", "save fewer")


@pytest.mark.parametrize("kind", sorted(set(bad_files.NPZ) - {"not a number"}))
def test_what_is_no_array_of_numbers_is_refused(kind, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(bad_files.NPZ[kind])
    with pytest.raises(InputError, match="the samples cannot be read: ") as caught:
        read_array(path, ARRAYS)
    assert caught.value.fix == ("save fewer" if kind == "a bomb" else "save them again")


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0, 2), (2, 1, 3)])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "|i1", ">u2", "<i8", "|b1"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(shape, dtype, save, tmp_path):
    array = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype)
    save(tmp_path / "x.npz", x=array, y=[1])
    found = read_array(tmp_path / "x.npz", ARRAYS)
    assert found.shape == shape
    assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert found.tolist() == array.tolist()


def test_the_only_array_needs_no_name(tmp_path):
    np.savez(tmp_path / "a.npz", anything=[1.5])
    assert read_array(tmp_path / "a.npz", ARRAYS).tolist() == [1.5]


def test_headers_of_older_writers_are_read(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2L,), }   \n"
    path = tmp_path / "x.npz"
    path.write_bytes(bad_files.archive(bad_files.array(header, bytes(8), b"\x02\x00")))
    assert read_array(path, ARRAYS).tolist() == [0.0, 0.0]
