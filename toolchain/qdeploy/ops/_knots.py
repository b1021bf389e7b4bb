"""A curve at equally spaced knots, and what its enclosures there leave possible.

Nothing here knows the curve. What is stated of it is refused where it is true of no curve at all
that runs through these enclosures. Between two knots there is a chord, whose slope is the mean of
the slopes between them. So slopes and chords, taken in turns, rise where the curve is convex and
fall where it is concave, and from each to the next they change by half a width's curvature at most.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import Integers

Ends = tuple[Integers, Integers]
"""Lower and upper ends of enclosures, elementwise."""


@dataclass(frozen=True, slots=True)
class Knotted:
    """Enclosures at the knots `places * 2**-fb`, which follow each other, in units of 2**-bits.

    Every method raises ValueError where the enclosures contradict what it says.
    """

    places: Integers
    fb: int
    bits: int
    value: Ends
    slope: Ends

    def are_integers(self) -> None:
        """Each enclosure is one of Python's integers, which never overflow, and is not empty."""
        for what, (lo, hi) in (("value", self.value), ("slope", self.slope)):
            if not all(_are_python_integers(end, self.places.shape) for end in (lo, hi)):
                raise ValueError(f"an enclosure of the {what} is no array of Python integers")
            for at in _first(lo > hi):
                raise ValueError(f"the enclosure of the {what} at {self._place(at)} is empty")

    def never_fall(self) -> None:
        """No value is below one before it, and no slope below 0."""
        (low, high), (_, steep) = self.value, self.slope
        for at in _first(high < np.maximum.accumulate(low)):
            highest = at - 1 - int(np.argmax(low[:at][::-1]))
            raise ValueError(
                f"the curve falls between {self._place(highest)} and {self._place(at)}, "
                "which a Smooth curve never does"
            )
        for at in _first(steep < 0):
            raise ValueError(
                f"the slope at {self._place(at)} is negative, and a Smooth curve never falls"
            )

    def turn_at(self, inflection: Fraction | None) -> None:
        """Convex below the inflection, concave above it; None: convex everywhere."""
        low, high = self._in_turns()
        last = len(self.places) - 1
        before, after = (last, last) if inflection is None else self._around(inflection)
        rising, falling = slice(2 * before + 1), slice(None, 2 * after - 1 if after else None, -1)
        for part, bend in ((rising, "convex up to"), (falling, "concave from")):
            steepest = np.maximum.accumulate(low[part])
            for wrong in _first(high[part] < steepest):
                at = range(len(low))[part][wrong]
                worst = range(len(low))[part][int(np.argmax(low[part][:wrong]))]
                where = "its end" if inflection is None else f"the inflection {_shown(inflection)}"
                raise ValueError(
                    f"value and slope between {self._between(worst, at)} are those of no curve "
                    f"that is {bend} {where}"
                )

    def bend_at_most(self, curvature: Fraction) -> None:
        """Value and slope change no faster than the curvature allows."""
        low, high = self._in_turns()
        most = curvature * Fraction(1, 2) * _power(self.bits + max(-self.fb, 0) - self.fb)
        step = np.maximum(low[1:] - high[:-1], low[:-1] - high[1:])
        for at in _first(step > _down(most)):
            raise ValueError(
                f"value and slope between {self._between(at, at + 1)} contradict each other, "
                f"or the curvature exceeds {_shown(curvature)}"
            )

    def lie_between(self, floor: Fraction, ceiling: Fraction | None) -> None:
        """No value lies beyond a limit; without a ceiling the curve is t itself from 0 on."""
        low, high = self.value
        for at in _first(high < _up(floor * _power(self.bits))):
            raise ValueError(f"the value at {self._place(at)} is below the floor {_shown(floor)}")
        if ceiling is None:
            self._are_straight()
            return
        for at in _first(low > _down(ceiling * _power(self.bits))):
            raise ValueError(
                f"the value at {self._place(at)} is above the ceiling {_shown(ceiling)}"
            )

    def _are_straight(self) -> None:
        finer, unit = self.bits - self.fb, 1 << self.bits
        place = self.places << max(finer, 0)
        low, high = (end << max(-finer, 0) for end in self.value)
        bent = (low > place) | (high < place) | (self.slope[0] > unit) | (self.slope[1] < unit)
        for at in _first(bent & (self.places >= 0)):
            raise ValueError(
                f"without a ceiling a Smooth curve is t itself for t >= 0, and at "
                f"{self._place(at)} this one is not"
            )

    def _in_turns(self) -> Ends:
        """Enclose the slope at each knot and that of the chord to the next, in turns.

        In units of 2**-bits, or of 2**(fb - bits) where the knots are wider apart than 1.
        """
        finer, coarser = max(self.fb, 0), max(-self.fb, 0)
        (low, high), slope = self.value, self.slope
        chord = (low[1:] - high[:-1]) << finer, (high[1:] - low[:-1]) << finer
        turns = []
        for knots, chords in zip(slope, chord, strict=True):
            turn = np.empty(len(knots) + len(chords), dtype=object)
            turn[::2], turn[1::2] = knots << coarser, chords
            turns.append(turn)
        return turns[0], turns[1]

    def _around(self, t: Fraction) -> tuple[int, int]:
        """Return the last knot up to t, and the first from t on; the outermost where none is."""
        scaled, first, last = t * _power(self.fb), int(self.places[0]), int(self.places[-1])
        below, above = _down(scaled), _up(scaled)
        return min(max(below, first), last) - first, min(max(above, first), last) - first

    def _between(self, turn: int, other: int) -> str:
        low, high = min(turn, other), max(turn, other)
        return f"{self._place(low // 2)} and {self._place((high + 1) // 2)}"

    def _place(self, knot: int) -> str:
        return _shown(int(self.places[knot]) / _power(self.fb))


def _first(wrong: NDArray[np.bool_]) -> Iterator[int]:
    """Yield the first place that is wrong, if there is any."""
    if wrong.any():
        yield int(np.argmax(wrong))


def _are_python_integers(end: object, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(end, np.ndarray)
        and end.shape == shape
        and end.dtype == object
        and {type(v) for v in end.tolist()} <= {int}
    )


def _shown(number: Fraction) -> str:
    return f"{float(number):.10g}"


def _down(number: Fraction) -> int:
    return number.numerator // number.denominator


def _up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)
