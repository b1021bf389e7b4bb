"""Operators whose facts about their curve are false are refused, or break a promise that is tried.

Three stand between such an operator and a false certificate: the class refuses what cannot be true
as soon as it is stated, the kernel again on every knot it relies on, and the contract of all
operators (tests/contracts/test_curves.py) finds what is too fine for both.
"""

import dataclasses
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from qdeploy import ops
from qdeploy.ir import Node, exact
from qdeploy.ops import PiecewiseLinear, Smooth
from qdeploy.proof import curves
from support.curve_laws import piecewise_value, violations

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GRID = 32
PLACE = re.compile(r"(between|and|at) -?[0-9.]+")
SPOT = Fraction(1) + Fraction(1, 512)
"""A knot of proofs about tanh, and none that a new curve is tried at."""


def curve(op, **parameters):
    node = Node("n", op, ("x",), "y", {k: exact([v]) for k, v in parameters.items()})
    return ops.known_ops()[op].curve(node)


TANH = curve("tanh")
ELU = curve("elu", alpha=Fraction(1, 2))
STEEP = curve("elu", alpha=3)


def unchecked(facts):
    """Return the same curve as nobody's constructor saw it."""
    found = object.__new__(Smooth)
    for field in dataclasses.fields(Smooth):
        object.__setattr__(found, field.name, facts.get(field.name))
    return found


def facts_of(of, **changes):
    return {f.name: getattr(of, f.name) for f in dataclasses.fields(of)} | changes


def moved(enclose, by, where=lambda x: True, ends=(1, 1)):
    """Return an enclosure that is off by `by` where it is asked to be."""

    def wrong(t, fb, bits):
        low, high = enclose(t, fb, bits)
        x = [Fraction(int(v)) / Fraction(2) ** fb for v in t.tolist()]
        off = np.array([int(by(v) * (1 << bits)) if where(v) else 0 for v in x], dtype=object)
        return low + ends[0] * off, high + ends[1] * off

    return wrong


def one_unit_off(enclose, at):
    def wrong(t, fb, bits):
        low, high = enclose(t, fb, bits)
        here = np.array([Fraction(int(v)) / Fraction(2) ** fb == at for v in t.tolist()])
        return np.where(here, high + 1, low), np.where(here, high + 1, high)

    return wrong


def at(place):
    return lambda x: x == place


def constant(by):
    return lambda x: Fraction(by)


def negated(enclose):
    return lambda t, fb, bits: tuple(-end for end in reversed(enclose(t, fb, bits)))


def halved(enclose):
    return lambda t, fb, bits: enclose(t, fb, bits - 1)


