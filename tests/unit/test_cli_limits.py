"""Limits and choices of the search: refused where they are none, kept, and said where they bite."""

import html
import json

import pytest
import qdeploy
from qdeploy.cli import main
from qdeploy.diagnostics import ExhaustedError
from qdeploy.pipeline.options import Options, read_memory
from support.controller import write_controller, write_dense_chain

NOTE = "activations hold twice what sampled inputs reach"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_controller(tmp_path_factory.mktemp("limits") / "model.onnx")


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Twelve layers of 8: with 8 bits, what is proven leaves some of them a few steps."""
    path = tmp_path_factory.mktemp("deep") / "deep.onnx"
    return write_dense_chain(path, (8,) * 13, gain=4.0)


# --- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["certify", "build"])
def test_too_little_memory_ends_before_anything_is_written(command, model, tmp_path, capsys):
    line = [command, str(model), "--inputs=-1:1", "--memory", "1M", "-o", str(tmp_path / "out")]
    line += ["--board", "host"] if command == "build" else []
    assert main(line) == 5
    told = capsys.readouterr()
    assert told.out == ""
    assert "error: bounding this network takes about " in told.err
    assert "--memory allows 1\n" in told.err
    assert "give --memory " in told.err
    assert list(tmp_path.iterdir()) == []


def test_the_size_that_is_named_suffices(model, tmp_path, capsys):
    line = ["certify", str(model), "--inputs=-1:1", "--work", "0", "-o", str(tmp_path / "c.json")]
    assert main([*line, "--memory", "1M"]) == 5
    named = capsys.readouterr().err.split("--memory ")[-1].split()[0]
    assert named.endswith("M")
    assert main([*line, "--memory", named]) == 0


@pytest.mark.parametrize(
    "text",
    ["nonsense", "", "-1", "1T", "1.5.2G", "1e9", "M", "1 G", "0x10", "inf", "nan", "9" * 5000],
)
def test_what_is_no_size_is_refused(text, model, capsys):
    assert main(["certify", str(model), "--inputs=-1:1", f"--memory={text}"]) == 2
    told = capsys.readouterr().err
    assert f"--memory {text[:80]!r} is no size of memory" in told
    assert "500M or 4G" in told
    assert len(told) < 400


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (None, 2 << 30),
        ("0", 0),
        ("1000", 1000),
        ("1K", 1 << 10),
        ("500m", 500 << 20),
        ("0.5G", 1 << 29),
        ("4g", 4 << 30),
    ],
)
def test_sizes_are_bytes_or_have_a_unit(text, size, model):
    assert read_memory(Options(model=model, memory=text)) == size


@pytest.mark.parametrize("memory", ["1M", 1 << 20, "1048576"])
def test_python_knows_the_limit_too(memory, model, tmp_path):
    with pytest.raises(ExhaustedError, match="--memory allows 1"):
        qdeploy.certify(model, inputs="-1:1", memory=memory, output=tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []


# --- tolerance -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1e9999999",
        "1e-9999999",
        "1E+9999999",
        "1e00009999999",
        "1e9_9_9_9",
        "1e1000",
        "9" * 5000,
        "0." + "0" * 5000 + "1",
        "1/" + "3" * 5000,
        "1/0",
        "inf",
        "",
    ],
)
def test_a_tolerance_that_nobody_can_calculate_with_is_refused_at_once(text, capsys):
    """So soon that the model is not even looked for."""
    assert main(["certify", "no.onnx", "--inputs=-1:1", f"--tolerance={text}"]) == 2
    told = capsys.readouterr().err
    assert f"--tolerance {text[:80]!r} is no non-negative number of a sensible size" in told
    assert len(told) < 400


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1e300", 0),
        ("1e-300", 1),
        ("1_0.5", 0),
        ("1/3", 0),
        ("0", 1),
        ("9" * 400, 0),
        ("1e0003", 0),
    ],
)
def test_other_tolerances_are_read_exactly(text, code, model, tmp_path, capsys):
    line = ["certify", str(model), "--inputs=-1:1", "--work", "0", "-o", str(tmp_path / "c.json")]
    assert main([*line, f"--tolerance={text}"]) == code
    capsys.readouterr()


# --- ranges ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", ["proven", "sampled"])
@pytest.mark.parametrize("activations", ["4.12", "exact"])
def test_ranges_choose_nothing_where_formats_are_given(ranges, activations, model, capsys):
    line = ["certify", str(model), "--inputs=-1:1", "--ranges", ranges]
    assert main([*line, "--activations", activations]) == 2
    told = capsys.readouterr().err
    assert f"--ranges {ranges} chooses formats of activations" in told
    assert f"--activations {activations} gives them" in told
    assert "give one of the two options" in told


def test_an_unknown_way_to_choose_ranges_is_refused(model, capsys):
    assert main(["certify", str(model), "--inputs=-1:1", "--ranges", "guessed"]) == 2
    assert "'guessed' is not one of 'auto', 'proven', 'sampled'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ranges", "told"), [("auto", True), ("proven", False), ("sampled", False)]
)
def test_text_and_json_tell_of_formats_that_hold_samples(ranges, told, deep, tmp_path, capsys):
    line = ["certify", str(deep), "--inputs=-1:1", "--bits", "8", "--work", "0.1"]
    line += ["--ranges", ranges, "--jobs", "1", "-o", str(tmp_path / "c.json")]
    assert main([*line, "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert any(warning.startswith(NOTE) for warning in warnings) is told
    if told:
        assert any("what lies beyond saturates, and counts in the bound" in w for w in warnings)
        assert any("(--ranges proven holds it all)" in w for w in warnings)
        assert main(line) == 0
        assert NOTE in " ".join(capsys.readouterr().out.split())


def test_so_does_the_page_of_a_build(deep, tmp_path, capsys):
    line = ["build", str(deep), "--inputs=-1:1", "--bits", "8", "--work", "0.1", "--jobs", "1"]
    line += ["--board", "host", "--no-run", "-o", str(tmp_path / "out")]
    assert main(line) == 0
    capsys.readouterr()
    page = html.unescape((tmp_path / "out" / "report.html").read_text())
    assert NOTE in " ".join(page.split())
    assert NOTE in (tmp_path / "out" / "build.json").read_text()
