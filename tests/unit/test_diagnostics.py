"""Words for people: nothing in them moves a cursor, and a missing package is named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy.diagnostics import InputError, Where, install, missing_package, visible

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("größe … 2⁻⁸ ok", "größe … 2⁻⁸ ok"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x9b\x7f\x00", "\\x9b\\x7f\\x00"),
        ("rtl\u202ecba\u2066", "rtl\\u202ecba\\u2066"),
        ("line\u2028end\u0085", "line\\u2028end\\x85"),
        ("half \ud83d of one", "half \\ud83d of one"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_prints_nothing_is_written_out(words, shown):
    assert visible(words) == shown


@given(st.text())
def test_what_is_visible_stays_as_it_is(words):
    shown = visible(words)
    assert shown.isprintable()
    assert visible(shown) == shown
    assert visible(words, keep="\n").replace("\n", "").isprintable()


def test_an_error_keeps_its_three_lines():
    error = InputError("broken\x1b[2J", where=Where("a\nproven", "b"), fix="do\r\nbound <= 0")
    assert str(error).splitlines() == [
        "broken\\x1b[2J",
        "  where: a\\x0aproven: b",
        "  fix:   do\\x0d\\x0abound <= 0",
    ]


def failed_import(line, tmp_path):
    """Return the ImportError of a line, with what lies in the folder in front of all else."""
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ImportError) as caught:
            exec(line, {"__name__": "qdeploy.somewhere"})
    finally:
        sys.path.remove(str(tmp_path))
    return caught.value


@pytest.mark.parametrize(
    ("line", "what", "extra"),
    [
        ("import nobody_has_this", "the Python package nobody_has_this is not installed", ""),
        (
            "import broken_thing",
            "the Python package broken_thing is damaged: libx.so is missing",
            "",
        ),
        ("from json import nobody", "the Python package json is damaged: cannot import name", ""),
    ],
)
def test_a_package_that_does_not_load_is_named(line, what, extra, tmp_path):
    (tmp_path / "broken_thing.py").write_text("raise ImportError('libx.so is missing\\nmore')\n")
    error = missing_package(failed_import(line, tmp_path))
    assert error.what.startswith(what)
    assert error.fix == install(extra)
    assert error.exit_code == 4


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("serial.tools", "pyserial", ""),
        ("unicorn", "unicorn", "run"),
        ("dask", "distributed", "cluster"),
    ],
)
def test_packages_of_other_names_and_of_extras_are_known(module, package, extra):
    error = missing_package(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert error.what == f"the Python package {package} is not installed"
    assert error.fix == install(extra)


def test_our_own_modules_are_no_package_to_install():
    assert missing_package(ImportError("x", name="qdeploy.proof")) is None
    assert missing_package(ImportError("x")) is None


def test_installing_never_names_an_index():
    """The name qdeploy is not ours there: who follows such an advice runs somebody else's code."""
    assert install("run") == "pip install '.[run]' in the checkout of qdeploy"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    advice = re.compile(r"pip\d? install (?:-[-\w]+ )*['\"]?qdeploy|qdeploy\[\w+\]")
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".j2"} and path != Path(__file__).resolve():
            found = advice.search(path.read_text("utf-8"))
            assert found is None, f"{name}: {found}"
