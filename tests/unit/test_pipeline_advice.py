"""An answer that is of little use says so in plain words, and which option helps."""

import html
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from qdeploy import quantize
from qdeploy.cli import main
from qdeploy.fixedpoint import parse_format
from qdeploy.ir import Box, QuantizeRequest
from qdeploy.pipeline.advice import for_tolerance, remarks
from qdeploy.pipeline.options import Options
from qdeploy.report.values import Origin, Origins, RegionResult, Statement
from support.controller import write_dense_chain
from support.materials import found, material, proven, statement
from support.networks import build_network

EXAMPLES = Path(__file__).parents[2] / "examples"
RNG = np.random.default_rng(5)
FIRST, SECOND = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 4))
NO_BIAS = (np.zeros(4), np.zeros(2))


def network(first=FIRST, second=SECOND, biases=NO_BIAS):
    steps = [(np.float32(first), np.float32(biases[0])), "relu"]
    return build_network(3, [*steps, (np.float32(second), np.float32(biases[1]))])


def unit(side=1):
    return Box((Fraction(-side),) * 3, (Fraction(side),) * 3)


def told(trained, box, bound=Fraction(1, 1000), deviates=Fraction(1, 1000), **formats):
    """What is remarked about a network in these formats, with such a bound."""
    read = {k: v if isinstance(v, int) else parse_format(v, k) for k, v in formats.items()}
    fixed = quantize.run(trained, QuantizeRequest((box,), **read))
    attack = replace(found(deviates, deviates), x=box.lo)
    claim = Statement((RegionResult(box, proven(bound, bound), attack),), (), (), "")
    return remarks(trained, trained, fixed, claim, Options(model=Path("m.onnx"), **formats))


HUGE = FIRST.copy()
HUGE[0, 0] = 1e30
SPARSE = np.where(np.arange(12).reshape(4, 3) < 10, 0.0, FIRST)


def test_of_a_healthy_program_nothing_is_remarked():
    for bits in (8, 16):
        assert told(network(), unit(), bits=bits) == ()


def test_one_huge_weight_that_takes_all_others_is_told():
    (said,) = told(network(HUGE), unit())
    assert said.startswith("11 of the 12 weights of layer n0 ")
    assert "<101,-85> has steps of 3.87e+25" in said
    assert said.endswith("give more --bits, or see whether the largest is meant")


def test_a_layer_whose_codes_are_all_zero_is_told_with_the_option_that_was_given():
    said = told(network(FIRST / 1000), unit(), weights="4.4")[0]
    assert said.startswith("all the 12 weights of layer n0 ")
    assert "give more fraction bits in --weights" in said


def test_zeros_of_the_model_itself_are_no_remark():
    assert told(network(SPARSE), unit()) == ()
    assert told(network(FIRST * 0, biases=(np.ones(4), np.zeros(2))), unit()) == ()


def test_a_layer_that_never_moves_is_told():
    (said,) = told(network(FIRST / 10), unit(), activations="10.-2")
    assert said.startswith("tensor t1 is always zero on the 128 inputs tried")
    assert "<10,-2> has steps of 4" in said
    assert "give more fraction bits in --activations" in said


def test_a_layer_that_always_saturates_is_told():
    (said,) = told(network(biases=(np.full(4, 9.0), np.zeros(2))), unit(), activations="2.14")
    assert "tensor t1 is always the same" in said
    assert "ends at 1.99" in said


def test_a_region_within_one_step_is_no_remark():
    """Around one sample codes stand still, and that is as it should be."""
    centre = tuple(Fraction(k, 7) for k in (1, 2, 3))
    box = Box.enclosing(centre, tuple(v + Fraction(1, 10**9) for v in centre))
    assert told(network(biases=(np.ones(4), np.ones(2))), box, Fraction(1, 10**12)) == ()


@pytest.mark.parametrize(
    ("deviates", "helps"),
    [
        (Fraction(90), "give more --bits: an input was found that deviates by 90"),
        (Fraction(1), "give more --bits, smaller regions or more --work"),
    ],
)
def test_a_bound_larger_than_the_outputs_own_range_is_told(deviates, helps):
    (said,) = told(network(), unit(), Fraction(100), deviates)
    assert said.startswith("the bound on output ")
    assert "is larger than all that the output does on the 128 inputs tried (" in said
    assert said.endswith(helps)


def test_numbers_at_the_end_of_the_doubles_break_nothing():
    assert told(network(FIRST * 1e30), unit(2**100), Fraction(2) ** 1000)