IMPOSSIBLE = {
    "falls": (facts_of(TANH, value=negated(TANH.value)), "the curve falls between"),
    "dips": (
        facts_of(TANH, value=moved(TANH.value, constant(-1), at(2))),
        r"falls between 1.9375 and 2,",
    ),
    "has a negative slope": (
        facts_of(TANH, slope=negated(TANH.slope)),
        "the slope at -?[0-9.]+ is negative",
    ),
    "has half its slope": (
        facts_of(TANH, slope=halved(TANH.slope)),
        "convex up to the inflection 0",
    ),
    "is too flat at one knot": (
        facts_of(TANH, slope=moved(TANH.slope, constant(Fraction(-1, 5)), at(Fraction(1, 2)))),
        "between 0.5 and 0.5625 are those of no curve that is concave from the inflection 0",
    ),
    "is too steep at one knot": (
        facts_of(TANH, slope=moved(TANH.slope, constant(Fraction(1, 5)), at(Fraction(-1, 2)))),
        "between -0.5 and -0.4375 are those of no curve that is convex up to the inflection 0",
    ),
    "is more curved than it says": (
        facts_of(TANH, curvature=Fraction(3, 4)),
        "or the curvature exceeds 0.75",
    ),
    "turns before its inflection": (
        facts_of(TANH, inflection=Fraction(1, 4)),
        "no curve that is convex up to the inflection 0.25",
    ),
    "turns behind its inflection": (
        facts_of(TANH, inflection=Fraction(-1, 4)),
        "no curve that is concave from the inflection -0.25",
    ),
    "is steeper below 0 and said to be convex": (
        facts_of(STEEP, inflection=None),
        "no curve that is convex up to its end",
    ),
    "is below its floor": (facts_of(TANH, floor=Fraction(-1, 2)), "is below the floor -0.5"),
    "is above its ceiling": (facts_of(TANH, ceiling=Fraction(1, 2)), "is above the ceiling 0.5"),
    "is no straight line": (
        facts_of(TANH, ceiling=None),
        "is t itself for t >= 0, and at 0.0625 this one is not",
    ),
    "has the slope of one side at 0": (
        facts_of(ELU, slope=moved(ELU.slope, constant(Fraction(1, 2)), at(0), (1, 0))),
        "value and slope between -0.125 and 0 contradict",
    ),
    "has an empty enclosure": (
        facts_of(TANH, value=moved(TANH.value, constant(1), at(0), (1, 0))),
        "the enclosure of the value at 0 is empty",
    ),
    "counts in doubles": (
        facts_of(TANH, value=lambda *a: tuple(v.astype(float) for v in TANH.value(*a))),
        "value is no array of Python integers",
    ),
    "counts in 64 bits": (
        facts_of(TANH, slope=lambda t, fb, bits: (np.zeros(len(t), int), np.ones(len(t), int))),
        "slope is no array of Python integers",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_curve_that_cannot_be_is_refused_as_soon_as_it_is_stated(name):
    facts, message = IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=message):
        Smooth(**facts)


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_the_kernel_refuses_it_on_its_own(name):
    """With the same words, at places of its own."""
    facts, _ = IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=" ") as stated:
        Smooth(**facts)
    with pytest.raises(ValueError, match=" ") as used:
        curves.on_grid(unchecked(facts), GRID)
    assert PLACE.sub("#", str(used.value)) == PLACE.sub("#", str(stated.value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reach": 0}, "reaches nowhere"),
        ({"reach": 2}, "the floor -1 is still far off at -2"),
        ({"ceiling": Fraction(9, 8)}, "the ceiling 9/8 is far off at 15"),
        ({"floor": Fraction(-2)}, "the floor -2 is still far off at -15"),
        ({"floor": Fraction(2)}, "the floor 2 is above the curve's other end"),
        ({"curvature": Fraction(-1)}, "never negative"),
        ({"inflection": Fraction(16)}, "no dyadic number within"),
        ({"inflection": Fraction(1, 3)}, "no dyadic number within"),
        ({"inflection": None}, "convex everywhere must go on straight"),
        ({"inflection": Fraction(1), "ceiling": None}, "convex everywhere must go on straight"),
    ],
)
def test_numbers_that_do_not_fit_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TANH, **changes)


