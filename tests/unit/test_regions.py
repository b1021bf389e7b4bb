"""Every way to write an input region: what it means, and how a mistake is said."""

import json
import math
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import importer
from qdeploy.diagnostics import InputError
from qdeploy.ir import Box
from support.models import shared_model

TENTH_UP = Fraction(0.1)
TENTH_DOWN = Fraction(math.nextafter(0.1, 0))


def read(spec, n_inputs=2):
    return importer.read_regions(str(spec), n_inputs)


def refused(spec, n_inputs=2):
    with pytest.raises(InputError) as caught:
        read(spec, n_inputs)
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "lo", "hi"),
    [
        ("-1:1", -1, 1),
        ("0:0", 0, 0),
        ("-2.5:-.5", Fraction(-5, 2), Fraction(-1, 2)),
        ("+1e-1:1E2", TENTH_DOWN, 100),
        ("0.1:0.1", TENTH_DOWN, TENTH_UP),
        ("-0.1:3.", -TENTH_UP, 3),
        ("1e-400:1e-400", 0, Fraction(5e-324)),
    ],
)
def test_a_range_holds_for_every_input(spec, lo, hi):
    assert read(spec) == (Box((lo, lo), (hi, hi), spec),)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("1:-1", "the lower end 1 is above the upper end -1"),
        ("", "'' is no input region"),
        ("1", "'1' is no input region"),
        ("1:2:3", "'1:2:3' is no input region"),
        ("nan:1", "'nan' is no finite number, and a box needs finite ends"),
        ("-inf:inf", "'-inf' is no finite number, and a box needs finite ends"),
        ("0:+Infinity", "'+Infinity' is no finite number"),
        ("0:inf.json", "there is no such file"),
        ("0x1:2", "'0x1:2' is no input region"),
        ("box.txt", "'box.txt' is no input region"),
        ("1e999999999:2e999999999", "the number '1e999999999' is too long"),
        ("0:" + "9" * 500, "is too long"),
        ("0:1.1e300", "the number '1.1e300' is too large"),
        ("\u0660:\u0661", "is no input region"),
        ("no/such/box.json", "there is no such file"),
        ("data:none.npz", "there is no such file"),
        ("data:x.csv", "'data:x.csv' names no .npz file"),
        ("data:x.npz:wide", "'wide' is no number"),
        ("data:x.npz:-1", "the radius -1 is negative"),
    ],
)
def test_what_is_no_region_is_refused(spec, what):
    assert what in refused(spec)


JSON = [
    ('{"lo": [0.1, -1], "hi": [0.1, 2]}', (TENTH_DOWN, -1), (TENTH_UP, 2)),
    ('{"lo": -1, "hi": 1.5}', (-1, -1), (Fraction(3, 2),) * 2),
    ('{"hi": [1, 2], "lo": 0}', (0, 0), (1, 2)),
]


@pytest.mark.parametrize(("text", "lo", "hi"), JSON)
def test_json_boxes_are_read_exactly(text, lo, hi, tmp_path):
    path = tmp_path / "box.json"
    path.write_text(text)
    assert read(path) == (Box(lo, hi, "box.json"),)


