"""One exit code from what is proven, found and measured."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from qdeploy.diagnostics import ExitCode
from qdeploy.pipeline.decision import decide, explain_tolerance
from qdeploy.pipeline.options import Norm, Options
from support.materials import found, material, proven, statement, verdict

PROVEN = statement(proven(Fraction(2, 100), Fraction(1, 100)), found(Fraction(1, 100), Fraction(0)))
NOTHING = statement(None, found(Fraction(1, 100), Fraction(0)))
YES, NO, OPEN = ExitCode.YES, ExitCode.NO, ExitCode.INCONCLUSIVE


@pytest.mark.parametrize(
    ("claim", "tolerance", "norm", "code"),
    [
        (PROVEN, None, Norm.INF, YES),
        (PROVEN, "0.02", Norm.INF, YES),
        (PROVEN, "0.0199999999999999999999", Norm.INF, OPEN),
        (PROVEN, "0.01", Norm.INF, OPEN),
        (PROVEN, "0.00999999999999999999", Norm.INF, NO),
        (PROVEN, "0.02", Norm.TWO, OPEN),
        (PROVEN, "0.03", Norm.TWO, YES),
        (PROVEN, "0.009", Norm.TWO, NO),
        (NOTHING, None, Norm.INF, OPEN),
        (NOTHING, "1", Norm.INF, OPEN),
        (NOTHING, "0.001", Norm.INF, NO),
    ],
)
def test_tolerance_lies_above_between_or_below(claim, tolerance, norm, code):
    wanted = None if tolerance is None else Fraction(tolerance)
    assert decide(claim, None, wanted, norm) is code


@pytest.mark.parametrize(
    ("claim", "tolerance", "norm", "said"),
    [
        (PROVEN, None, "inf", ""),
        (PROVEN, "0.02", "inf", "0.02 is kept: the proven bound is within it"),
        (PROVEN, "0.03", "2", "0.03 (2-norm) is kept: the proven bound is within it"),
        (PROVEN, "1/200", "inf", "1/200 is EXCEEDED by the deviation that was found"),
        (PROVEN, "0.015", "inf", "0.015 is INCONCLUSIVE: not proven, and no input found"),
        (NOTHING, "1", "inf", "1 is INCONCLUSIVE: not proven, and no input found"),
    ],
)
def test_the_tolerances_fate_is_said_in_words(claim, tolerance, norm, said):
    options = Options(model=Path("m.onnx"), tolerance=tolerance, norm=norm)
    told = explain_tolerance(replace(material(), statement=claim), options)
    assert told.startswith(said)
    assert bool(told) is bool(said)


@pytest.mark.parametrize(
    ("device", "code"),
    [
        (verdict(), YES),
        (verdict(within_bound=None), YES),
        (verdict(bit_exact=False), NO),
        (verdict(within_bound=False), NO),
    ],
)
def test_a_device_that_differs_is_a_no(device, code):
    assert decide(PROVEN, device, None, Norm.INF) is code
