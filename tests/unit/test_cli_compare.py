"""`compare` proves how far apart two models are, writes a proof `verify` takes, or says why not."""

import json
from pathlib import Path

import pytest
from qdeploy import pipeline
from qdeploy.cli import main
from support.controller import write_controller
from support.onnx_models import Graph, node


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    second = write_controller(folder / "second.onnx", scale=1.01)
    return write_controller(folder / "first.onnx"), second


def compare(capsys, *arguments, code=0):
    """Run the command with --json; return what it printed."""
    assert main(["compare", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def written(models, tmp_path, capsys):
    """A claim about both models: (its path, what compare said)."""
    path = tmp_path / "similarity.json"
    weights = ["--relation", "independent", "--weights-of-bound", "0,0,1,1"]
    return path, compare(capsys, *models, "--inputs", "-1:1", *weights, "-o", path)


def test_the_answer_has_the_bound_beside_what_was_found(written):
    _, said = written
    assert said["attack"]["linf"] <= said["linf"] == max(said["per_output"])
    assert said["linf"] <= 1.05 * said["attack"]["linf"]
    assert said["gammas"]["x1"] == said["gammas"]["x2"] == 0
    assert said["methods"] == ["linear", "sdp"]
    assert said["note"] is None
    # x1 = x2 leaves the constant alone, and there the models are nearly equal.
    assert said["gammas"]["constant"] < said["linf"] ** 2


def test_verify_takes_what_compare_wrote(models, written, capsys):
    path, said = written
    first, second = map(str, models)
    assert main(["verify", str(path), "--model", first, "--model", second, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["verdict"] == "proven"
    assert (again["linf"], again["gammas"]) == (said["linf"], said["gammas"])


def test_verify_refuses_the_models_in_the_other_order(models, written, capsys):
    path, _ = written
    first, second = map(str, models)
    assert main(["verify", str(path), "--model", second, "--model", first, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["reason"].startswith("first model: ")


def test_verify_wants_both_models(models, written, capsys):
    path, _ = written
    assert main(["verify", str(path), "--model", str(models[0]), "--json"]) == 2
    assert "twice" in json.loads(capsys.readouterr().out)["error"]["fix"]


def test_a_changed_part_is_named(models, written, capsys):
    path, _ = written
    data = json.loads(path.read_text())
    data["predicate"]["theorem"]["constant"] = "0.000001"
    path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n")
    arguments = [part for model in models for part in ("--model", str(model))]
    assert main(["verify", str(path), *arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "theorem: this part was changed"


HOSTILE = [
    lambda p: p | {"more": 1},
    lambda p: {k: v for k, v in p.items() if k != "attack"},
    lambda p: p | {"schema": 2},
    lambda p: p | {"places": [[1 << 300]]},
    lambda p: p | {"places": "none"},
    lambda p: p | {"relation": {"kind": "quantised", "delta": "1e999999999"}},
    lambda p: p | {"relation": {"kind": "quantised", "delta": "-1"}},
    lambda p: p | {"relation": {"kind": "equal", "delta": "1"}},
    lambda p: p | {"regions": [{"lo": ["inf"], "hi": ["inf"]}] * 2},
    lambda p: p | {"regions": p["regions"][:1]},
    lambda p: p | {"constraints": "mine"},
    lambda p: p | {"per_output": ["-1"]},
    lambda p: p | {"sides": [{"output": 0, "sign": True, "dual": None}]},
    lambda p: p | {"assumptions": []},
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_file_is_refused_under_a_seal_that_fits(models, written, capsys, number):
    from qdeploy.proof import similarity_file  # noqa: PLC0415

    path, _ = written
    data = json.loads(path.read_text())
    changed = HOSTILE[number](data["predicate"])
    data["predicate"] = changed | {"seal": similarity_file._seal(changed)}
    path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n")
    arguments = [part for model in models for part in ("--model", str(model))]
    assert main(["verify", str(path), *arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "refused"


def test_equal_inputs_are_the_default(models, tmp_path, capsys):
    said = compare(capsys, *models, "--inputs", "-1:1", "-o", tmp_path / "s.json")
    assert said["relation"] == "equal"
    assert said["weights"] == [0.0, 0.0, 0.0, 1.0]


def test_quantised_inputs_are_a_step_apart(models, tmp_path, capsys):
    rest = ["--relation", "quantised", "--input-format", "2.3", "-o", tmp_path / "s.json"]
    said = compare(capsys, *models, "--inputs", "-1:1", *rest)
    assert said["delta"] == 0.125
    assert said["inputs"][1] == {"lo": [-1.125] * 2, "hi": [1.125] * 2}


def test_the_python_function_answers_alike(models, tmp_path, capsys):
    path = tmp_path / "s.json"
    said = compare(capsys, *models, "--inputs", "-1:1", "-o", path)
    again = pipeline.compare(*models, "-1:1", output=path)
    assert {**again, "seconds": 0} == {**said, "seconds": 0}


def test_a_cone_that_does_not_fit_is_not_begun(models, tmp_path, capsys):
    rest = ["--time-limit", "0.000001", "-o", tmp_path / "s.json"]
    said = compare(capsys, *models, "--inputs", "-1:1", *rest)
    assert "not tried; give a longer --time-limit" in said["note"]
    assert said["methods"] == ["linear"]
    assert said["gammas"]["constant"] >= said["linf"] ** 2 * (1 - 1e-9)


def test_a_person_reads_the_theorem(models, tmp_path, capsys):
    line = ["compare", *map(str, models), "--inputs", "-1:1", "--relation", "independent"]
    assert main([*line, "-o", str(tmp_path / "s.json")]) == 0
    told = capsys.readouterr().out
    assert "|f1(x1) - f2(x2)|^2 <= " in told
    assert "any x1 in -1 .. 1 for all 2 inputs" in told
    assert "is the largest difference found, so the bound is at most" in told


USAGE = [
    (["--weights-of-bound", "1,2"], "four weights"),
    (["--weights-of-bound", "0,0,1,0"], "w > 0"),
    (["--weights-of-bound", "0,0,nan,1"], "four weights"),
    (["--weights-of-bound", "0,0,-1,1"], "four weights"),
    (["--inputs-b", "-1:1"], "equal inputs lie in one region"),
    (["--relation", "quantised"], "is needed there"),
    (["--input-format", "2.3"], "is needed there"),
    (["--relation", "quantised", "--input-format", "-3.8"], "saturates inside --inputs"),
    (["--time-limit", "0"], "no positive number"),
]


@pytest.mark.parametrize(("arguments", "told"), USAGE)
def test_what_makes_no_sense_is_a_usage_error(models, tmp_path, capsys, arguments, told):
    path = tmp_path / "s.json"
    said = compare(capsys, *models, "--inputs", "-1:1", *arguments, "-o", path, code=2)
    assert told in said["error"]["what"]
    assert not path.exists()


def test_models_with_different_inputs_are_refused(models, tmp_path, capsys):
    other = Graph([node("Relu", "x", "y")], shape=(1, 2)).save(tmp_path)
    said = compare(capsys, models[0], other, "--inputs", "-1:1", code=3)
    assert said["error"]["what"] == "comparison: the networks differ in the number of outputs"
    assert said["error"]["fix"]
    assert not Path("similarity.json").exists()


@pytest.mark.parametrize("command", ["certify", "build"])
def test_an_unknown_method_is_a_usage_error(models, capsys, command):
    line = [command, str(models[0]), "--inputs", "-1:1", "--method", "sdp,magic", "--json"]
    assert main(line) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["what"] == "--method 'magic' is unknown"
    assert "sdp-paper" in error["fix"]


def test_methods_are_the_named_ones_and_the_cheap_ones(models, tmp_path, capsys):
    rest = ["--bits", "8", "--method", "sdp-paper", "-o", str(tmp_path / "c.json"), "--json"]
    assert main(["certify", str(models[0]), "--inputs", "-1:1", *rest]) == 0
    methods = json.loads(capsys.readouterr().out)["certificate"]["methods"]
    assert methods == ["recursion", "interval", "linear", "sdp-paper"]
