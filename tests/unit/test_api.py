"""The Python API: the commands' names, options and answers, and errors as careful as theirs."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import qdeploy
from qdeploy import QdeployError, UsageError, diagnostics, proof
from qdeploy.cli import main
from qdeploy.ops import execute
from support.controller import write_controller

NAMES = ("build", "certify", "compare", "inspect", "load", "validate", "verify")
QUICK = {"inputs": "-1:1", "work": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("api")
    write_controller(place / "model.onnx")
    write_controller(place / "other.onnx", scale=0.5)
    return place


@pytest.fixture(scope="module")
def built(folder):
    """A build folder, and what build returned."""
    output = folder / "out"
    data = qdeploy.build(folder / "model.onnx", board="host", output=output, **QUICK)
    return output, data


# --- names -----------------------------------------------------------------------------------


def test_all_names_are_there_documented_and_functions():
    assert {*NAMES, "Loaded", "QdeployError", "UsageError"} <= set(dir(qdeploy))
    assert set(dir(qdeploy)) == set(qdeploy.__all__)
    for name in NAMES:
        function = getattr(qdeploy, name)
        assert callable(function)
        assert function.__name__ == name
        assert "Args:" in function.__doc__
        assert "Raises:" in function.__doc__


def test_the_stages_do_not_hide_the_functions():
    """Whatever of the package is imported, and in whatever order."""
    line = "import pkgutil, importlib, qdeploy\n"
    line += "for m in pkgutil.iter_modules(qdeploy.__path__):\n"
    line += "    m.name == '__main__' or importlib.import_module('qdeploy.' + m.name)\n"
    line += f"print(*(type(getattr(qdeploy, n)).__name__ for n in {NAMES}))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["function"] * len(NAMES)


def test_every_kind_of_error_is_exported():
    kinds = {
        name
        for name, value in vars(diagnostics).items()
        if isinstance(value, type) and issubclass(value, QdeployError)
    }
    assert kinds <= set(qdeploy.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'qdeploy' has no attribute 'deploy_it'"):
        _ = qdeploy.deploy_it


PROBE = """
import sys, qdeploy
print(qdeploy.verify(sys.argv[1])["verdict"])
print(*sorted(sys.modules))
"""


def test_verify_loads_no_solver_and_no_pipeline(built):
    line = [sys.executable, "-c", PROBE, str(built[0])]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    verdict, modules = done.stdout.splitlines()
    assert verdict == "proven"
    foreign = {"clarabel", "scipy", "jinja2", "serial", "unicorn", "click", "rich"}
    own = {f"qdeploy.{n}" for n in ("pipeline", "certifier", "quantize", "generate", "deploy")}
    assert not set(modules.split()) & (foreign | own)


TYPED = """
import qdeploy
answer: str = qdeploy.build("m.onnx", inputs="-1:1", bits=8)["answer"]
bound: float | None = qdeploy.load("out").bound
qdeploy.certify("m.onnx", inputs="-1:1", tolerance=0.1)
"""
ILL_TYPED = (
    'import qdeploy\nqdeploy.certify("m.onnx", input="-1:1")\nqdeploy.build("m", bits="8")\n'
)


@pytest.mark.parametrize(("text", "errors"), [(TYPED, 0), (ILL_TYPED, 2)])
def test_a_type_checker_knows_the_functions(tmp_path, text, errors):
    (tmp_path / "script.py").write_text(text)
    (tmp_path / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    line = [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini"]
    line += ["--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), "script.py"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.count(": error:") == errors, done.stdout


# --- the same answers as the commands --------------------------------------------------------


def printed(capsys, *line):
    capsys.readouterr()
    main([*map(str, line), "--json"])
    return json.loads(capsys.readouterr().out)


def timeless(data):
    return {k: v for k, v in data.items() if k != "seconds"}


def test_build_returns_build_json(built):
    output, data = built
    assert data == json.loads((output / "build.json").read_text())


def test_certify_compare_verify_validate_and_inspect_return_what_json_prints(folder, built, capsys):
    model, other, out = folder / "model.onnx", folder / "other.onnx", built[0]
    for path in (model, str(model)):
        assert qdeploy.inspect(path) == printed(capsys, "inspect", model)
    ours = qdeploy.validate(out, vectors=20, junit=folder / "junit.xml")
    theirs = printed(capsys, "validate", out, "--vectors", 20)
    assert timeless(ours) == timeless(theirs)
    assert (folder / "junit.xml").exists()
    made = folder / "c.json"
    ours = qdeploy.certify(model, output=str(made), **QUICK)
    line = ("certify", model, "--inputs=-1:1", "--work", 0, "-o", made)
    theirs = printed(capsys, *line)
    del ours["certificate"]["seconds"], theirs["certificate"]["seconds"]
    assert timeless(ours) == timeless(theirs)
    assert qdeploy.verify(made, model=model) == printed(capsys, "verify", made, "--model", model)
    assert qdeploy.verify(out) == printed(capsys, "verify", out)
    both = folder / "s.json"
    ours = qdeploy.compare(model, other, inputs="-1:1", output=both)
    theirs = printed(capsys, "compare", model, other, "--inputs=-1:1", "-o", both)
    assert timeless(ours) == timeless(theirs)
    line = ("verify", both, "--model", model, "--model", other)
    assert qdeploy.verify(both, model=model, second_model=other) == printed(capsys, *line)


def test_a_refusal_is_an_answer_of_verify(folder, built):
    said = qdeploy.verify(built[0], model=folder / "other.onnx")
    assert said["verdict"] == "refused"
    assert said["reason"].startswith("model: ")


@pytest.mark.parametrize(
    "tolerance", [0.5, "0.5", Fraction(1, 2), Decimal("0.5"), np.float32(0.5), "1/2", 1]
)
def test_a_tolerance_may_be_any_number(folder, tolerance):
    said = qdeploy.certify(
        folder / "model.onnx", tolerance=tolerance, output=folder / "t.json", **QUICK
    )
    assert said["answer"] == "yes"


def test_paths_and_numbers_of_numpy_are_taken(folder, tmp_path):
    (tmp_path / "box.json").write_text('{"lo": -1, "hi": 1}')
    said = qdeploy.certify(
        folder / "model.onnx",
        inputs=tmp_path / "box.json",
        bits=np.int64(12),
        work=np.float64(0),
        output=tmp_path / "c.json",
    )
    assert said["formats"][0]["bits"] == 12


# --- errors ----------------------------------------------------------------------------------

WRONG = {
    "a near name": ("certify", {"input": "-1:1"}, "no argument 'input'", "did you mean inputs?"),
    "another name": ("certify", {"zzz": 1}, "certify() has no argument 'zzz'", "it takes act"),
    "build's alone": ("certify", {"board": "host"}, "no argument 'board'", "it takes"),
    "text for a number": ("build", {"bits": "8"}, "bits must be a whole number, not", "bits=8 w"),
    "a part of one": ("build", {"bits": 8.5}, "bits must be a whole number, not float 8.5", ""),
    "a truth for one": ("build", {"bits": True}, "bits must be a whole number, not bool", ""),
    "nothing for one": ("build", {"bits": None}, "not None", "leave bits out"),
    "a number for a format": ("build", {"weights": 4.4}, "must be text", 'weights="4.4"'),
    "a path for a format": ("build", {"weights": Path("4.4")}, "must be text", 'weights="4.4"'),
    "a number for a region": ("build", {"inputs": 1}, "inputs must be a path or text", ""),
    "a list for a region": ("build", {"inputs": [-1, 1]}, "inputs must be a path or text", ""),
    "bytes": ("build", {"inputs": b"-1:1"}, "inputs must be a path or text, not bytes", ""),
    "text for a flag": ("build", {"no_run": "yes"}, "no_run must be True or False", ""),
    "a number for a flag": ("build", {"force": 1}, "force must be True or False", ""),
    "text for work": ("certify", {"work": "5"}, "work must be a number", "work=5 without"),
    "a complex tolerance": ("certify", {"tolerance": 1j}, "tolerance must be text or a n", ""),
    "a value in words": ("build", {"rounding": "up"}, "--rounding 'up' is unknown", "nearest"),
    "a value out of range": ("build", {"bits": 99, "inputs": "-1:1"}, "--bits 99 is no", "1 to 32"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named_with_the_right_one(folder, name):
    function, given, what, fix = WRONG[name]
    with pytest.raises(UsageError) as caught:
        getattr(qdeploy, function)(folder / "model.onnx", **{"inputs": "-1:1", **given})
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize("name", [n for n in NAMES if n != "compare"])
@pytest.mark.parametrize("value", [None, 3, b"m.onnx", ["m.onnx"]])
def test_what_is_no_path_is_refused_where_one_is_needed(name, value):
    with pytest.raises(UsageError, match="must be a path or text, not"):
        getattr(qdeploy, name)(value)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: qdeploy.compare("a", "b", None), "inputs must be a path or text, not None"),
        (lambda: qdeploy.compare("a", None, inputs="-1:1"), "second must be a path or text"),
        (lambda: qdeploy.compare("a", "b", inputs="-1:1", relations="equal"), "'relations'"),
        (lambda: qdeploy.validate("out", vectors=1.5), "vectors must be a path or text or a whole"),
        (lambda: qdeploy.verify("c.json", models="m"), "verify() has no argument 'models'"),
        (lambda: qdeploy.verify("c.json"), "no --model is given"),
        (lambda: qdeploy.load("out", check="no"), "check must be True or False"),
    ],
)
def test_other_functions_are_as_careful(call, what):
    with pytest.raises(UsageError) as caught:
        call()
    assert what in caught.value.what


# --- load ------------------------------------------------------------------------------------


def test_a_loaded_build_runs_what_the_device_runs(built):
    output, data = built
    loaded = qdeploy.load(output)
    vectors = np.load(output / "vectors.npz")
    assert loaded.bound == data["certificate"]["linf"]
    assert loaded.formats == data["formats"]
    assert np.array_equal(loaded.encode(vectors["x"]), vectors["codes"])
    assert np.array_equal(loaded.run_codes(vectors["codes"]), vectors["expected"])
    step = 2.0**-loaded.program.output.format.fb
    assert np.array_equal(loaded.run(vectors["x"]), vectors["expected"] * step)


def test_one_input_is_a_vector_and_rows_are_rows(built):
    loaded = qdeploy.load(built[0], check=False)
    rows = np.array([[0.1, -0.2], [0.3, 0.4]])
    assert loaded.run(rows).shape == (2, 1)
    assert loaded.run(rows[1]).shape == (1,)
    assert loaded.run(rows[1])[0] == loaded.run(rows)[1, 0]
    assert loaded.run([0.3, 0.4])[0] == loaded.run(rows)[1, 0]
    assert loaded.run(np.zeros((0, 2))).shape == (0, 1)
    assert loaded.run(np.float32(rows)).shape == loaded.run(rows.astype(int)).shape == (2, 1)
    codes = loaded.encode(rows)
    assert np.array_equal(loaded.run_codes(codes), execute(loaded.program, codes))


def test_inputs_saturate_as_on_the_device(built):
    loaded = qdeploy.load(built[0], check=False)
    end = float(loaded.program.input.format.max)
    assert loaded.run([1e300, -1e300])[0] == loaded.run([end, -end - 1])[0]


def test_regions_say_where_the_bound_holds(built):
    (region,) = qdeploy.load(built[0]).regions
    assert (region.lo.tolist(), region.hi.tolist()) == ([-1.0, -1.0], [1.0, 1.0])
    assert region.per_output == (region.bound,)
    assert region.holds([1.0, -1.0])
    assert not region.holds([1.0, -1.0000001])


def test_without_a_check_nothing_is_known_to_be_proven(built):
    loaded = qdeploy.load(built[0], check=False)
    assert (loaded.bound, loaded.regions[0].bound, loaded.regions[0].per_output) == (None,) * 3


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ([1.0], "x has the shape [1]"),
        ([[[1.0, 2.0]]], "x has the shape [1, 1, 2]"),
        (1.0, "x has the shape []"),
        ("text", "x is no array of numbers"),
        ([1.0, None], "x is no array of numbers"),
        ([1j, 1.0], "x is no array of numbers"),
        ([[1.0, 2.0], [1.0]], "x is no array"),
        ([1.0, float("nan")], "no finite number"),
        ([1.0, float("inf")], "no finite number"),
    ],
)
def test_what_is_no_input_is_said(built, given, what):
    with pytest.raises(UsageError) as caught:
        qdeploy.load(built[0], check=False).run(given)
    assert what in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("given", [[0.5, 0.5], [1 << 20, 0], [-(1 << 15) - 1, 0], [0]])
def test_what_is_no_code_is_said(built, given):
    with pytest.raises(UsageError):
        qdeploy.load(built[0], check=False).run_codes(given)


@pytest.mark.parametrize("check", [True, False])
def test_a_changed_file_is_refused(built, tmp_path, check):
    out = shutil.copytree(built[0], tmp_path / "out")
    (out / "vectors.npz").write_bytes(b"PK")
    with pytest.raises(qdeploy.RefusedError, match=r"vectors\.npz is not the file"):
        qdeploy.load(out, check=check)


def test_a_certificate_that_does_not_hold_is_refused_by_the_check_alone(built, tmp_path):
    out = shutil.copytree(built[0], tmp_path / "out")
    statement = proof.read((out / "certificate.json").read_bytes())
    (claim,) = statement.certificate.regions
    lie = claim.linf / 2
    claims = (replace(claim, linf=lie, per_output=(lie,)),)
    forged = replace(statement, certificate=replace(statement.certificate, regions=claims))
    (out / "certificate.json").write_bytes(proof.write(forged))
    with pytest.raises(qdeploy.RefusedError):
        qdeploy.load(out)
    assert qdeploy.load(out, check=False).bound is None
