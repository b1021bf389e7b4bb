"""Laws of the activations' curves: enclosures hold the true value, and the stated facts are facts.

The true values come from `decimal` with 60 digits (exp and quotients correctly rounded there).
"""

import math
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy.ir import Node, exact
from qdeploy.ops import Activation, PiecewiseLinear, Smooth, known_ops
from qdeploy.ops._doubles import _CONVERTED, doubles
from qdeploy.ops._exponential import exp_minus

DIGITS = Context(prec=60)
LAW = settings(max_examples=40, deadline=None)
ELUS = (Fraction(1), Fraction(1, 3), Fraction(5, 2), Fraction(1000, 7))


def node(op, **parameters):
    arrays = {name: exact(np.atleast_1d(value)) for name, value in parameters.items()}
    return Node("a", op, ("x",), "y", arrays)


SMOOTH = {
    "tanh": node("tanh"),
    "sigmoid": node("sigmoid"),
    "softsign": node("softsign"),
    **{f"elu {alpha}": node("elu", alpha=alpha) for alpha in ELUS},
}
PIECEWISE = {
    "relu": node("relu"),
    "relu6": node("clip", lo=0, hi=6),
    "from below": node("clip", lo=Fraction(-1, 3)),
    "from above": node("clip", hi=Fraction(-1, 3)),
    "leaky": node("leaky_relu", slope=Fraction(1, 100)),
    "rising back": node("leaky_relu", slope=Fraction(-7, 3)),
    "steep": node("leaky_relu", slope=3),
}


def curve(activation):
    return known_ops()[activation.op].curve(activation)


def decimal(v):
    return DIGITS.divide(Decimal(v.numerator), Decimal(v.denominator))


def real(v):
    return Fraction(v)


def exp(v):
    """exp of a fraction, within 1e-55 of its size."""
    return real(DIGITS.exp(decimal(v)))


def true_value(activation, t):
    if activation.op == "softsign":
        return t / (1 + abs(t))
    if activation.op == "elu":
        return t if t >= 0 else activation.parameters["alpha"][0] * (exp(t) - 1)
    double = 2 if activation.op == "tanh" else 1
    small = exp(-abs(double * t)) if abs(t) < 10**6 else Fraction(0)
    sigmoid = (1 if t >= 0 else small) / (1 + small)
    return 2 * sigmoid - 1 if activation.op == "tanh" else sigmoid


def true_slope(activation, t):
    if activation.op == "softsign":
        return 1 / (1 + abs(t)) ** 2
    if activation.op == "elu":
        return Fraction(1) if t > 0 else activation.parameters["alpha"][0] * exp(t)
    double = 2 if activation.op == "tanh" else 1
    small = exp(-abs(double * t)) if abs(t) < 10**6 else Fraction(0)
    return double**2 * small / (1 + small) ** 2


def check_enclosure(ends, truth, bits, widest):
    lo, hi = (int(end[0]) for end in ends)
    slack = Fraction(2**bits, 10**50)  # what the decimals may be wrong by
    assert lo - slack <= truth * 2**bits <= hi + slack
    assert 0 <= hi - lo <= widest


ARGUMENTS = st.one_of(
    st.integers(-(1 << 15), 1 << 15), st.integers(-40, 40), st.integers(-(1 << 400), 1 << 400)
)


@pytest.mark.parametrize("name", SMOOTH)
@given(t=ARGUMENTS, fb=st.integers(-4, 140), bits=st.integers(1, 120))
@LAW
def test_smooth_curves_enclose_value_and_slope(name, t, fb, bits):
    activation = SMOOTH[name]
    x = Fraction(t) / Fraction(2) ** fb
    if activation.op == "elu" and x < -(10**6):
        return
    facts, at = curve(activation), np.array([t], dtype=object)
    check_enclosure(facts.value(at, fb, bits), true_value(activation, x), bits, 4)
    slopes = facts.slope(at, fb, bits)
    widest = 4
    if activation.op == "elu" and t == 0:  # from alpha on the left to 1 on the right
        alpha = activation.parameters["alpha"][0]
        check_enclosure(slopes, Fraction(1), bits, (int(abs(alpha - 1)) + 1 << bits) + widest)
        widest = int(slopes[1][0] - slopes[0][0])
    check_enclosure(slopes, true_slope(activation, x), bits, widest)


@given(u=st.integers(0, 1 << 90), fb=st.integers(0, 80), bits=st.integers(0, 128))
@LAW
def test_the_exponential_is_enclosed_within_two_units(u, fb, bits):
    x = Fraction(u, 1 << fb)
    truth = exp(-x) if x < 10**6 else Fraction(0)
    check_enclosure(exp_minus(np.array([u], dtype=object), fb, bits), truth, bits, 2)


@pytest.mark.parametrize("name", SMOOTH)
def test_every_16_bit_code_is_enclosed(name):
    """Against doubles, which are off by less than 2**-45 here; widths and monotony exactly."""
    activation = SMOOTH[name]
    codes = np.arange(-(1 << 15), 1 << 15)
    lo, hi = curve(activation).value(codes, 12, 64)
    doubles = known_ops()[activation.op].evaluate(activation, np.ldexp(codes, -12))
    scale = max(1.0, np.abs(doubles).max())
    assert np.abs(np.ldexp(lo.astype(np.float64), -64) - doubles).max() < scale * 2.0**-45
    assert 0 <= min(hi - lo) <= max(hi - lo) <= 4
    assert np.all(hi[1:] >= lo[:-1])
    assert np.all(lo[:-1] <= hi[1:])


