"""`validate` runs what a build folder holds, and believes nothing its digests do not cover."""

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from qdeploy.cli import main
from qdeploy.pipeline.junit import junit_bytes
from support.controller import write_controller
from support.materials import verdict


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    model = write_controller(folder / "controller.onnx")
    line = ["build", str(model), "--inputs", "-1:1", "--board", "host", "--no-run", "--work", "0.2"]
    assert main([*line, "-o", str(folder / "out")]) == 0
    model.unlink()
    return folder / "out"


@pytest.fixture
def built(original, tmp_path):
    """A copy to damage; the model it was made from is gone."""
    return shutil.copytree(original, tmp_path / "out")


def test_a_build_is_run_again_from_its_folder_alone(built, capsys):
    assert main(["validate", str(built), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    stored = json.loads((built / "build.json").read_text())
    assert stored["validation"] is None
    assert {**stored, "validation": data["validation"]} == data
    assert data["validation"]["bit_exact"] is True
    assert data["validation"]["within_bound"] is True
    assert data["validation"]["vectors"] == 256


def test_vectors_are_counted_or_read(built, capsys, tmp_path):
    assert main(["validate", str(built), "--vectors", "300", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validation"]["vectors"] == 300
    np.savez(tmp_path / "x.npz", x=np.array([[0.1, 0.2], [-1.0, 1.0], [7.0, 7.0]]))
    assert main(["validate", str(built), "--vectors", str(tmp_path / "x.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validation"]["vectors"] == 3


@pytest.mark.parametrize("count", ["0", "10000000", "9" * 5000])
def test_an_impossible_number_of_vectors_is_a_usage_error(built, capsys, count):
    assert main(["validate", str(built), "--vectors", count]) == 2
    assert "choose 1 to 1000000 vectors" in capsys.readouterr().err


DAMAGE = {
    "no build.json": ("build.json", None, 3, "is no build folder"),
    "build.json is no JSON": ("build.json", b"{", 3, "it is no JSON"),
    "build.json is too deep": ("build.json", b"[" * 100_000, 3, "it is no JSON"),
    "build.json is a list": ("build.json", b"[]", 3, "it is no JSON object"),
    "build.json is empty": ("build.json", b"{}", 3, "it lacks model or firmware"),
    "no image": ("firmware/firmware.elf", None, 3, "there is no such file"),
    "another image": ("firmware/firmware.elf", b"\x7fELF", 3, "for another image"),
    "no certificate": ("certificate.json", None, 3, "there is no such file"),
    "no proof": ("certificate.json", b"{}", 1, "certificate"),
    "no model": ("model/controller.onnx", None, 3, "there is no such file"),
    "no vectors": ("vectors.npz", None, 3, "vectors.npz"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_refused_by_name(built, capsys, name):
    file, content, code, what = DAMAGE[name]
    if content is None:
        (built / file).unlink()
    else:
        (built / file).write_bytes(content)
    assert main(["validate", str(built)]) == code
    said = capsys.readouterr()
    assert what in said.err
    assert "Traceback" not in said.err


def test_a_model_name_cannot_lead_out_of_the_folder(built, capsys):
    data = json.loads((built / "build.json").read_text())
    data["model"]["file"] = "../../../etc/passwd"
    (built / "build.json").write_text(json.dumps(data))
    assert main(["validate", str(built)]) == 3
    assert "model/passwd" in capsys.readouterr().err


def test_a_board_in_build_json_cannot_be_a_path(built, capsys):
    data = json.loads((built / "build.json").read_text())
    data["firmware"]["board"] = str(built)
    (built / "build.json").write_text(json.dumps(data))
    assert main(["validate", str(built)]) == 3
    assert "its board is no board's name" in capsys.readouterr().err


def test_another_model_in_the_folder_is_refused(built, capsys):
    write_controller(built / "model" / "controller.onnx", scale=2.0)
    assert main(["validate", str(built)]) == 1
    assert "model: the certificate is for another model file" in capsys.readouterr().err


def test_junit_has_one_case_a_promise(built, tmp_path):
    target = tmp_path / "junit.xml"
    assert main(["validate", str(built), "--junit", str(target)]) == 0
    suite = ElementTree.parse(target).getroot().find("testsuite")
    assert suite.get("failures") == "0"
    assert len(suite.findall("testcase")) == 2


@pytest.mark.parametrize(
    ("run", "failures", "message"),
    [
        (verdict(bit_exact=False), 1, "vector 3, output 0: expected 5, got 6"),
        (verdict(within_bound=False), 1, "largest deviation 0.015"),
        (verdict(within_bound=None), 0, None),
    ],
)
def test_junit_says_what_failed(run, failures, message):
    suite = ElementTree.fromstring(junit_bytes("x & <y>", run)).find("testsuite")
    assert suite.get("name") == "qdeploy x & <y>"
    assert suite.get("failures") == str(failures)
    assert [f.get("message") for f in suite.iter("failure")] == [message] * failures


def test_junit_tells_of_a_validation_that_came_to_no_verdict(original, tmp_path):
    target = tmp_path / "junit.xml"
    target.write_text("the last run passed")
    line = ["validate", str(original), "--vectors", "no.npz", "--junit", str(target)]
    assert main(line) == 3
    suite = ElementTree.parse(target).getroot().find("testsuite")
    assert (suite.get("errors"), suite.get("failures")) == ("1", "0")
    (error,) = suite.iter("error")
    assert "the vectors cannot be read" in error.get("message")


def test_junit_into_a_folder_is_refused_before_anything_runs(original, tmp_path, capsys):
    assert main(["validate", str(original), "--junit", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder" in capsys.readouterr().err
