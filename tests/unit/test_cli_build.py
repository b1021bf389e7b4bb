"""`build` and `certify`: one folder or file, whole, with everything that was promised in it."""

import json

import pytest
import qdeploy
from qdeploy.cli import main
from qdeploy.pipeline import certify
from support.controller import answer, run, write_controller

FILES = {
    "build.json",
    "certificate.json",
    "certificate.html",
    "report.html",
    "vectors.npz",
    "library/model.c",
    "library/model.h",
    "library/CMakeLists.txt",
    "firmware/firmware.elf",
    "model/controller.onnx",
}


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_controller(tmp_path_factory.mktemp("model") / "controller.onnx")


@pytest.fixture(scope="module")
def built(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    process = run("build", model, "--inputs", "-1:1", "--board", "host", "--json", cwd=folder)
    assert process.returncode == 0, process.stderr
    return folder / "build-host", answer(process)


def test_the_folder_has_every_artifact(built):
    folder, _ = built
    assert set(tree(folder)) >= FILES


def test_build_json_is_what_json_prints(built):
    folder, printed = built
    assert json.loads((folder / "build.json").read_text()) == printed


def test_build_json_has_what_the_schema_promises(built):
    _, data = built
    assert data["qdeploy"] == qdeploy.__version__
    model = {k: data["model"][k] for k in ("name", "inputs", "outputs", "macs", "parameters")}
    assert model == {"name": "controller", "inputs": 2, "outputs": 1, "macs": 12, "parameters": 17}
    assert {f["bits"] for f in data["formats"] if "." not in f["tensor"]} == {16}
    assert all(f["ib"] + f["fb"] == f["bits"] for f in data["formats"])
    claim = data["certificate"]
    assert claim["status"] == "proven"
    assert 0 < claim["attack"]["linf"] <= claim["linf"] == max(claim["per_output"]) <= claim["l2"]
    assert claim["regions"][0]["lo"] == [-1.0, -1.0]
    assert claim["regions"][0]["hi"] == [1.0, 1.0]
    assert claim["regions"][0]["linf"] == claim["linf"]
    assert len(claim["attack"]["x"]) == 2
    assert 0 < claim["attack"]["relaxed"] == claim["regions"][0]["attack"]["relaxed"]
    assert data["firmware"]["board"] == "host"
    run_of = data["validation"]
    assert (run_of["bit_exact"], run_of["within_bound"], run_of["vectors"]) == (True, True, 256)
    assert 0 < run_of["max_deviation"] <= claim["linf"]
    assert data["answer"] == "yes"


def test_equal_inputs_give_equal_bytes_and_seconds_stand_in_build_json_alone(
    built, model, tmp_path
):
    folder, _ = built
    code = main(
        [
            "build",
            str(model),
            "--inputs",
            "-1:1",
            "--board",
            "host",
            "--work",
            "0.2",
            "-o",
            str(tmp_path / "x"),
        ]
    )
    assert code == 0
    first, second = tree(folder), tree(tmp_path / "x")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] in ([], ["build.json"])
    plain = [json.loads(t["build.json"]) for t in (first, second)]
    for data in plain:
        del data["seconds"], data["certificate"]["seconds"]
    assert plain[0] == plain[1]


def test_no_artifact_knows_where_it_was_made(built, model):
    folder, _ = built
    for name, content in tree(folder).items():
        assert str(folder.parent).encode() not in content, name
        assert str(model.parent).encode() not in content, name