def test_toml_boxes_are_read_exactly(tmp_path):
    path = tmp_path / "box.TOML"
    path.write_text("lo = [0.1, -1_0]\nhi = 1e1\n")
    assert read(path) == (Box((TENTH_DOWN, -10), (10, 10), "box.TOML"),)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("b.json", '{"lo": [0], "hi": [1, 1]}', "'lo' has 1 numbers, the network has 2 inputs"),
        ("b.json", '{"lo": [0, 0], "hi": [1, 1, 1]}', "'hi' has 3 numbers"),
        ("b.json", '{"lo": [0, 2], "hi": [1, 1]}', "input 1: the lower end is above the upper end"),
        ("b.json", '{"lo": 0}', "this file has 'lo'"),
        ("b.json", '{"lo": 0, "hi": 1, "mid": 2}', "this file has 'hi', 'lo', 'mid'"),
        ("b.json", '{"lo": 0, "lo": 1, "hi": 2}', "a key appears twice"),
        ("b.json", '{"lo": NaN, "hi": 2}', "'NaN' is no finite number"),
        ("b.json", '{"lo": -Infinity, "hi": 2}', "'-Infinity' is no finite number"),
        ("b.json", '{"lo": 1e9999, "hi": 2}', "the number '1e9999' is too long"),
        ("b.json", '{"lo": "0", "hi": 2}', "'lo' holds something that is no number"),
        ("b.json", '{"lo": [0, true], "hi": 2}', "'lo' holds something that is no number"),
        ("b.json", '{"lo": [0, [0]], "hi": 2}', "'lo' holds something that is no number"),
        ("b.json", "[1, 2]", "this file has no table"),
        ("b.json", "{", "this is no JSON"),
        ("b.json", "[" * 100_000, "this is no JSON"),
        ("b.json", '{"lo": ' + "1" * 5000 + ', "hi": 2}', "is too long"),
        ("b.toml", "lo = nan\nhi = 1", "'nan' is no finite number"),
        ("b.toml", "lo = -inf\nhi = 1", "'-inf' is no finite number"),
        ("b.toml", "lo = 0\nlo = 1\nhi = 2", "this is no TOML"),
        ("b.toml", "lo = " + "1" * 1000 + "\nhi = 2", "is too long"),
        ("b.toml", "lo = " + "1" * 5000 + "\nhi = 2", "this is no TOML"),
        ("b.toml", "lo = " + "[" * 100_000, "this is no TOML"),
        ("b.toml", "lo = 2020-01-01\nhi = 2", "'lo' holds something that is no number"),
    ],
)
def test_malformed_boxes_are_refused(name, text, what, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    message = refused(path)
    assert what in message
    assert f"where: {name}" in message


def test_boxes_that_are_no_text_or_too_long_are_refused(tmp_path):
    path = tmp_path / "box.json"
    path.write_bytes(b'{"lo": 0, "hi": 1, "\xff": 2}')
    assert "the region file is no UTF-8 text" in refused(path)
    path.write_bytes(b" " * ((4 << 20) + 1))
    assert "the region file is larger than" in refused(path)


PROPERTY = """\
; a comment (with (parentheses
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (<= X_0 0.5))
(assert (>= X_0 -0.5))
"""


@pytest.mark.parametrize(
    ("rest", "corners"),
    [
        ("(assert (<= X_1 2)) (assert (>= X_1 1))", [((1,), (2,))]),
        ("(assert (<= 1 X_1)) (assert (> 2 X_1))", [((1,), (2,))]),
        ("(assert (and (<= X_1 2) (>= X_1 1) (<= X_1 1.5)))", [((1,), (Fraction(3, 2),))]),
        ("(assert (= X_1 (- 3)))", [((-3,), (-3,))]),
        (
            "(assert (or (and (<= X_1 2) (>= X_1 1)) (and (<= X_1 4) (>= X_1 3))))",
            [((1,), (2,)), ((3,), (4,))],
        ),
        (
            "(assert (or (<= X_1 0) (>= X_1 5))) (assert (<= X_1 6)) (assert (>= X_1 -1))",
            [((-1,), (0,)), ((5,), (6,))],
        ),
        (
            "(assert (or (<= X_1 0) (>= X_1 5))) (assert (<= X_1 4)) (assert (>= X_1 -1))",
            [((-1,), (0,))],
        ),
    ],
)
def test_input_constraints_of_a_property_become_boxes(rest, corners, tmp_path):
    path = tmp_path / "p.vnnlib"
    path.write_text(PROPERTY + rest)
    half = Fraction(1, 2)
    found = [(b.lo, b.hi) for b in read(path)]
    assert found == [((-half, *lo), (half, *hi)) for lo, hi in corners]


@pytest.mark.parametrize(
    "output", ["(<= Y_0 0)", "(or (and (>= Y_0 1)) (and (<= Y_0 0)))", "(>= Y_0 (* 2.0 Y_0))"]
)
def test_constraints_on_outputs_are_left_out_and_said(output, tmp_path):
    path = tmp_path / "p.vnnlib"
    path.write_text(f"{PROPERTY}(assert (<= X_1 2)) (assert (>= X_1 1)) (assert {output})")
    (box,) = read(path)
    assert box.hi == (Fraction(1, 2), 2)
    assert box.name == "p.vnnlib (constraints on outputs left out)"


def test_an_alternative_that_also_constrains_outputs_keeps_its_inputs(tmp_path):
    path = tmp_path / "p.vnnlib"
    path.write_text(
        PROPERTY + "(assert (or (and (<= X_1 2) (>= X_1 1) (<= Y_0 3)) (and (= X_1 7) (>= Y_0 4))))"
    )
    assert [(b.lo[1], b.hi[1]) for b in read(path)] == [(1, 2), (7, 7)]


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("(assert (<= X_1 2))", "input X_1 has no lower bound"),
        ("(assert (>= X_1 2))", "input X_1 has no upper bound"),
        ("(assert (>= X_1 2)) (assert (<= X_1 1))", "no input satisfies the constraints"),
        ("(assert (<= (+ X_0 X_1) 1))", "this is no bound on one input: (<= (+ X_0 X_1) 1)"),
        ("(assert (<= X_0 X_1))", "this is no bound on one input"),
        ("(assert (not (<= X_0 1)))", "this is no bound on one input: (not"),
        ("(assert (<= X_1 nan))", "'nan' is no finite number"),
        ("(assert (<= Z_1 1))", "this is no bound on one input"),
        ("(assert (or))", "this is no bound on one input"),
        ("(assert (<= X_1 2)", "the parentheses do not match"),
        ("(assert (<= X_1 2)))", "the parentheses do not match"),
        ("(" * 100_000, "the constraints are nested more than 16 deep"),
        ("(declare-network N)", "this is no bound on one input: (declare-network N)"),
        ("(declare-const Z_0 Real)", "the variable 'Z_0' is neither an input X_i nor an output"),
        ("(declare-const X_2 Real)", "the property declares 3 inputs, the network has 2"),
        ("(assert (or (<= X_1 0) (>= X_1 1)))" * 9, "the constraints allow more than 256 boxes"),
    ],
)
def test_properties_that_are_no_boxes_are_refused(rest, what, tmp_path):
    path = tmp_path / "p.vnnlib"
    path.write_text(PROPERTY + rest)
    assert what in refused(path)


