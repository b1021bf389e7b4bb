"""What a person reads never says more than is known."""

from dataclasses import replace
from fractions import Fraction

import pytest
from qdeploy.cli._answer import columns
from qdeploy.cli._text import describe_build, plural, statement_lines
from support.materials import firmware, found, material, proven, statement, verdict


def text(**changes):
    return describe_build(
        replace(material(), **changes), [("report", "out/report.html")], {"a": 1.5}
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "|device - network| <= 0.02 for every input in 1 region (operating), 2-norm <= 0.03"),
        ({}, "0.01562 is the largest deviation found, so the bound is at most 1.28 times"),
        ({}, "flash 2048 bytes, RAM 96, stack <= 128 (clang 22.1)"),
        ({}, "256 vectors over unicorn, every output equal bit for bit"),
        ({}, "1234 instructions an inference"),
        ({}, "note       folded Mul 'm' into dense_1"),
        ({}, "input           <2,6>    8     -2 .. 1.984"),
        ({}, "  1.5 s: a 1.50"),
        ({"verdict": verdict(bit_exact=False)}, "DIFFERS from the model: vector 3, output 0"),
        ({"verdict": verdict(within_bound=False)}, "BEYOND THE BOUND"),
        (
            {"verdict": verdict(within_bound=None)},
            "not compared: no bound was proven, or no vector",
        ),
        ({"verdict": None}, "not run yet"),
        ({"statement": statement(None, found(Fraction(1, 8)))}, "none proven over 1 region"),
    ],
)
def test_every_fact_is_said(changes, said):
    assert said in text(**changes)


def test_no_deviation_is_claimed_where_nothing_was_compared():
    said = text(verdict=replace(verdict(within_bound=None), max_deviation=0.0))
    assert "deviation  not compared" in said


@pytest.mark.parametrize("tolerance", ["0.05 is kept: the proven bound is within it", ""])
def test_the_tolerance_stands_beside_the_bound(tolerance):
    said = describe_build(material(), [("report", "r")], {"a": 1.5}, tolerance)
    assert (f"  tolerance  {tolerance}\n" in said) is bool(tolerance)
    assert ("tolerance" in said) is bool(tolerance)


def test_an_unknown_stack_is_left_out():
    assert "stack" not in text(firmware=replace(firmware(), stack_bytes=None))


def test_no_ratio_where_nothing_was_found():
    lines = dict(statement_lines(statement(proven(Fraction(1)), found(Fraction(0)))))
    assert lines["attack"] == "0 is the largest deviation found"


def test_what_free_roundings_reach_is_said_only_where_every_region_was_searched():
    one = statement(proven(Fraction(1)), found(Fraction(0)))
    assert "relaxed" not in dict(statement_lines(one))
    searched = replace(one.regions[0], relaxed=0.75)
    said = dict(statement_lines(replace(one, regions=(searched,))))["relaxed"]
    assert said.startswith("0.75 ")
    partly = replace(one, regions=(searched, one.regions[0]))
    assert "relaxed" not in dict(statement_lines(partly))


def test_of_many_regions_the_first_are_named():
    one = statement(proven(Fraction(1)), found(Fraction(0)))
    many = replace(one, regions=one.regions * 450)
    said = dict(statement_lines(many))["bound"]
    assert "in 450 regions (operating; operating; operating; ...)" in said


def test_many_formats_are_cut_and_counted():
    fixed = material().fixed
    tensors = tuple(
        replace(fixed.tensors[0], tensor=replace(fixed.tensors[0].tensor, id=f"input_{i}"))
        for i in range(40)
    )
    names = tuple(t.id for t in tensors)
    wide = replace(fixed, inputs=names, outputs=names[:1], tensors=tensors, nodes=())
    assert "and 16 more in build.json" in text(fixed=wide)


@pytest.mark.parametrize(("count", "said"), [(0, "0 bits"), (1, "1 bit"), (2, "2 bits")])
def test_plurals(count, said):
    assert plural(count, "bit") == said


def test_columns_align_without_trailing_blanks():
    assert columns([("a", "bb", ""), ("ccc", "d", "e")], "  ") == "  a    bb\n  ccc  d   e"
    assert columns([]) == ""