def write_odd_model(path):
    """A chain of layers with one weight that cannot be meant."""
    write_dense_chain(path, (3, 4, 2))
    model = onnx.load(path)
    weight = next(i for i in model.graph.initializer if i.name == "w0")
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] = 1e30
    weight.CopyFrom(numpy_helper.from_array(values, "w0"))
    onnx.save(model, path)
    return path


def test_warnings_stand_in_the_text_in_json_and_on_both_pages(tmp_path, capsys):
    model = write_odd_model(tmp_path / "odd.onnx")
    line = ["build", str(model), "--inputs=-1:1", "--board", "host", "--no-run", "--work", "0"]
    assert main([*line, "-o", str(tmp_path / "out")]) == 0
    assert "  warning   11 of the 12 weights of layer dense_1" in capsys.readouterr().out
    (said,) = json.loads((tmp_path / "out" / "build.json").read_text())["warnings"]
    for page in ("report.html", "certificate.html"):
        assert said in html.unescape((tmp_path / "out" / page).read_text())


# --- a tolerance that is missed --------------------------------------------------------------


def helps(tolerance, shares=(), relaxed=None, deviates=Fraction(1, 10), **options):
    claim = statement(proven(Fraction(1)), found(deviates))
    if relaxed is not None:
        claim = replace(claim, regions=(replace(claim.regions[0], relaxed=relaxed),))
    origins = Origins(0, 0, tuple(Origin("", source, share) for source, share in shares))
    asked = Options(model=Path("m.onnx"), tolerance=tolerance, **{"bits": 8, **options})
    return for_tolerance(replace(material(), statement=claim, origins=origins), asked)


MORE_WORK = "a tighter proof may exist as well: give more --work, or smaller regions"


@pytest.mark.parametrize(
    ("tolerance", "more", "said"),
    [
        (None, {}, ""),
        ("1", {}, ""),
        ("0.5", {}, "about --bits 9 would do"),
        ("0.49", {}, "about --bits 10 would do"),
        ("1e-9", {}, "no --bits up to 32 would do"),
        ("0.5", {"shares": (("saturation", 0.4),)}, "about --bits 11 would do"),
        ("0.3", {"shares": (("pruning", 0.4),)}, "more bits do not help: 0.4"),
        ("0.5", {"weights": "4.4"}, "about --bits 9, and 1 fraction bit more in --weights, would"),
    ],
)
def test_the_bits_that_would_do_follow_from_the_shares(tolerance, more, said):
    told = helps(tolerance, **more)
    assert told.startswith(said)
    assert bool(told) is bool(said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, True),
        ({"relaxed": 0.3}, True),
        ({"relaxed": 0.6}, False),  # no proof that leaves roundings free gets there
        ({"deviates": Fraction(8, 10)}, False),  # the tolerance is exceeded
        ({"deviates": Fraction(49, 100), "relaxed": 0.5}, True),
    ],
)
def test_more_work_is_advised_where_a_tighter_proof_may_exist(more, said):
    assert helps("0.5", **more).endswith(MORE_WORK) is said


def test_beyond_16_bits_tables_do_not_become_finer(tmp_path, capsys):
    trained = build_network(2, [(np.float32([[1, 2], [3, 4]]), np.zeros(2, np.float32)), "tanh"])
    fixed = quantize.run(trained, QuantizeRequest((Box((Fraction(-1),) * 2, (Fraction(1),) * 2),)))
    told = for_tolerance(
        replace(
            material(), fixed=fixed, statement=statement(proven(Fraction(1)), found(Fraction(0)))
        ),
        Options(model=Path("m.onnx"), tolerance="0.1"),
    )
    assert told.startswith("no --bits up to 16, beyond which tables do not become finer, would do")


@pytest.mark.parametrize(
    ("model", "bits", "tolerance"), [("pendulum", 11, "0.5"), ("digits", 8, "0.15")]
)
def test_the_advice_holds_on_the_examples(tmp_path, capsys, model, bits, tolerance):
    folder = EXAMPLES / model
    line = ["certify", str(folder / f"{model}.onnx"), "--inputs", str(folder / "box.json")]
    line += ["--work", "1", "--tolerance", tolerance, "-o", str(tmp_path / "c.json")]
    assert main([*line, "--bits", str(bits)]) in (1, 5)
    (advised,) = re.findall(r"about --bits (\d+) would do", capsys.readouterr().out)
    assert bits < int(advised) < bits + 6
    assert main([*line, "--bits", advised]) == 0