def test_a_property_of_acasxu_gives_the_box_of_its_sidecar(tmp_path):
    sidecar = json.loads(shared_model("acasxu_2_1").with_suffix(".json").read_text())
    box = next(b for b in sidecar["boxes"] if b["name"] == "prop_1")
    lines = [f"(declare-const X_{i} Real)" for i in range(5)]
    for i, (low, high) in enumerate(zip(box["lo"], box["hi"], strict=True)):
        lines += [f"(assert (<= X_{i} {high!r}))", f"(assert (>= X_{i} {low!r}))"]
    (tmp_path / "p.vnnlib").write_text("\n".join(lines))
    (tmp_path / "b.json").write_text(json.dumps({"lo": box["lo"], "hi": box["hi"]}))
    (one,), (other,) = read(tmp_path / "p.vnnlib", 5), read(tmp_path / "b.json", 5)
    assert (one.lo, one.hi) == (other.lo, other.hi)


def save(folder, **arrays):
    path = folder / "s.npz"
    np.savez(path, **arrays)
    return path


def test_samples_without_a_radius_give_their_hull(tmp_path):
    path = save(tmp_path, x=np.array([[1, -2], [0.5, 4], [2, 0]]), y=np.zeros(3))
    (box,) = read(f"data:{path}")
    assert (box.lo, box.hi) == ((Fraction(1, 2), -2), (2, 4))
    assert box.name == "hull of s.npz"


def test_samples_with_a_radius_give_a_cube_each(tmp_path):
    path = save(tmp_path, samples=np.array([[[1], [2]], [[3], [4]]], dtype=np.int16))
    boxes = read(f"data:{path}:0.25")
    quarter = Fraction(1, 4)
    assert [b.lo for b in boxes] == [(1 - quarter, 2 - quarter), (3 - quarter, 4 - quarter)]
    assert [b.hi for b in boxes] == [(1 + quarter, 2 + quarter), (3 + quarter, 4 + quarter)]
    assert [b.name for b in boxes] == ["s.npz[0]", "s.npz[1]"]


