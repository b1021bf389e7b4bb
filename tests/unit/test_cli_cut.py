"""What was cut off a model's end is said wherever something is stated, and nowhere else."""

import json
import re

import numpy as np
import pytest
from qdeploy.cli import main
from support.onnx_models import Graph, node

SAID = "Softmax 'p', ArgMax 'label': the outputs are the values of 'y' before that"
CUT = ["Softmax 'p'", "ArgMax 'label'"]
WEIGHTS = {"w": np.array([[1, -1, 0.5], [0.25, 2, 1]], "f4"), "axes": np.array([0])}


def classifier(folder, *, whole):
    nodes = [node("MatMul", "x w", "y")]
    ends = [node("Softmax", "y", "p"), node("ArgMax", "p", "label", axis=1)]
    outputs = ("y",) if whole else ("p", "label")
    graph = Graph([*nodes, *([] if whole else ends)], ("N", 2), outputs, WEIGHTS)
    return graph.save(folder, "whole.onnx" if whole else "cut.onnx")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {whole: classifier(folder, whole=whole) for whole in (True, False)}


def say(capsys, *line):
    """Run a command twice; return its text and its JSON."""
    found = []
    for options in ((), ("--json",)):
        assert main([*map(str, line), *options]) == 0
        found.append(capsys.readouterr().out)
    return found[0], json.loads(found[1])


def speaks_of_cuts(text):
    return re.search(r"\bcut\b", text) is not None


@pytest.fixture(params=[True, False], ids=["whole", "cut"])
def answers(request, models, tmp_path, capsys):
    """(nothing is cut, {command: (text, where its JSON says so)}, pages and certificate)."""
    model, out, claim = models[request.param], tmp_path / "out", tmp_path / "similarity.json"
    build = ["build", model, "--inputs", "-1:1", "--board", "host", "--no-run", "--work", "0.1"]
    said = {"build": say(capsys, *build, "-o", out)}
    certify = ["certify", model, "--inputs", "-1:1", "--work", "0.1"]
    said["certify"] = say(capsys, *certify, "-o", tmp_path / "certificate.json")
    said["inspect"] = say(capsys, "inspect", model)
    said["verify"] = say(capsys, "verify", out / "certificate.json", "--model", model)
    said["compare"] = say(capsys, "compare", model, model, "--inputs", "-1:1", "-o", claim)
    both = ["--model", model, "--model", model]
    said["verify similarity"] = say(capsys, "verify", claim, *both)
    files = [out / "report.html", out / "certificate.html", out / "certificate.json", claim]
    return request.param, said, {path.name: path.read_text() for path in files}


def test_every_answer_and_page_says_what_was_cut_and_nothing_else(answers):
    whole, said, files = answers
    expected = [] if whole else CUT
    for text, _ in said.values():
        assert speaks_of_cuts(text) is not whole
        assert (SAID in text) is not whole
    data = {name: answer for name, (_, answer) in said.items()}
    for name in ("build", "certify", "inspect"):
        assert data[name]["model"]["cut"] == expected
        assert data[name]["model"]["notes"] == []
    assert data["verify"]["cut"] == expected
    assert [m["cut"] for m in data["compare"]["models"]] == [expected] * 2
    assert data["verify similarity"]["cut"] == [expected] * 2
    for text in files.values():
        assert speaks_of_cuts(text) is not whole
    stated = json.loads(files["certificate.json"])["predicate"]
    assert stated.get("cut") == (expected or None)


def test_the_end_of_a_deployed_model_is_said_beside(models, tmp_path, capsys):
    line = ["certify", models[True], "--deploy", models[False], "--inputs", "-1:1"]
    text, data = say(capsys, *line, "--work", "0.1", "-o", tmp_path / "certificate.json")
    assert SAID in text
    assert data["model"]["cut"] == []
    assert data["pruning"]["deployed"]["cut"] == CUT


def test_a_certificate_for_other_outputs_is_refused(models, tmp_path, capsys):
    """The same network, the same numbers, but the model's own outputs are others."""
    path = tmp_path / "certificate.json"
    line = ["certify", models[False], "--inputs", "-1:1", "--work", "0.1", "-o", path]
    assert main([*map(str, line)]) == 0
    predicate = json.loads(path.read_text())["predicate"]
    assert any("Softmax 'p', ArgMax 'label'" in line for line in predicate["assumptions"])
    capsys.readouterr()
    assert main(["verify", str(path), "--model", str(models[True]), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "refused"