@pytest.mark.parametrize("name", SMOOTH)
@given(a=st.integers(1, 1 << 14), width=st.integers(1, 1 << 12), negative=st.booleans())
@LAW
def test_curvature_inflection_and_limits_are_facts(name, a, width, negative):
    """On one side of 0, from slopes at two points; then what is said of the ends."""
    activation = SMOOTH[name]
    facts = curve(activation)
    left, right = (-a - width, -a) if negative else (a, a + width)
    at = np.array([left, right], dtype=object)
    lo, hi = facts.slope(at, 10, 100)
    change = Fraction(int(hi[1] - lo[0]), 1 << 100), Fraction(int(lo[1] - hi[0]), 1 << 100)
    allowed = facts.curvature * Fraction(width, 1 << 10) + Fraction(1, 1 << 90)
    assert -allowed <= change[1] <= change[0] <= allowed
    convex = facts.inflection is None or negative
    assert change[0] >= 0 if convex else change[1] <= 0
    low, high = facts.value(at, 10, 100)
    assert facts.floor <= Fraction(int(high[0]), 1 << 100)
    assert low[0] <= high[1]
    if facts.ceiling is not None:
        assert Fraction(int(low[1]), 1 << 100) <= facts.ceiling
    elif not negative:
        assert low.tolist() == high.tolist() == [v << 90 for v in at.tolist()]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", *(f"elu {alpha}" for alpha in ELUS)])
def test_beyond_its_reach_a_curve_is_all_but_its_limit(name):
    facts = curve(SMOOTH[name])
    ends = np.array([-facts.reach, facts.reach])
    lo, hi = facts.value(ends, 0, 80)
    assert Fraction(int(hi[0]), 1 << 80) - facts.floor <= Fraction(1, 1 << 40)
    if facts.ceiling is not None:
        assert facts.ceiling - Fraction(int(lo[1]), 1 << 80) <= Fraction(1, 1 << 40)


@pytest.mark.parametrize("name", PIECEWISE)
@given(x=st.fractions(-20, 20))
@LAW
def test_pieces_are_the_exact_values(name, x):
    activation = PIECEWISE[name]
    facts = curve(activation)
    assert isinstance(facts, PiecewiseLinear)
    points, slopes = facts.breakpoints[:, 0].tolist(), facts.slopes[:, 0].tolist()
    assert len(slopes) == len(points) + 1
    value = facts.first[0]
    if x <= points[0]:
        value += slopes[0] * (x - points[0])
    for slope, left, right in zip(slopes[1:], points, [*points[1:], None], strict=True):
        value += slope * max((x if right is None else min(x, right)) - left, 0)
    at = exact([[x]])
    lo, hi = known_ops()[activation.op].enclose(activation, at, at)
    assert lo is hi
    assert lo[0, 0] == value


@pytest.mark.parametrize("name", [*PIECEWISE, *SMOOTH])
@given(ends=st.lists(st.fractions(-30, 30), min_size=2, max_size=2), part=st.fractions(0, 1))
@LAW
def test_an_enclosure_of_an_interval_holds_what_lies_between(name, ends, part):
    activation = (PIECEWISE | SMOOTH)[name]
    op = known_ops()[activation.op]
    assert isinstance(op, Activation)
    lo, hi = exact([[min(ends)]]), exact([[max(ends)]])
    inside = exact([[lo[0, 0] + part * (hi[0, 0] - lo[0, 0])]])
    low, high = op.enclose(activation, lo, hi)
    least, most = op.enclose(activation, inside, inside)
    assert low[0, 0] <= least[0, 0] <= most[0, 0] <= high[0, 0]
    double = op.evaluate(activation, inside.astype(np.float64))[0, 0]
    size = max(1.0, abs(double))
    assert math.isclose(float(least[0, 0]), double, abs_tol=1e-12 * size, rel_tol=0)


@given(
    x=st.fractions(-3, 3),
    slopes=st.lists(st.fractions(-2, 2), min_size=2, max_size=2),
)
@LAW
def test_prelu_has_a_slope_an_element(x, slopes):
    activation = node("leaky_relu", slope=np.array(slopes, dtype=object))
    at = exact([[x, x]])
    low, _ = known_ops()["leaky_relu"].enclose(activation, at, at)
    assert low.tolist() == [[x if x >= 0 else x * s for s in slopes]]
    facts = curve(activation)
    assert facts.slopes.tolist() == [slopes, [1, 1]]
    assert isinstance(curve(SMOOTH["tanh"]), Smooth)


def test_parameters_become_doubles_once_and_are_forgotten_with_them():
    parameter = exact([Fraction(1, 3), 2])
    first = doubles(parameter)
    assert first.tolist() == [1 / 3, 2.0]
    assert doubles(parameter) is first
    assert doubles(exact([Fraction(1, 3), 2])) is not first
    kept = len(_CONVERTED)
    del parameter
    assert len(_CONVERTED) == kept - 1