def test_a_radius_of_zero_gives_points(tmp_path):
    (box,) = read(f"data:{save(tmp_path, x=np.array([0.25, 1.5]))}:0")
    assert box.lo == box.hi == (Fraction(1, 4), Fraction(3, 2))


def test_a_list_of_numbers_is_one_sample_each_for_a_network_of_one_input(tmp_path):
    (box,) = read(f"data:{save(tmp_path, x=np.array([3.0, 1.0, 2.0]))}", 1)
    assert (box.lo, box.hi) == ((1,), (3,))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "|u1", ">i4"])
def test_arrays_are_read_whatever_their_layout(order, dtype, tmp_path):
    rows = np.array([[1, 2, 3], [6, 5, 4]], dtype=dtype, order=order)
    (box,) = read(f"data:{save(tmp_path, x=rows)}", 3)
    assert (box.lo, box.hi) == ((1, 2, 3), (6, 5, 4))


def test_compressed_archives_are_read(tmp_path):
    np.savez_compressed(tmp_path / "s.npz", x=np.zeros((4, 2)))
    assert read(f"data:{tmp_path / 's.npz'}")[0].lo == (0, 0)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}, "2 arrays and none or several called 'x'"),
        ({"x": np.zeros((3, 5))}, "the samples have the shape [3, 5], the network has 2 inputs"),
        ({"x": np.zeros((0, 2))}, "the samples have the shape [0, 2]"),
        ({"x": np.zeros(())}, "the samples have the shape []"),
        ({"x": np.array([[1, 2], [np.nan, 0]])}, "sample 1 holds nan at input 0"),
        ({"x": np.array([[1, 1e301]])}, "sample 0 holds 1e+301 at input 1"),
        ({"x": np.array([[1, np.inf]])}, "sample 0 holds inf at input 1"),
        ({"x": np.array([[1j, 2]])}, "its elements are '<c16'"),
        ({"x": np.array([["a", "b"]])}, "its elements are '<U1'"),
        ({"x": np.array([[True, False]])}, "its elements are bool"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(arrays, what, tmp_path):
    assert what in refused(f"data:{save(tmp_path, **arrays)}")


def test_too_many_cubes_are_refused(tmp_path):
    path = save(tmp_path, x=np.zeros((4097, 2)))
    assert "at most 4096 regions can be certified" in refused(f"data:{path}:0.1")
    path = save(tmp_path, x=np.zeros((900, 2000)))
    assert "900 boxes over 2000 inputs are too many" in refused(f"data:{path}:0.1", 2000)


def test_samples_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    path = save(tmp_path, x=np.array([Bomb()], dtype=object))
    assert "its elements are '|O'" in refused(f"data:{path}")


def member(folder, content, **options):
    path = folder / "s.npz"
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("x.npy", content)
    return f"data:{path}"


def header(text, body=b""):
    padded = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + body


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the array has no valid header"),
        (b"\x93NUMPY\x09\x00" + bytes(40), "it uses version (9, 0) of the array format"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000, 2)}"), "the size"),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2)}", bytes(16)),
            "no valid",
        ),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999)}"), "size"),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,) + (1,)}"),
            "no valid header",
        ),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': 3}"), "no valid header"),
        (header("{'descr': '<f8'"), "no valid header"),
        (header("__import__('os').abort()"), "no valid header"),
        (header("(" * 110), "no valid header"),
    ],
)
def test_damaged_arrays_are_refused(content, what, tmp_path):
    assert what in refused(member(tmp_path, content))


def test_an_array_that_unpacks_beyond_the_limit_is_refused(tmp_path):
    zeros = bytes((64 << 20) + 200)
    spec = member(tmp_path, zeros, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    assert "the array is larger than 67108864 bytes" in refused(spec)


def test_other_compressions_are_refused(tmp_path):
    spec = member(tmp_path, b"x", compression=zipfile.ZIP_LZMA)
    assert "packed by another method" in refused(spec)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_files_that_are_no_archives_are_refused(content, tmp_path):
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    assert "it is no readable .npz archive" in refused(f"data:{path}")
