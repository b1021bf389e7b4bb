"""--decision on the command line, in JSON and on the page; many regions bounded together."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, importer, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.cli import main
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import QuantizeRequest
from qdeploy.proof import kernel
from qdeploy.proof.certificate import SplitPart
from qdeploy.report import certificate_page
from qdeploy.report.values import Decided
from qdeploy.resources import folder
from support.controller import write_controller
from support.materials import material

DIGITS = folder("examples") / "digits"
MODEL = str(DIGITS / "digits.onnx")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two samples, and a mixture of both, which is hard to tell."""
    x = np.load(DIGITS / "samples.npz")["x"][:2].astype(np.float64)
    path = tmp_path_factory.mktemp("samples") / "few.npz"
    np.savez(path, x=np.concatenate([x, x.mean(axis=0, keepdims=True)]))
    return path


@pytest.fixture(scope="module")
def certified(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("decided") / "certificate.json"
    line = ["certify", MODEL, "--inputs", f"data:{samples}:0.01", "--bits", "8", "--work", "1"]
    line += ["--decision", "argmax", "--work", "1", "-o", str(path)]
    assert main(line) == 0
    return path


def test_certify_tells_the_shares(certified, samples, tmp_path, capsys):
    line = [
        "certify",
        MODEL,
        "--inputs",
        f"data:{samples}:0.01",
        "--bits",
        "8",
        "--json",
        "--work",
        "1",
    ]
    line += ["--decision", "argmin", "--work", "1", "-o", str(tmp_path / "c.json")]
    assert main(line) == 0
    said = json.loads(capsys.readouterr().out)["certificate"]["decision"]
    assert said["kind"] == "argmin"
    counts = [said[name] for name in ("unchanged", "attacked", "open")]
    assert sum(counts) == len(said["regions"]) == 3
    assert sum(said["shares"].values()) == pytest.approx(1)
    assert said["margin"] == max(max(r["pairs"]) for r in said["regions"])
    for region in said["regions"]:
        assert (region["winner"] is not None) == (region["status"] == "unchanged")
        assert (region["x"] is not None) == (region["status"] == "attacked")


def test_verify_tells_the_counts(certified, capsys):
    assert main(["verify", str(certified), "--model", MODEL, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["decision"]
    assert said["kind"] == "argmax"
    assert said["unchanged"] >= 2
    assert said["unchanged"] + said["attacked"] + said["open"] == 3
    assert main(["verify", str(certified), "--model", MODEL]) == 0
    assert f"argmax: {said['unchanged']} unchanged" in capsys.readouterr().out


def test_equal_requests_give_equal_certificates(certified, samples, tmp_path):
    path = tmp_path / "again.json"
    line = ["certify", MODEL, "--inputs", f"data:{samples}:0.01", "--bits", "8", "--work", "1"]
    line += ["--decision", "argmax", "--work", "1", "-o", str(path)]
    assert main(line) == 0
    assert path.read_bytes() == certified.read_bytes()


def test_one_output_decides_nothing(tmp_path, capsys):
    model, out = write_controller(tmp_path / "controller.onnx"), tmp_path / "c.json"
    line = ["certify", str(model), "--inputs", "-1:1", "--decision", "argmax", "-o", str(out)]
    assert main(line) == 2
    assert "the network has one output" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_decision_is_a_usage_error(tmp_path):
    assert main(["certify", MODEL, "--inputs", "0:1", "--decision", "median"]) == 2


@pytest.mark.parametrize("margin", [None, Fraction(1, 3)])
def test_the_page_shows_the_shares(margin):
    statuses = ("unchanged",) * 5 + ("attacked", "open", "open")
    pairs = None if margin is None else ((margin,),) * 8
    decided = Decided("argmax", statuses, (0,) * 8, (None,) * 8, pairs)
    shown = material()
    shown = dataclasses.replace(
        shown, statement=dataclasses.replace(shown.statement, decided=decided)
    )
    html = " ".join(certificate_page(shown).decode().split())
    assert "in 5 of 8</b> regions" in html
    assert 'width="400.0" height="20"' in html
    assert "Red: attacked (12.5 %). Grey: open (25 %)" in html
    assert ("leads every other output by more than" in html) == (margin is not None)
    assert "Which decisions" not in certificate_page(material()).decode()


# --- many regions ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd():
    """More regions than are worth a claim each."""
    network = importer.run(DIGITS / "digits.onnx")
    spec = f"data:{DIGITS / 'samples.npz'}:0.01"
    regions = importer.read_regions(spec, network.inputs[0].size)[:56]
    program = quantize.run(network, QuantizeRequest(regions, bits=8))
    return network, certifier.run(network, program, regions, CertifyRequest(work=1.0))


def test_many_regions_share_their_analysis_and_check(crowd):
    network, certificate = crowd
    parts = {part.data.tree for claim in certificate.regions for part in claim.parts}
    assert parts == {kernel.ONE_LEAF}
    proven = proof.check(network, certificate)
    for claim, bound in zip(certificate.regions, proven, strict=True):
        assert bound.linf == claim.linf >= claim.attack.linf


def test_together_is_what_one_by_one_gives(crowd):
    network, certificate = crowd
    for claim in certificate.regions[:3]:
        known = kernel.analysis(network, certificate.program, claim.box)
        (part,) = claim.parts
        assert kernel.prove_part(known, "split", part.data) == part


def changed_bound(claim):
    (part,) = claim.parts
    lower = (part.per_output[0] / 2, *part.per_output[1:])
    return dataclasses.replace(claim, parts=(dataclasses.replace(part, per_output=lower),))


def another_method(claim):
    (part,) = claim.parts
    return dataclasses.replace(claim, parts=(dataclasses.replace(part, method="linear"),))


def another_grid(claim):
    (part,) = claim.parts
    data = SplitPart(9, part.data.tree)
    return dataclasses.replace(claim, parts=(dataclasses.replace(part, data=data),))


def attack_elsewhere(claim):
    x = (claim.box.hi[0] + 1, *claim.attack.x[1:])
    return dataclasses.replace(claim, attack=dataclasses.replace(claim.attack, x=x))


def attack_too_high(claim):
    linf = claim.attack.linf + 1
    return dataclasses.replace(claim, attack=dataclasses.replace(claim.attack, linf=linf))


def too_few_inputs(claim):
    box = dataclasses.replace(claim.box, lo=claim.box.lo[1:], hi=claim.box.hi[1:])
    return dataclasses.replace(claim, box=box)


def lower_total(claim):
    return dataclasses.replace(claim, linf=claim.linf / 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed_bound, "region 1, method split: bound 0"),
        (another_method, "region 1: method linear"),
        (another_grid, "region 1, method split: a grid"),
        (attack_elsewhere, "region 1: the attack's input lies outside"),
        (attack_too_high, "region 1: the attack's deviation"),
        (too_few_inputs, "the region has 63 inputs"),
        (lower_total, "region 1: bound in the infinity norm"),
    ],
)
def test_a_change_of_one_of_many_is_refused(crowd, change, reason):
    network, certificate = crowd
    regions = list(certificate.regions[:3])
    regions[1] = change(regions[1])
    with pytest.raises(RefusedError, match=reason):
        proof.check(network, dataclasses.replace(certificate, regions=tuple(regions)))
