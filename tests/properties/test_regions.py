"""A region contains what its text says, and no damaged file ends in a traceback."""

import contextlib
import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdeploy import importer
from qdeploy.diagnostics import InputError

_DECIMALS = st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False).map(
    lambda d: d.normalize()
)
_PAIRS = st.tuples(_DECIMALS, _DECIMALS).map(sorted)
_SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spelled(value: Decimal) -> str:
    return str(value)


def assert_encloses(box, pairs):
    """The box contains the pairs' intervals, and no double lies in between."""
    for low, high, (wanted_low, wanted_high) in zip(box.lo, box.hi, pairs, strict=True):
        assert low <= Fraction(wanted_low) < Fraction(math.nextafter(float(low), math.inf))
        assert high >= Fraction(wanted_high) > Fraction(math.nextafter(float(high), -math.inf))


@_SETTINGS
@given(pair=_PAIRS, n_inputs=st.integers(1, 5))
def test_a_range_is_enclosed_tightly(pair, n_inputs):
    low, high = pair
    (box,) = importer.read_regions(f"{spelled(low)}:{spelled(high)}", n_inputs)
    assert_encloses(box, [pair] * n_inputs)


@_SETTINGS
@given(pairs=st.lists(_PAIRS, min_size=1, max_size=4), form=st.sampled_from(["json", "toml"]))
def test_box_files_are_enclosed_tightly(pairs, form, tmp_path):
    corners = [f"[{', '.join(toml_float(p[i]) for p in pairs)}]" for i in (0, 1)]
    texts = {
        "json": f'{{"lo": {corners[0]}, "hi": {corners[1]}}}',
        "toml": f"lo = {corners[0]}\nhi = {corners[1]}\n",
    }
    path = tmp_path / f"box.{form}"
    path.write_text(texts[form])
    (box,) = importer.read_regions(str(path), len(pairs))
    assert_encloses(box, pairs)


def toml_float(value: Decimal) -> str:
    return f"{value:f}"


@_SETTINGS
@given(pairs=st.lists(_PAIRS, min_size=1, max_size=4))
def test_properties_are_enclosed_tightly(pairs, tmp_path):
    lines = [f"(declare-const X_{i} Real)" for i in range(len(pairs))]
    for i, (low, high) in enumerate(pairs):
        lines.append(f"(assert (and (<= {spelled(low)} X_{i}) (<= X_{i} {spelled(high)})))")
    path = tmp_path / "p.vnnlib"
    path.write_text("\n".join(lines))
    (box,) = importer.read_regions(str(path), len(pairs))
    assert_encloses(box, pairs)


_FLOATS = st.floats(-1e6, 1e6, width=32)


@_SETTINGS
@given(
    rows=st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(_FLOATS, min_size=n, max_size=n), min_size=1, max_size=5)
    ),
    radius=st.decimals(0, 10, places=3),
)
def test_every_sample_lies_in_its_cube_and_in_the_hull(rows, radius, tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, x=np.array(rows))
    (hull,) = importer.read_regions(f"data:{path}", len(rows[0]))
    cubes = importer.read_regions(f"data:{path}:{radius}", len(rows[0]))
    wide = Fraction(radius)
    for row, cube in zip(rows, cubes, strict=True):
        assert_encloses(cube, [(Fraction(v) - wide, Fraction(v) + wide) for v in row])
        for low, value, high in zip(hull.lo, row, hull.hi, strict=True):
            assert low <= Fraction(value) <= high


def contents(folder):
    np.savez_compressed(folder / "ok.npz", x=np.arange(6.0).reshape(3, 2))
    return {
        "npz": (folder / "ok.npz").read_bytes(),
        "json": json.dumps({"lo": [0.5, -1], "hi": [1e2, 3]}).encode(),
        "toml": b"lo = [0.5, -1.0]\nhi = 1e2\n",
        "vnnlib": b"(declare-const X_0 Real)(declare-const X_1 Real)\n"
        b"(assert (or (and (<= X_0 1) (>= X_0 0)) (= X_0 (- 4))))\n"
        b"(assert (<= X_1 0.5))(assert (>= X_1 -0.5))(assert (<= Y_0 1))",
    }


@settings(_SETTINGS, max_examples=250)
@given(data=st.data(), form=st.sampled_from(["npz", "json", "toml", "vnnlib"]))
def test_damaged_files_never_end_in_a_traceback(data, form, tmp_path):
    content = bytearray(contents(tmp_path)[form])
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255) | st.sampled_from(list(b"()[]{}-e9 ")))
    path = tmp_path / f"damaged.{form}"
    path.write_bytes(bytes(content))
    spec = f"data:{path}" if form == "npz" else str(path)
    with contextlib.suppress(InputError):
        assert importer.read_regions(spec, 2)
