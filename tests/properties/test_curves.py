"""Enclosures hold the true value, of the curves whose formula is written here once again.

The true values come from `decimal` with 60 digits (exp and quotients correctly rounded there). What
is promised of every curve, whatever its formula, is tried in tests/contracts/test_curves.py.
"""

from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdeploy.ir import Node, exact
from qdeploy.ops import known_ops
from qdeploy.ops._doubles import _DOUBLES, doubles
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


def test_parameters_become_doubles_once_and_are_forgotten_with_them():
    parameter = exact([Fraction(1, 3), 2])
    first = doubles(parameter)
    assert first.tolist() == [1 / 3, 2.0]
    assert doubles(parameter) is first
    assert doubles(exact([Fraction(1, 3), 2])) is not first
    kept = len(_DOUBLES)
    del parameter
    assert len(_DOUBLES) == kept - 1
