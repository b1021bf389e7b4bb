"""`--prune` and `--deploy`: another network on the device, the bound against the model."""

import json
from pathlib import Path

import pytest
from qdeploy import pipeline, proof
from qdeploy.certifier import Interrupted
from qdeploy.cli import main
from qdeploy.diagnostics import StoppedError
from qdeploy.pipeline import Options, Stopwatch, claims, run_certify
from support.controller import write_dense_chain

SHORT = ["--inputs", "-1:1", "--bits", "8", "--work", "0.1", "--jobs", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of several widths: `chain_2_8_6_1.onnx` and so on."""
    folder = tmp_path_factory.mktemp("models")
    for widths in ((2, 8, 6, 1), (2, 5, 4, 1), (2, 5, 1), (2, 1), (3, 5, 1), (2, 8, 6, 2)):
        write_dense_chain(folder / f"chain_{'_'.join(map(str, widths))}.onnx", widths)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return folder / "chain_2_8_6_1.onnx"


@pytest.fixture(scope="module")
def stored(model):
    """A certificate of a pruned program, as text."""
    path = model.parent / "stored.json"
    assert main(["certify", str(model), "--prune", "neurons:5", *SHORT, "-o", str(path)]) == 0
    return path.read_text()


def certify(capsys, *line):
    assert main(["certify", *map(str, line), *SHORT, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def verified(capsys, certificate, *line):
    code = main(["verify", str(certificate), *map(str, line), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "case",
    [
        ("--prune", "neurons:5", {"neurons": 9}),
        ("--prune", "neurons:50%", {"neurons": 7}),
        ("--prune", "weights:35", {"neurons": 14, "zeros": 35}),
        ("--prune", "weights:12.5%", {"neurons": 14, "zeros": 8}),
        ("--deploy", "chain_2_5_4_1.onnx", {"neurons": 9, "macs": 34}),
        ("--deploy", "chain_2_5_1.onnx", {"neurons": 5, "parameters": 21}),
    ],
)
def test_a_smaller_network_is_certified_and_checks(capsys, folder, model, tmp_path, case):
    option, value, after = case
    value = folder / value if option == "--deploy" else value
    path = tmp_path / "certificate.json"
    data = certify(capsys, model, option, value, "-o", path)
    assert data["certificate"]["status"] == "proven"
    assert data["model"]["parameters"] == 85
    pruning = data["pruning"]
    assert (pruning["request"] is None) == (option == "--deploy") == bool(pruning["deployed"])
    assert pruning["before"] == {"neurons": 14, "parameters": 85, "zeros": 0, "macs": 70}
    assert {key: pruning["after"][key] for key in after} == after
    code, answer = verified(capsys, path, "--model", model)
    assert (code, answer["verdict"]) == (0, "proven")
    assert answer["linf"] == data["certificate"]["linf"]


def test_the_program_is_the_small_one_and_another_model_is_refused(capsys, folder, model, tmp_path):
    path, small = tmp_path / "c.json", folder / "chain_2_5_4_1.onnx"
    certify(capsys, model, "--deploy", small, "-o", path)
    predicate = json.loads(path.read_text())["predicate"]
    assert [t["shape"] for t in predicate["program"]["tensors"]] == [[2], [5], [4], [1]]
    assert [len(rows) for rows in predicate["places"]] == [5, 4]
    code, answer = verified(capsys, path, "--model", small)
    assert code == 1
    assert "another model file" in answer["reason"]


def test_without_them_nothing_is_said_of_pruning(capsys, model, tmp_path):
    data = certify(capsys, model, "-o", tmp_path / "c.json")
    assert data["pruning"] is None
    assert "places" not in json.loads((tmp_path / "c.json").read_text())["predicate"]


@pytest.mark.parametrize("field", ["places", "seal"])
def test_places_that_somebody_changed_are_named(capsys, model, stored, tmp_path, field):
    capsys.readouterr()
    path, data = tmp_path / "c.json", json.loads(stored)
    rows = data["predicate"]["places"][1]
    free = next(r for r in range(6) if r not in rows)
    rows[0] = free
    path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":")))
    if field == "seal":  # somebody who knows how
        path.write_bytes(proof.write(proof.statement._decode(data)))
    code, answer = verified(capsys, path, "--model", model)
    assert code == 1
    wanted = "places: this part was changed" if field == "places" else "recomputed"
    assert wanted in answer["reason"]


@pytest.mark.parametrize("places", ["x", [0], [["0"]], [[0.5]], {"0": [1]}, [[True]]])
def test_malformed_places_are_refused(capsys, model, stored, tmp_path, places):
    capsys.readouterr()
    path, data = tmp_path / "c.json", json.loads(stored)
    data["predicate"]["places"] = places
    data["predicate"]["seal"]["places"] = proof.statement._digest(places)
    path.write_text(json.dumps(data, sort_keys=True, separators=(",", ":")))
    code, answer = verified(capsys, path, "--model", model)
    assert code == 1
    assert answer["verdict"] == "refused"


WRONG = [
    (["--prune", "1"], 2, "--prune '1' does not say what is to go", "neurons:N or neurons:P%"),
    (["--prune", "neurons"], 2, "does not say what is to go", "weights:N"),
    (["--prune", "neurons:0"], 2, "does not say what is to go", "N more than 0"),
    (["--prune", "neurons:-3"], 2, "does not say what is to go", "N more than 0"),
    (["--prune", "layers:3"], 2, "does not say what is to go", "neurons:N"),
    (["--prune", "neurons:2.5"], 2, "a part of one", "neurons:8"),
    (["--prune", "weights:101%"], 2, "asks for more than all", "weights:50%"),
    (["--prune", "neurons:13"], 2, "asks for 13 hidden neurons less", "at most 12 can go"),
    (["--prune", "weights:71"], 2, "asks for 71 weights less", "at most 70 can go"),
    (["--prune", "neurons:1", "--deploy", "chain_2_5_1.onnx"], 2, "names another one", "one of"),
    (["--deploy", "none.onnx"], 3, "there is no such file", "ONNX"),
    (["--deploy", "chain_2_1.onnx"], 3, "the other has none", "qdeploy compare takes more"),
    (["--deploy", "chain_3_5_1.onnx"], 3, "differ in the number of inputs", "as many inputs"),
    (["--deploy", "chain_2_8_6_2.onnx"], 3, "differ in the number of outputs", "as many inputs"),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: " ".join(case[0]))
def test_what_cannot_be_is_said_and_nothing_is_written(capsys, monkeypatch, model, tmp_path, case):
    options, code, what, fix = case
    monkeypatch.chdir(model.parent)
    path = tmp_path / "c.json"
    assert main(["certify", str(model), *options, *SHORT, "-o", str(path)]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert what in said.err
    assert fix in said.err
    assert not path.exists()


def test_a_model_with_other_activations_is_refused(capsys, model, tmp_path):
    plain, smooth = tmp_path / "plain.onnx", tmp_path / "smooth.onnx"
    write_dense_chain(plain, (2, 8, 6, 1))
    _with_tanh(plain, smooth)
    path = tmp_path / "c.json"
    line = ["certify", str(model), "--deploy", str(smooth), *SHORT, "-o", str(path)]
    assert main(line) == 3
    assert "smooth.onnx cannot run in the place of" in capsys.readouterr().err
    assert not path.exists()


def _with_tanh(source: Path, target: Path) -> None:
    import onnx  # noqa: PLC0415

    loaded = onnx.load(source)
    for node in loaded.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Tanh"
    onnx.save(loaded, target)


def test_a_configuration_file_may_hold_them(capsys, folder, model, tmp_path):
    config = folder / "qdeploy.toml"
    config.write_text('deploy = "chain_2_5_1.onnx"\ninputs = "-1:1"\nwork = 0.1\n')
    line = ["certify", str(model), "--config", str(config), "-o", str(tmp_path / "c.json")]
    assert main([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pruning"]["deployed"]["name"] == "chain_2_5_1.onnx"


def test_python_takes_the_same_words(folder, model, tmp_path):
    given = {"inputs": "-1:1", "bits": 8, "work": 0.1, "jobs": 1, "output": tmp_path / "c.json"}
    pruned = pipeline.certify(model, prune="neurons:5", **given)
    assert pruned["pruning"]["after"]["neurons"] == 9
    other = pipeline.certify(str(model), deploy=str(folder / "chain_2_5_1.onnx"), **given)
    assert other["pruning"]["after"]["neurons"] == 5


def test_an_interrupted_search_leaves_the_program_that_runs(monkeypatch, model, tmp_path):
    true = claims.search

    def stopped(*arguments):
        raise Interrupted(true(*arguments))

    monkeypatch.setattr(claims, "search", stopped)
    path = tmp_path / "c.json"
    options = Options(
        model=model, inputs="-1:1", bits=8, work=0.1, jobs=1, prune="neurons:5", output=path
    )
    with pytest.raises(StoppedError):
        run_certify(options, Stopwatch())
    assert main(["verify", str(path), "--model", str(model)]) == 0
    certificate = proof.read(path.read_bytes()).certificate
    assert sum(t.tensor.size for t in certificate.program.tensors) == 2 + 9 + 1
    assert certificate.places is not None
