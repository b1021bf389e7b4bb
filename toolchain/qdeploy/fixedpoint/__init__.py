"""Fixed point <IB,FB>: formats, rounding and saturation over exact integers.

Every function here is exact: no intermediate result is ever rounded by floating point (where
double precision forms sums, in `products`, it does so exactly).
The C twin of `round_shift` is `qd_round_shift_*` in firmware/, tested bit for bit against it.
"""

from qdeploy.fixedpoint.formats import (
    MAX_BITS,
    MAX_FRACTION,
    QFormat,
    parse_format,
    smallest_integer_bits,
)
from qdeploy.fixedpoint.products import (
    DOUBLE_BITS,
    in_doubles,
    integers_only,
    product_in_doubles,
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
    "DOUBLE_BITS",
    "MAX_BITS",
    "MAX_FRACTION",
    "Integers",
    "QFormat",
    "Rounding",
    "encode",
    "in_doubles",
    "integers_only",
    "parse_format",
    "product_in_doubles",
    "round_fraction",
    "round_ratio",
    "round_shift",
    "rounding_error",
    "saturate",
    "smallest_integer_bits",
]
