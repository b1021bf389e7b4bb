"""Fixed point <IB,FB>: formats, rounding and saturation over exact integers.

Every function here is exact: no intermediate result is ever rounded by floating point.
The C twin of `round_shift` is `qd_round_shift_*` in firmware/, tested bit for bit against it.
"""

from qdeploy.fixedpoint.formats import (
    MAX_BITS,
    MAX_FRACTION,
    QFormat,
    parse_format,
    smallest_integer_bits,
)
from qdeploy.fixedpoint.rounding import (
    Integers,
    Rounding,
    encode,
    round_fraction,
    round_ratio,
    round_shift,
    rounding_error,
    saturate,
)

__all__ = [
    "MAX_BITS",
    "MAX_FRACTION",
    "Integers",
    "QFormat",
    "Rounding",
    "encode",
    "parse_format",
    "round_fraction",
    "round_ratio",
    "round_shift",
    "rounding_error",
    "saturate",
    "smallest_integer_bits",
]