FINE = {
    "a slope that is wrong at one place": (
        {"slope": moved(TANH.slope, constant(Fraction(1, 64)), at(SPOT))},
        "between 1.001464844 and 1.001953125 are those of no curve that is concave from",
    ),
    "a dip at one place": (
        {"value": moved(TANH.value, constant(Fraction(-1, 512)), at(SPOT))},
        "the curve falls between 1.001464844 and 1.001953125",
    ),
    "a turn between two knots": (
        {"inflection": Fraction(1, 1 << 20)},
        "no knot stands at the inflection 1/1048576",
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_only_the_knots_of_a_proof_show_is_refused_by_the_kernel(name):
    changes, message = FINE[name]
    stated = dataclasses.replace(TANH, **changes)
    with pytest.raises(ValueError, match=message):
        curves.on_grid(stated, GRID)


FINER = {
    "a value off by one unit at one place": (
        {"value": one_unit_off(TANH.value, Fraction(1))},
        "enclosure",
    ),
    "a slope off by one unit at one place": (
        {"slope": one_unit_off(TANH.slope, Fraction(1))},
        "enclosure",
    ),
    "a slope off by a millionth": (
        {"slope": moved(TANH.slope, lambda x: Fraction(-1, 1 << 20), lambda x: 1 < x < 2)},
        "slope",
    ),
    "a value off by a millionth": (
        {"value": moved(TANH.value, lambda x: Fraction(1, 1 << 20), lambda x: -1 < x < 1)},
        "double",
    ),
    "wide enclosures": (
        {"value": moved(TANH.value, constant(Fraction(1, 1 << 30)), ends=(-1, 1))},
        "narrow",
    ),
    "a curvature a little too small": ({"curvature": Fraction(76977, 10**5)}, "curvature"),
    "a turn close by": ({"inflection": Fraction(1, 1 << 20)}, "bend"),
    "a reach a little too small for its limits": ({"reach": 3}, None),
}


@pytest.mark.parametrize("name", FINER)
def test_what_is_finer_still_breaks_a_promise_of_the_contract(name):
    changes, promise = FINER[name]
    broken = violations(dataclasses.replace(TANH, **changes), np.tanh)
    assert promise in broken if promise else broken == set()


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_so_does_what_cannot_be(name):
    """The contract shares nothing with what refuses, and finds all of it as well."""
    facts, message = IMPOSSIBLE[name]
    if "Python integers" in message:
        return
    assert violations(unchecked(facts), np.tanh) - {"double"}


def pieces(breakpoints=((0,),), slopes=((0,), (1,)), first=(0,)):
    return {"breakpoints": exact(breakpoints), "slopes": exact(slopes), "first": exact(first)}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (pieces([[1], [0]], [[0], [1], [0]]), "do not ascend"),
        (pieces([[1], [1]], [[0], [1], [0]]), "do not ascend"),
        (pieces([[0, 1], [1, 0]], [[0], [1], [0]]), "do not ascend"),
        (pieces(slopes=[[1]]), "1 breakpoints are none of 1 pieces"),
        (pieces([[0], [1]]), "2 breakpoints are none of 2 pieces"),
        (pieces(slopes=[[0, 0], [1, 1]], first=[0, 0, 0]), "of different neurons"),
        (pieces(first=[[0]]), "first of a curve are no exact array of 1 dimensions"),
        ({**pieces(), "slopes": np.array([[0.0], [1.0]])}, "slopes of a curve are no exact array"),
        ({**pieces(), "slopes": exact([[0], [1]]).copy()}, "slopes of a curve are no exact array"),
    ],
)
def test_pieces_that_make_no_curve_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        PiecewiseLinear(**facts)


@pytest.mark.parametrize("wrong", ["first", "slopes", "breakpoints"])
def test_pieces_of_another_curve_miss_what_the_operator_computes(wrong):
    """However little they are off; in themselves they are as good as any."""
    node = Node("n", "clip", ("x",), "y", {"lo": exact([-1]), "hi": exact([2])})
    clip = ops.known_ops()["clip"]
    true, at = clip.curve(node), exact([Fraction(3, 2)])
    off = exact(getattr(true, wrong) + Fraction(1, 1 << 80))
    computed = clip.enclose(node, at[None], at[None])[0][0]
    assert (piecewise_value(true, at) == computed).all()
    assert (piecewise_value(dataclasses.replace(true, **{wrong: off}), at) != computed).all()


def certify_with(folder):
    """Run the command line with the operators of one more folder."""
    program = (
        "import sys, qdeploy.ops; qdeploy.ops.__path__.append(sys.argv.pop(1)); "
        "from qdeploy.cli import entry; sys.exit(entry())"
    )
    example = ROOT / "examples" / "pendulum"
    arguments = ["certify", str(example / "pendulum.onnx"), "--work", "0.01"]
    return subprocess.run(
        [sys.executable, "-c", program, folder, *arguments, "--inputs", example / "box.json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=120,
    )


def test_no_bound_is_printed_beside_an_operator_whose_curve_falls(tmp_path):
    """A HardSwish, written by who knew no more than that a curve is stated by its enclosures."""
    shutil.copy(HERE / "wrong_operators" / "hardswish.py", tmp_path)
    done = certify_with(tmp_path)
    assert done.returncode == 70
    assert done.stdout == ""
    assert "the curve falls between -3 and -2.984375" in done.stderr
    assert "hardswish.py" in done.stderr


def test_one_whose_curve_does_not_is_no_trouble(tmp_path):
    shutil.copy(ROOT / "toolchain" / "qdeploy" / "ops" / "softsign.py", tmp_path / "another.py")
    done = certify_with(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "|device - network| <=" in done.stdout