def test_a_person_reads_bound_attack_cost_and_where_to_look(capsys, model, tmp_path):
    out = tmp_path / "out"
    assert main(["build", str(model), "--inputs", "-1:1", "--board", "host", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    for fact in (
        "|device - network| <= ",
        "largest deviation found",
        "every output equal",
        str(out),
    ):
        assert fact in said


def test_without_a_run_there_is_no_validation(capsys, model, tmp_path):
    line = ["build", str(model), "--inputs", "-1:1", "--board", "host", "--no-run", "--json"]
    assert main([*line, "-o", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["validation"] is None


@pytest.mark.parametrize(("tolerance", "code"), [("1", 0), ("0", 1), ("{between}", 5)])
def test_a_tolerance_is_answered(capsys, built, model, tolerance, code):
    claim = built[1]["certificate"]
    between = (claim["linf"] + claim["attack"]["linf"]) / 2
    target = str(model.with_name("c.json"))
    line = ["certify", str(model), "--inputs", "-1:1", "--json", "-o", target]
    assert main([*line, "--tolerance", tolerance.format(between=between)]) == code
    said = {0: "yes", 1: "no", 5: "inconclusive"}[code]
    assert json.loads(capsys.readouterr().out)["answer"] == said


def test_certify_writes_the_certificate_and_prints_no_firmware(capsys, model, tmp_path):
    path = tmp_path / "deep" / "c.json"
    assert main(["certify", str(model), "--inputs", "-1:1", "--json", "-o", str(path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert not {"firmware", "validation"} & data.keys()
    assert json.loads(path.read_text())["_type"] == "https://in-toto.io/Statement/v1"


def test_a_folder_in_the_certificates_place_is_refused_before_any_work(capsys, tmp_path):
    line = ["certify", str(tmp_path / "none.onnx"), "--inputs", "-1:1", "-o", str(tmp_path)]
    assert main(line) == 2
    assert f"{tmp_path} is a folder" in capsys.readouterr().err


def test_a_misspelt_choice_of_activations_is_told_the_choices(capsys, model):
    assert main(["certify", str(model), "--inputs", "-1:1", "--activations", "exakt"]) == 2
    assert "give one of auto, exact, or a format IB.FB" in capsys.readouterr().err


def test_the_host_is_said_to_be_called_directly(built):
    assert built[1]["validation"]["link"] == "direct calls"


def test_without_inputs_the_whole_range_is_meant_and_said(capsys, model, tmp_path):
    line = ["certify", str(model), "--input-format", "2.6", "-o", str(tmp_path / "c.json")]
    assert main([*line, "--json"]) == 0
    region = json.loads(capsys.readouterr().out)["certificate"]["regions"][0]
    assert (region["lo"], region["hi"]) == ([-2.0, -2.0], [1.984375, 1.984375])
    assert region["name"] == "whole range of 2.6, no inputs being given"
    assert main(line) == 0
    assert "whole range of 2.6, no inputs being given" in capsys.readouterr().out


def test_the_api_has_the_same_names(built, model, tmp_path):
    data = qdeploy.build(model, inputs="-1:1", board="host", work=0.2, output=str(tmp_path / "out"))
    assert data["certificate"]["linf"] == built[1]["certificate"]["linf"]
    weaker = certify(
        model, inputs="-1:1", bits=8, work=0.2, tolerance=1.0, output=tmp_path / "c.json"
    )
    assert weaker["certificate"]["linf"] > data["certificate"]["linf"]


CONFIG = """
inputs = "box.json"
board = "host"
bits = 12
weights = 3.10
no-run = true
output = "out"
"""


@pytest.fixture
def config(model, tmp_path, monkeypatch):
    """A folder with a configuration file and the box it names; the tests run elsewhere."""
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "project" / "box.json").write_text('{"lo": [-1, -2], "hi": [1, 2]}')
    path = tmp_path / "project" / "qdeploy.toml"
    path.write_text(CONFIG)
    return path


def test_a_configuration_file_gives_options_and_the_command_line_wins(capsys, config, model):
    line = ["build", str(model), "--config", str(config), "--bits", "10", "-o", "out", "--json"]
    assert main(line) == 0
    data = json.loads(capsys.readouterr().out)
    formats = {f["tensor"]: (f["ib"], f["fb"]) for f in data["formats"]}
    assert formats["dense_1.weight"] == (3, 10)  # 3.10 is not 3.1
    assert sum(formats["input"]) == 10
    assert data["certificate"]["regions"][0]["lo"] == [-1.0, -2.0]
    assert data["validation"] is None


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        ("imputs = '-1:1'", 2, "'imputs' is no option of qdeploy build"),
        ("calibration = 0.5", 2, "'calibration' is no option of qdeploy build"),
        ("model = 'x.onnx'", 2, "'model' is no option of qdeploy build"),
        ("no-run = 'yes'", 2, "no-run must be true or false, not 'yes'"),
        ("bits = true", 2, "bits must be text or a number, not True"),
        ("inputs = [1, 2]", 2, "inputs must be text or a number, not [1, 2]"),
        ("bits = 'many'", 2, "'many' is not a valid integer"),
        ("inputs = ", 3, "the configuration file is no TOML"),
    ],
)
def test_a_wrong_configuration_file_is_said(capsys, config, model, text, code, what):
    config.write_text(text)
    assert main(["build", str(model), "--config", str(config)]) == code
    assert what in capsys.readouterr().err


def test_a_missing_configuration_file_is_bad_input(capsys, model, tmp_path):
    assert main(["build", str(model), "--config", str(tmp_path / "none.toml")]) == 3
    assert "the configuration file cannot be read" in capsys.readouterr().err


def test_a_folder_of_the_users_is_refused_before_any_work(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    line = ["build", str(tmp_path / "none.onnx"), "--inputs", "-1:1", "-o", str(tmp_path)]
    assert main(line) == 2
    assert "holds no qdeploy build" in capsys.readouterr().err


def test_a_failing_build_leaves_the_previous_one_whole(capsys, built, model, tmp_path):
    folder, _ = built
    before = tree(folder)
    line = ["build", str(model), "--inputs", "-1:1", "--board", "host", "-o", str(folder)]
    assert main([*line, "--weights", "1.1"]) == 3
    assert "does not fit" in capsys.readouterr().err
    assert tree(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ["build-host"]
