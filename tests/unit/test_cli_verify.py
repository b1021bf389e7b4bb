"""`verify` says proven or refused, and loads neither solver nor generator to do so."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from qdeploy import proof
from qdeploy.cli import main
from support.controller import write_controller

FOREIGN = ("clarabel", "cvxpy", "scipy", "jinja2", "serial", "unicorn")
OWN = ("pipeline", "certifier", "quantize", "crossbuild", "deploy", "report", "validator")

PROBE = """
import sys
from qdeploy.cli import main
code = main(sys.argv[1:])
print(" ".join(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build: (model, certificate, library)."""
    folder = tmp_path_factory.mktemp("built")
    model, out = write_controller(folder / "controller.onnx"), folder / "out"
    line = [
        "build",
        str(model),
        "--inputs",
        "-1:1",
        "--board",
        "host",
        "--no-run",
        "--work",
        "0.2",
        "-o",
        str(out),
    ]
    assert main(line) == 0
    return model, out / "certificate.json", out / "library"


def loaded(*arguments):
    """Run verify in a process of its own; return what it said and the modules it loaded."""
    line = [sys.executable, "-c", PROBE, "verify", *map(str, arguments), "--json"]
    process = subprocess.run(line, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout), set(process.stderr.split())


def test_verify_loads_no_solver_no_template_and_no_port(built):
    model, certificate, _ = built
    said, modules = loaded(certificate, "--model", model)
    assert said["verdict"] == "proven"
    assert not modules & {*FOREIGN, "qdeploy.generate", *(f"qdeploy.{name}" for name in OWN)}


def test_only_sources_load_the_generator(built):
    model, certificate, library = built
    said, modules = loaded(certificate, "--model", model, "--sources", library)
    assert said["verdict"] == "proven"
    assert "qdeploy.generate" in modules
    assert not modules & {"clarabel", "cvxpy", "scipy", "serial", "unicorn"}


def test_the_bound_is_the_builds(built, capsys):
    model, certificate, _ = built
    assert main(["verify", str(certificate), "--model", str(model), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    stored = json.loads((certificate.parent / "build.json").read_text())["certificate"]
    assert (said["linf"], said["per_output"]) == (stored["linf"], stored["per_output"])
    assert said["reason"] is None


def test_another_model_is_refused(built, tmp_path, capsys):
    other = write_controller(tmp_path / "controller.onnx", scale=1.001)
    assert main(["verify", str(built[1]), "--model", str(other), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "refused"
    assert said["linf"] is None
    assert said["reason"].startswith("model: ")


def test_a_build_folder_is_checked_with_its_own_copy_of_the_model(built, capsys):
    model, certificate, library = built
    folder = certificate.parent
    assert main(["verify", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert said["verdict"] == "proven"
    assert said["model"] == {"name": "controller.onnx", "sha256": digest}
    assert main(["verify", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "controller.onnx, the copy in the build folder\n" in told
    assert f"sha256 {digest}\n" in told
    line = ["verify", str(folder), "--model", str(model), "--sources", str(library)]
    assert main(line) == 0
    told = capsys.readouterr().out
    assert "the copy" not in told
    assert "is what the certified program generates" in told


def test_a_changed_copy_of_the_model_is_refused(built, tmp_path, capsys):
    folder = shutil.copytree(built[1].parent, tmp_path / "out")
    write_controller(folder / "model" / "controller.onnx", scale=1.001)
    assert main(["verify", str(folder)]) == 1
    assert capsys.readouterr().out.startswith("refused: model: ")


@pytest.mark.parametrize("name", ["../certificate.json", "/etc/passwd", "..", ""])
def test_the_copy_of_the_model_lies_in_the_folder(built, tmp_path, capsys, name):
    folder = shutil.copytree(built[1].parent, tmp_path / "out")
    statement = proof.read((folder / "certificate.json").read_bytes())
    renamed = proof.attest(replace(statement.certificate, model_name=name))
    (folder / "certificate.json").write_bytes(proof.write(renamed))
    assert main(["verify", str(folder)]) == 1
    assert capsys.readouterr().out == "refused: model: its name is no name of a file\n"


@pytest.mark.parametrize(
    ("given", "what", "fix", "code"),
    [
        (
            ["{folder}/library"],
            "holds no certificate.json",
            "the folder that qdeploy build wrote",
            3,
        ),
        (["{folder}/certificate.json"], "no --model is given", "or the whole build folder", 2),
        (["{folder}", "--model", "a", "--model", "b"], "about one model", "--model once", 2),
        (
            ["{folder}/model/controller.onnx", "--model", "{folder}/model/controller.onnx"],
            "",
            "",
            1,
        ),
    ],
)
def test_what_is_given_instead_is_told_what_to_give(built, capsys, given, what, fix, code):
    folder = built[1].parent
    assert main(["verify", *(g.format(folder=folder) for g in given)]) == code
    said = capsys.readouterr().err
    assert what in said
    assert fix in said


def test_a_changed_certificate_is_refused_by_part(built, tmp_path, capsys):
    model, certificate, _ = built
    data = json.loads(certificate.read_text())
    data["predicate"]["regions"][0]["linf"] = "0.0000001"
    forged = tmp_path / "certificate.json"
    forged.write_text(json.dumps(data))
    assert main(["verify", str(forged), "--model", str(model)]) == 1
    assert capsys.readouterr().out == "refused: region 0 bound: this part was changed\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.write_bytes(f.read_bytes() + b" "), "model.c is not what the certified"),
        (lambda f: f.unlink(), "model.c is missing"),
        (
            lambda f: f.with_name("stdint.h").write_bytes(b""),
            "stdint.h is no file the certified program generates",
        ),
    ],
)
def test_changed_sources_are_refused(built, tmp_path, capsys, change, reason):
    model, certificate, library = built
    for path in library.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    change(tmp_path / "model.c")
    line = ["verify", str(certificate), "--model", str(model), "--sources", str(tmp_path)]
    assert main(line) == 1
    assert reason in capsys.readouterr().out


def test_sources_must_be_the_library_the_certificate_names(built, tmp_path, capsys):
    model, certificate, library = built
    statement = proof.read(certificate.read_bytes())
    other = replace(statement, subjects={**statement.subjects, "library": "0" * 64})
    (tmp_path / "c.json").write_bytes(proof.write(other))
    line = ["verify", str(tmp_path / "c.json"), "--model", str(model)]
    assert main([*line, "--sources", str(library)]) == 1
    assert "subject: the certificate is for another library" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"a": NaN}'])
def test_what_is_no_certificate_is_refused_without_a_traceback(built, tmp_path, capsys, content):
    (tmp_path / "c.json").write_bytes(content)
    assert main(["verify", str(tmp_path / "c.json"), "--model", str(built[0])]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("refused: ")
    assert said.err == ""


def test_missing_files_are_bad_input(built, tmp_path, capsys):
    model, certificate, _ = built
    assert main(["verify", str(tmp_path / "c.json"), "--model", str(model)]) == 3
    assert "the certificate cannot be read: there is no such file" in capsys.readouterr().err
    line = ["verify", str(certificate), "--model", str(model), "--sources", str(tmp_path / "none")]
    assert main(line) == 3
    assert "there is no folder" in capsys.readouterr().err
