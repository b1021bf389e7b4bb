"""Weights and biases as codes: rounded once from their exact values, and never saturated."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from qdeploy.diagnostics import InputError, Where
from qdeploy.fixedpoint import MAX_FRACTION, Integers, QFormat, Rounding, round_ratio
from qdeploy.ir import Derived, FractionArray, Network, Node
from qdeploy.ops import extremes
from qdeploy.quantize.formats import smallest_format, word_length

_CODES: Derived[Integers] = Derived()


def parameter_codes(values: FractionArray, fb: int, mode: Rounding) -> Integers:
    """Return every value in steps of 2**-fb, rounded; Python integers of any size."""
    return _CODES.get(values, (fb, mode), lambda: _codes(values, fb, mode))


def _codes(values: FractionArray, fb: int, mode: Rounding) -> Integers:
    up, down = max(fb, 0), max(-fb, 0)
    pairs = (v.as_integer_ratio() for v in values.ravel().tolist())
    codes = np.empty(values.size, dtype=object)
    codes[:] = [round_ratio(n << up, d << down, mode) for n, d in pairs]
    codes.flags.writeable = False
    return codes.reshape(values.shape)


def weight_formats(values: FractionArray, bits: int, mode: Rounding) -> Iterator[QFormat]:
    """Yield the formats `bits` wide that hold the values, finest first.

    The finest is the best unless the layer's accumulator cannot be wide enough for it; the
    last one is so coarse that hardly a weight is left.

    Raises:
        OverflowError: the values lie beyond every format.
    """
    best = smallest_format(*extremes(values), bits, mode)
    for fb in range(best.fb, max(best.fb - 64, -MAX_FRACTION - 1), -1):
        yield QFormat(bits - fb, fb)


def bias_codes(values: FractionArray, fb: int, given: QFormat | None, mode: Rounding) -> Integers:
    """Return biases in steps of the accumulator's 2**-fb, rounded once, to the coarser grid."""
    if given is None or given.fb >= fb:
        return parameter_codes(values, fb, mode)
    return np.asarray(parameter_codes(values, given.fb, mode) * (1 << (fb - given.fb)))


def check_fit(network: Network, node: Node, parameter: str, fmt: QFormat, mode: Rounding) -> None:
    """Refuse a parameter with a value that, rounded, is no code of `fmt`.

    Raises:
        InputError: names the worst value and the IB that would hold the parameter.
    """
    values = node.parameters[parameter]
    codes = parameter_codes(values, fmt.fb, mode).ravel().tolist()
    if not codes or (fmt.raw_min <= min(codes) and max(codes) <= fmt.raw_max):
        return
    worst = max(range(len(codes)), key=lambda i: abs(2 * codes[i] + 1))
    index = ", ".join(str(i) for i in np.unravel_index(worst, values.shape))
    needed = word_length(min(codes), max(codes)) - fmt.fb
    raise InputError(
        f"{parameter}[{index}] = {show(values.ravel()[worst])} does not fit {fmt}, "
        f"which holds {show(fmt.min)} to {show(fmt.max)}",
        where=place(network, node),
        fix=f"IB = {needed} would hold every {parameter} of this layer: "
        f"give {_OPTION[parameter]} {needed}.{fmt.fb}",
    )


_OPTION = {"weight": "--weights", "bias": "--biases"}


@contextmanager
def beyond_formats(what: str, where: Where) -> Iterator[None]:
    """Turn the OverflowError of a range no format holds into an error that names it."""
    try:
        yield
    except OverflowError as error:
        raise InputError(
            f"{what} cannot be fixed point: {error}",
            where=where,
            fix="rescale the model so that its values come near 1",
        ) from error


def place(network: Network, node: Node) -> Where:
    """Return where in the user's model `node` stands."""
    return Where(network.source.name, f"node {node.source or node.name}")


def show(value: Fraction) -> str:
    """Return a rational as a person reads it; also one beyond the doubles."""
    try:
        return f"{float(value):.12g}"
    except OverflowError:
        digits = value.numerator.bit_length() - value.denominator.bit_length()
        return f"about {'-' if value < 0 else ''}2^{digits}"
