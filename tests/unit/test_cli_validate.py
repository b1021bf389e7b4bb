"""`validate` runs what a build folder holds, and believes nothing its digests do not cover."""

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from qdeploy.cli import main
from qdeploy.pipeline.junit import junit_bytes
from support.controller import write_controller
from support.folders import bound_again, made_otherwise, renamed, rewritten
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
    assert json.loads((built / "build.json").read_text())["validation"] is None
    assert data["answer"] == "yes"
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
    "build.json is empty": ("build.json", b"{}", 3, "it lacks model, certificate or firmware"),
    "no image": ("firmware/firmware.elf", None, 3, "there is no such file"),
    "another image": ("firmware/firmware.elf", b"\x7fELF", 1, "firmware.elf is not the file"),
    "a form of the image nobody names": (
        "firmware/firmware.hex",
        b":00",
        1,
        "names no firmware.hex",
    ),
    "another map": ("firmware/firmware.map", b"", 1, "firmware.map is not the file"),
    "no account": ("firmware/firmware.json", None, 3, "there is no such file"),
    "another account": ("firmware/firmware.json", b"{}", 1, "firmware.json is not the file"),
    "another library": ("library/model.c", b"int x;", 1, "model.c is not what the certified"),
    "no library": ("library/model.h", None, 1, "model.h is missing"),
    "more library": ("library/stdint.h", b"", 1, "stdint.h is no file the certified"),
    "another report": ("report.html", b"<p>bound 0</p>", 1, "report.html is not the file"),
    "another page": ("certificate.html", b"", 1, "certificate.html is not the file"),
    "no page": ("certificate.html", None, 1, "certificate.html is not the file"),
    "no certificate": ("certificate.json", None, 3, "there is no such file"),
    "no proof": ("certificate.json", b"{}", 1, "certificate"),
    "no model": ("model/controller.onnx", None, 3, "there is no such file"),
    "no vectors": ("vectors.npz", None, 3, "vectors.npz"),
    "other vectors": ("vectors.npz", b"PK", 1, "vectors.npz is not the file that the certificate"),
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


@pytest.mark.parametrize("name", ["../model/controller.onnx", "/etc/passwd", "", ".."])
def test_a_model_name_cannot_lead_out_of_the_folder(built, capsys, name):
    renamed(built, name)
    assert main(["validate", str(built)]) == 3
    assert "its model's name is no file name" in capsys.readouterr().err


def test_a_board_cannot_be_a_path(built, capsys):
    made_otherwise(built, "board", str(built))
    assert main(["validate", str(built)]) == 3
    assert "its board is no board's name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("firmware.elf", b"", "the image is no firmware of qdeploy"),
        ("firmware.elf", b"\x7fELF" + bytes(range(256)), "the image is no firmware of qdeploy"),
        ("firmware.json", b"[", "it is no JSON"),
        ("firmware.json", b"{}", "it lacks"),
        ("firmware.json", b'{"board": "host", "compiler": 1, "compiler_flags": 2}', "it lacks"),
    ],
)
def test_a_folder_made_up_consistently_ends_in_a_clear_error(built, capsys, name, content, what):
    bound_again(built, name, content)
    assert main(["validate", str(built)]) == 3
    said = capsys.readouterr().err
    assert what in said
    assert "Traceback" not in said


def test_an_image_of_another_program_is_refused_by_name(built, capsys, tmp_path):
    model = write_controller(tmp_path / "other.onnx", scale=2.0)
    line = ["build", str(model), "--inputs", "-1:1", "--board", "host", "--no-run", "--work", "0"]
    assert main([*line, "-o", str(tmp_path / "other")]) == 0
    image = (tmp_path / "other" / "firmware" / "firmware.elf").read_bytes()
    bound_again(built, "firmware.elf", image)
    assert main(["validate", str(built)]) == 1
    assert "the image runs another program" in capsys.readouterr().err


def set_in(*path, value):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


