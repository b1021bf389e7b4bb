"""What a curve promises: of a piecewise linear one the exact value, of a smooth one all it states.

A smooth one is tried at a few thousand places with hundreds of bits.

The enclosures are asked at a precision far beyond any use, which ties value, slope, curvature and
bend together closely; the operator's doubles tie them to what the network computes; and every
coarser enclosure is held against the fine one. Nothing here is shared with what refuses a curve.
"""

from fractions import Fraction

import numpy as np

FB = 70
BITS = 240
STEP = 40
"""A step of 2**-(FB + STEP) is short enough for differences to be derivatives."""
WIDEST = 4
"""Units of an enclosure."""
COARSE = (0, 1, 16, 40, 64, 112)
KNOTS = 1 << 9
HALF_OF_DOUBLES = 2.0**-44


def places(curve):
    """Return (t, fb): evenly spread, half steps, ends of words, and all magnitudes."""
    spread = KNOTS.bit_length() - 2 - (curve.reach - 1).bit_length()
    knots = np.arange(-KNOTS, KNOTS + 1).astype(object)
    words = [s * ((1 << 31) - e) for s in (-1, 1) for e in (0, 1)]
    powers = [s * (1 << k) + e for k in range(100) for s in (-1, 1) for e in (-1, 0, 1)]
    middle = Fraction(0) if curve.inflection is None else curve.inflection
    around = [int(middle * (1 << 60)) + k for k in range(-9, 10)]
    yield knots, spread
    yield 2 * knots + 1, spread + 1
    yield np.array(powers, dtype=object), 62
    yield np.array([*around, *range(-9, 10)], dtype=object), 60
    for fb in (-8, 0, 12, 31):
        yield np.array(words, dtype=object), fb


def violations(curve, double):
    """Return the names of the promises that `curve` breaks; `double` are its values in doubles."""
    t = np.unique(np.concatenate([at << (FB - fb) for at, fb in places(curve)]))
    value, slope = curve.value(t, FB, BITS), curve.slope(t, FB, BITS)
    held = {
        **_enclosing(curve, t, value, slope),
        "double": _near_doubles(t, value, slope, double),
        **_derivatives(curve, t),
        "falls": _rises(value) and (slope[1] >= 0).all(),
        "turns elsewhere": _bends(curve, t, slope),
        **_limits(curve, t, value, slope),
    }
    return {name for name, holds in held.items() if not holds}


def _enclosing(curve, t, value, slope):
    """Narrow, and no coarser enclosure misses the fine one, however the place is written."""
    narrow = _width(value).max() <= WIDEST and _width(slope)[t != 0].max() <= WIDEST
    meet = True
    for at, fb in places(curve):
        where = np.searchsorted(t, at << (FB - fb))
        for bits in COARSE:
            for enclose, fine in ((curve.value, value), (curve.slope, slope)):
                low, high = (end << (BITS - bits) for end in enclose(at, fb, bits))
                meet &= bool(((low <= fine[1][where]) & (high >= fine[0][where])).all())
                loose = (high - low)[at != 0] > WIDEST << (BITS - bits)
                narrow &= not loose.any()
    return {"narrow": narrow, "enclosure": meet}


def _near_doubles(t, value, slope, double):
    x, v, steep = (
        np.ldexp(end.astype(np.float64), -bits)
        for end, bits in ((t, FB), (value[0], BITS), (slope[1], BITS))
    )
    room = HALF_OF_DOUBLES * (np.maximum(1.0, np.abs(v)) + steep * np.abs(x))
    return bool((np.abs(double(x) - v) <= room).all())


def _derivatives(curve, t):
    """Over a tiny step to either side the value moves by its slope, the slope by the curvature."""
    near = t << STEP
    here = [enclose(near, FB + STEP, BITS) for enclose in (curve.value, curve.slope)]
    most = int(curve.curvature * (1 << (BITS - FB - STEP))) + 1
    held = {"slope": True, "curvature": True, "bend": True}
    for side in (-1, 1):
        there = [enclose(near + side, FB + STEP, BITS) for enclose in (curve.value, curve.slope)]
        low, high = (moved << (FB + STEP) for moved in _moved(here[0], there[0], side))
        held["slope"] &= bool(
            (low <= here[1][1] + most).all() and (high >= here[1][0] - most).all()
        )
        low, high = _moved(here[1], there[1], side)
        held["curvature"] &= bool((low <= most).all() and (-high <= most).all())
        convex = np.full(t.shape, fill_value=True)
        if curve.inflection is not None:
            turn = int(curve.inflection * (1 << (FB + STEP)))
            convex = near + (side > 0) <= turn
        held["bend"] &= bool((np.where(convex, high, -low) >= 0).all())
    return held


def _bends(curve, t, slope):
    """From place to place, too: the slope rises up to the inflection and falls from there."""
    if curve.inflection is None:
        return _rises(slope)
    turn = int(curve.inflection * (1 << FB))
    below, above = t <= turn, t >= turn
    low, high = slope
    return _rises((low[below], high[below])) and _rises((low[above][::-1], high[above][::-1]))


def _limits(curve, t, value, slope):
    (low, high), unit = value, 1 << BITS
    top = 0 if curve.ceiling is None else curve.ceiling
    rise = top - curve.floor
    reach = [curve.value(np.array([s * curve.reach], dtype=object), 0, BITS) for s in (-1, 1)]
    near, far = rise / 64, rise / (1 << 30)
    held = {
        "floor": high[0] >= curve.floor * unit and low[0] <= (curve.floor + far) * unit,
        "reach": reach[0][0][0] <= (curve.floor + near) * unit,
        "steepest": curve.steepest(BITS) >= slope[0].max(),
    }
    if curve.ceiling is None:
        right, line = t >= 0, t << (BITS - FB)
        straight = (low <= line) & (line <= high) & (slope[0] <= unit) & (unit <= slope[1])
        return {**held, "straight": straight[right].all()}
    held["ceiling"] = low[-1] <= top * unit and high[-1] >= (top - far) * unit
    held["reach"] &= reach[1][1][0] >= (top - near) * unit
    return held


def _rises(ends):
    low, high = ends
    return bool((high >= np.maximum.accumulate(low)).all())


def _width(ends):
    return ends[1] - ends[0]


def _moved(here, there, side):
    """Enclose the difference of what is to the right and what is to the left."""
    left, right = (here, there) if side > 0 else (there, here)
    return right[0] - left[1], right[1] - left[0]


def piecewise_value(facts, x):
    """Return the exact values [n] that a `PiecewiseLinear` states at x [n], piece by piece."""
    n = len(x)
    points, slopes = (np.broadcast_to(a, (len(a), n)) for a in (facts.breakpoints, facts.slopes))
    value = np.broadcast_to(facts.first, n) + slopes[0] * np.minimum(x - points[0], 0)
    for k, slope in enumerate(slopes[1:]):
        reached = x if k + 1 == len(points) else np.minimum(x, points[k + 1])
        value = value + slope * np.maximum(reached - points[k], 0)
    return value
