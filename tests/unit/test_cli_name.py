"""`--name` from the command line to the certificate, and back through verify and validate."""

import json
from dataclasses import replace

import pytest
import qdeploy
from qdeploy import proof
from qdeploy.cli import main
from support.controller import write_controller

SHORT = ["--inputs", "-1:1", "--board", "host", "--work", "0.1"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build of a library called tilt, and one of the same program without a name."""
    home = tmp_path_factory.mktemp("built")
    model = write_controller(home / "controller.onnx")
    for name, extra in (("tilt", ["--name", "tilt"]), ("plain", [])):
        assert main(["build", str(model), *SHORT, *extra, "-o", str(home / name)]) == 0
    return home


def verify(home, certificate, sources):
    line = ["verify", str(certificate), "--model", str(home / "controller.onnx")]
    return main([*line, "--sources", str(sources)])


def test_the_library_has_the_name_and_the_device_runs_it(built):
    names = {path.name for path in (built / "tilt" / "library").iterdir()}
    assert {"tilt.h", "tilt.c", "CMakeLists.txt"} < names
    assert not {"model.h", "model.c"} & names
    elf = (built / "tilt" / "firmware" / "firmware.elf").read_bytes()
    assert b"tilt_run_" in elf
    assert b"qd_model_run_" not in elf
    validation = json.loads((built / "tilt" / "build.json").read_text())["validation"]
    assert (validation["bit_exact"], validation["vectors"]) == (True, 256)


@pytest.mark.parametrize("name", ["tilt", "plain"])
def test_verify_and_validate_make_the_same_library_again(built, name, capsys):
    folder = built / name
    assert verify(built, folder / "certificate.json", folder / "library") == 0
    assert "is what the certified program generates" in capsys.readouterr().out
    assert main(["validate", str(folder)]) == 0


@pytest.mark.parametrize(
    ("certified", "given", "says"),
    [
        ("tilt", "plain", "sources: the certificate is for a library called tilt, not for "),
        ("plain", "tilt", "sources: the certificate is for a library without a name, not for "),
    ],
)
def test_a_library_of_another_name_is_refused(built, capsys, certified, given, says):
    library = built / given / "library"
    assert verify(built, built / certified / "certificate.json", library) == 1
    assert says in capsys.readouterr().out


def test_the_name_stands_in_the_certificate_and_is_sealed(built, tmp_path, capsys):
    data = json.loads((built / "tilt" / "certificate.json").read_text())
    assert data["predicate"]["library_name"] == "tilt"
    assert "library_name" not in (built / "plain" / "certificate.json").read_text()
    data["predicate"]["library_name"] = "pan"
    (tmp_path / "c.json").write_text(json.dumps(data))
    assert verify(built, tmp_path / "c.json", built / "tilt" / "library") == 1
    assert "refused: library name: this part was changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pan", "called pan, not for "),
        ("math", "the library's name is the name of a header of C"),
        ("../x", "the library's name is no C identifier"),
        ("", "the library's name is no C identifier"),
    ],
)
def test_another_name_in_a_certificate_is_believed_no_further(built, tmp_path, capsys, name, says):
    statement = proof.read((built / "tilt" / "certificate.json").read_bytes())
    other = replace(statement, certificate=replace(statement.certificate, library_name=name))
    (tmp_path / "c.json").write_bytes(proof.write(other))
    assert verify(built, tmp_path / "c.json", built / "tilt" / "library") == 1
    assert says in capsys.readouterr().out


def test_certify_names_the_library_that_build_makes(built, tmp_path):
    model, out = str(built / "controller.onnx"), tmp_path / "c.json"
    line = ["certify", model, "--inputs", "-1:1", "--work", "0.1", "--name", "tilt"]
    assert main([*line, "-o", str(out)]) == 0
    assert verify(built, out, built / "tilt" / "library") == 0


def test_the_name_may_come_from_python_or_a_file(built, tmp_path):
    model = built / "controller.onnx"
    options = {"inputs": "-1:1", "board": "host", "work": 0.1, "no_run": True}
    qdeploy.build(model, name="tilt", output=tmp_path / "one", **options)
    (tmp_path / "qdeploy.toml").write_text('name = "tilt"\ninputs = "-1:1"\nboard = "host"\n')
    line = ["build", str(model), "--config", str(tmp_path / "qdeploy.toml"), "--work", "0.1"]
    assert main([*line, "-o", str(tmp_path / "two")]) == 0
    for out in ("one", "two"):
        header = (tmp_path / out / "library" / "tilt.h").read_bytes()
        assert header == (built / "tilt" / "library" / "tilt.h").read_bytes()
