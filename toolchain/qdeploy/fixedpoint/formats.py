"""The format <IB,FB>: two's complement, IB integer bits (sign included), FB fraction bits."""

import re
from dataclasses import dataclass
from fractions import Fraction

from qdeploy.diagnostics import UsageError

MAX_BITS = 32
"""Widest tensor the device stores; accumulators (and biases, which live there) may have 64."""

MAX_FRACTION = 256
"""Largest |FB| of any format."""

_SYNTAX = re.compile(r"(-?\d{1,3})\.(-?\d{1,3})")
_ACCUMULATOR_BITS = 64


@dataclass(frozen=True, slots=True, order=True)
class QFormat:
    """Two's complement with `ib` integer bits (sign included) and `fb` fraction bits.

    The value of code `raw` is `raw * 2**-fb`; `ib <= 0` and `fb < 0` are legal.
    """

    ib: int
    fb: int

    def __post_init__(self) -> None:
        if not 1 <= self.ib + self.fb <= _ACCUMULATOR_BITS:
            raise ValueError(f"word length {self.ib + self.fb} is not in 1..{_ACCUMULATOR_BITS}")
        if abs(self.fb) > MAX_FRACTION:
            raise ValueError(f"fraction bits {self.fb} are beyond +-{MAX_FRACTION}")

    @property
    def bits(self) -> int:
        """Word length IB + FB."""
        return self.ib + self.fb

    @property
    def container_bits(self) -> int:
        """Width of the C integer that holds a code: 8, 16, 32 or 64."""
        return next(width for width in (8, 16, 32, 64) if self.bits <= width)

    @property
    def step(self) -> Fraction:
        """Distance between neighbouring codes, 2**-fb."""
        return Fraction(1, 1 << self.fb) if self.fb >= 0 else Fraction(1 << -self.fb)

    @property
    def raw_min(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1))

    @property
    def raw_max(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1

    @property
    def min(self) -> Fraction:
        """Smallest value."""
        return self.raw_min * self.step

    @property
    def max(self) -> Fraction:
        """Largest value."""
        return self.raw_max * self.step

    def __str__(self) -> str:
        return f"<{self.ib},{self.fb}>"


def parse_format(text: str, option: str) -> QFormat:
    """Read `IB.FB` as a user writes it, for instance `8.3`, `-1.9` or `12.-4`.

    Raises:
        UsageError: not of that form, or a word length outside 1..32; `option` is named.
    """
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{option} {text!r} is not a format IB.FB", fix=f"write for example {option} 4.12"
        )
    ib, fb = int(match[1]), int(match[2])
    if not 1 <= ib + fb <= MAX_BITS or abs(fb) > MAX_FRACTION:
        raise UsageError(
            f"{option} {text!r} has a word length of {ib + fb} bits; 1 to {MAX_BITS} are possible",
            fix=f"choose IB and FB with 1 <= IB + FB <= {MAX_BITS} and |FB| <= {MAX_FRACTION}",
        )
    return QFormat(ib, fb)


def smallest_integer_bits(lo: Fraction, hi: Fraction) -> int:
    """Return the smallest IB with -2**(IB-1) <= lo and hi < 2**(IB-1).

    Zero-valued ranges get the smallest IB the format's limits leave sensible, 1 - 64.
    """
    ib = -63
    while not (-_power_of_two(ib - 1) <= lo and hi < _power_of_two(ib - 1)):
        ib += 1
    return ib


def _power_of_two(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)