STATED = {
    "certificate.linf": (("certificate", "linf"), 1e-9),
    "certificate.l2": (("certificate", "l2"), None),
    "certificate.per_output[0]": (("certificate", "per_output", 0), 0.0),
    "certificate.status": (("certificate", "status"), "inconclusive"),
    "certificate.attack.linf": (("certificate", "attack", "linf"), 0.0),
    "certificate.attack.x[1]": (("certificate", "attack", "x", 1), 0.25),
    "certificate.regions": (("certificate", "regions"), []),
    "certificate.regions[0].hi[1]": (("certificate", "regions", 0, "hi", 1), 1000.0),
    "certificate.regions[0].name": (("certificate", "regions", 0, "name"), "everything"),
    "certificate.methods": (("certificate", "methods"), ["magic"]),
    "certificate.decision": (("certificate", "decision"), {"kind": "argmax"}),
    "certificate.sha256": (("certificate", "sha256"), "0" * 64),
    "formats[0].fb": (("formats", 0, "fb"), 31),
    "program_digest": (("program_digest",), "0" * 64),
    "model.parameters": (("model", "parameters"), 1e9),
    "model.sha256": (("model", "sha256"), "0" * 64),
    "model.file": (("model", "file"), "../../../etc/passwd"),
    "firmware.board": (("firmware", "board"), "nucleo-f446re"),
    "firmware.compiler_flags": (("firmware", "compiler_flags"), []),
    "firmware.flash_bytes": (("firmware", "flash_bytes"), True),
    "firmware.ram_bytes": (("firmware", "ram_bytes"), 1),
    "firmware.stack_bytes": (("firmware", "stack_bytes"), 1),
    "schema": (("schema",), 2),
}


@pytest.mark.parametrize("key", STATED)
def test_whatever_build_json_says_otherwise_is_refused_by_name(built, capsys, key):
    path, value = STATED[key]
    rewritten(built, set_in(*path, value=value))
    assert main(["validate", str(built), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["what"].startswith(f"build.json: {key} states ")
    assert error["where"].endswith(f"build.json: {key}")


def test_what_build_json_leaves_out_is_refused_by_name(built, capsys):
    rewritten(built, lambda data: data["certificate"].pop("linf"))
    assert main(["validate", str(built)]) == 1
    assert "build.json: certificate.linf states nothing, the certificate proves 0." in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("files", [None, {"/etc/passwd": ""}, {"../x": ""}])
def test_files_that_build_json_names_lie_in_the_folder(built, capsys, files):
    rewritten(built, set_in("files", value=files))
    assert main(["validate", str(built)]) == 3
    assert "the build folder is damaged" in capsys.readouterr().err


LIES = {
    "answer": "no",
    "interrupted": True,
    "pruning": {"request": "neurons:99%"},
    "qdeploy": "99.0",
    "seconds": {"total": 1e9, "stages": {"certify": 1e9}},
    "validation": {"instructions": 1, "max_deviation": 0.0},
    "anything": ["at all"],
}


def test_nothing_is_printed_that_was_not_checked_or_measured(built, capsys):
    """What no check covers may be written into build.json, and comes out nowhere."""
    assert main(["validate", str(built), "--json"]) == 0
    honest = json.loads(capsys.readouterr().out)
    rewritten(built, lambda data: data.update(LIES))
    for part in (("certificate",), ("certificate", "regions", 0)):
        rewritten(built, set_in(*part, "attack", "relaxed", value=123.5))
    rewritten(built, set_in("certificate", "seconds", value=123.5))
    rewritten(built, set_in("certificate", "origins", value={"shares": [123.5]}))
    assert main(["validate", str(built), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("seconds").keys() == honest.pop("seconds").keys()
    assert told == honest
    assert {"pruning", "interrupted", "files", "anything"}.isdisjoint(told)
    assert main(["validate", str(built)]) == 0
    assert "123.5" not in capsys.readouterr().out


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
    target.write_bytes(junit_bytes("the last run passed", verdict()))
    line = ["validate", str(original), "--vectors", "no.npz", "--junit", str(target)]
    assert main(line) == 3
    suite = ElementTree.parse(target).getroot().find("testsuite")
    assert (suite.get("errors"), suite.get("failures")) == ("1", "0")
    (error,) = suite.iter("error")
    assert "the vectors cannot be read" in error.get("message")


def test_junit_into_a_folder_is_refused_before_anything_runs(original, tmp_path, capsys):
    assert main(["validate", str(original), "--junit", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder" in capsys.readouterr().err
