"""One dense layer in integers: weight and bias codes, output format, shift, clamp, accumulator."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdeploy.diagnostics import InputError
from qdeploy.fixedpoint import MAX_BITS, MAX_FRACTION, Integers, QFormat
from qdeploy.ir import (
    Accumulator,
    Activations,
    FixedArray,
    FixedNode,
    FixedTensor,
    Network,
    Node,
    QuantizeRequest,
    Tensor,
)
from qdeploy.ops import LOOKUP_BITS, accumulator_bound, integer_sums, largest_sum
from qdeploy.quantize.activations import Step, clamp_codes, slope_codes
from qdeploy.quantize.formats import code, smallest_format, word_length
from qdeploy.quantize.parameters import (
    beyond_formats,
    bias_codes,
    check_fit,
    parameter_codes,
    place,
    weight_formats,
)
from qdeploy.quantize.spans import Span, rounded_span, sum_span
from qdeploy.quantize.tables import table_input_format
from qdeploy.quantize.uses import Use

_MARGIN = 2
"""How much further than samples values may go before they saturate."""
_WIDEST = 64
"""Bits of the wider of the two accumulators."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A dense node of the network, and what becomes of its sums."""

    network: Network
    node: Node
    output: Tensor
    use: Use
    known: tuple[Fraction, Fraction] | None
    """What was proven of its sums over the regions, beside their intervals."""
    sampled: bool
    """Whether its format has to hold no more than what was seen of its sums, and as much again."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """A layer's parameters as codes, and the sums over the regions, in steps of 2**-fb."""

    weight: FixedArray
    bias: NDArray[np.int64]
    fb: int
    lo: Integers
    hi: Integers
    seen: Integers
    largest: int
    """Bound on any |partial sum| for every input code, also outside the regions."""


def quantize_dense(layer: Layer, request: QuantizeRequest, source: Span) -> tuple[FixedNode, Span]:
    """Return the layer's integer node, and the codes it puts out.

    Raises:
        InputError: a parameter, the exact output or every accumulator is too small for it.
    """
    _check_parameters(layer, request)
    refusal = ""
    with beyond_formats(f"layer {_title(layer)}", place(layer.network, layer.node)):
        for weight_format in _weight_formats(layer, request):
            built = _build(layer, request, source, weight_format)
            if not isinstance(built, str):
                return built
            refusal = refusal or built
    raise InputError(
        f"the sums of layer {_title(layer)} {refusal}",
        where=place(layer.network, layer.node),
        fix="use fewer --bits, or give --weights, --activations or --input-format "
        "fewer fraction bits",
    )


def _title(layer: Layer) -> str:
    return layer.node.source or layer.node.name


def _check_parameters(layer: Layer, request: QuantizeRequest) -> None:
    for parameter, fmt in (("weight", request.weights), ("bias", request.biases)):
        if fmt is not None:
            check_fit(layer.network, layer.node, parameter, fmt, request.quantizer)


def _weight_formats(layer: Layer, request: QuantizeRequest) -> Iterable[QFormat]:
    if request.weights is not None:
        return (request.weights,)
    return weight_formats(layer.node.parameters["weight"], request.bits, request.quantizer)


def _build(
    layer: Layer, request: QuantizeRequest, source: Span, weight_format: QFormat
) -> tuple[FixedNode, Span] | str:
    """Return the layer with weights of this format, or why there is no accumulator for it."""
    sums = _sums(layer, request, source, weight_format)
    if isinstance(sums, str):
        return sums
    fmt = _output_format(layer, request, sums)
    shift = sums.fb - fmt.fb
    bound = accumulator_bound(sums.largest, shift, request.rounding)
    if bound >> (_WIDEST - 1):
        return _too_wide(bound)
    clamp = clamp_codes(_clamping(layer), layer.use.clamp, fmt, request.rounding)
    node = FixedNode(
        layer.node.name,
        "dense",
        layer.node.inputs,
        layer.output.id,
        {"weight": sums.weight, "bias": _stored(sums.bias, sums.fb, bound)},
        {"shift": shift, "clamp_lo": clamp[0], "clamp_hi": clamp[1]},
        Accumulator(_width(bound), sums.fb, bound),
    )
    target = FixedTensor(layer.output, fmt, request.rounding)
    return node, rounded_span(target, (sums.lo, sums.hi, sums.seen), shift, clamp)


def _sums(
    layer: Layer, request: QuantizeRequest, source: Span, weight_format: QFormat
) -> _Sums | str:
    fb = weight_format.fb + source.tensor.format.fb
    if abs(fb) > MAX_FRACTION:
        return f"have {fb} fraction bits, {MAX_FRACTION} either way are possible"
    parameters, mode = layer.node.parameters, request.quantizer
    weight = parameter_codes(parameters["weight"], weight_format.fb, mode).astype(np.int64)
    wide_bias = bias_codes(parameters["bias"], fb, request.biases, mode)
    largest = largest_sum(weight, wide_bias, source.magnitude)
    if largest >> (_WIDEST - 1):
        return _too_wide(largest)
    bias = wide_bias.astype(np.int64)
    lo, hi = sum_span(source, weight, bias)
    seen = integer_sums(source.seen, weight, bias)
    return _Sums(FixedArray(weight, weight_format), bias, fb, lo, hi, seen, largest)


def _too_wide(bound: int) -> str:
    return f"need {1 + bound.bit_length()} bits, an accumulator has {_WIDEST} at most"


def _width(bound: int) -> int:
    return _WIDEST if bound >> 31 else 32


def _stored(bias: NDArray[np.int64], fb: int, bound: int) -> FixedArray:
    """Biases live in the accumulator: its scale and, in memory, its width."""
    return FixedArray(bias, QFormat(_width(bound) - fb, fb))


def _output_format(layer: Layer, request: QuantizeRequest, sums: _Sums) -> QFormat:
    curve, given = layer.use.smooth, request.activations
    if isinstance(given, QFormat):
        return given
    step = Fraction(1, 1 << sums.fb) if sums.fb >= 0 else Fraction(1 << -sums.fb)
    lo, hi = int(sums.lo.min()) * step, int(sums.hi.max()) * step
    if layer.known is not None:
        lo = max(lo, layer.known[0])
        hi = max(min(hi, layer.known[1]), lo)
    if layer.sampled:
        lo = max(lo, _MARGIN * min(int(sums.seen.min()), 0) * step)
        hi = max(min(hi, _MARGIN * max(int(sums.seen.max()), 0) * step), lo)
    lo, hi = layer.use.held(lo, hi)
    if given is Activations.EXACT:
        return _exact_format(layer, request, sums.fb, (lo, hi))
    if curve is not None:
        return table_input_format(curve, lo, hi, request.bits, request.rounding, sums.fb)
    bits = min(request.bits, LOOKUP_BITS) if layer.use.looked_up else request.bits
    return smallest_format(lo, hi, bits, request.rounding, sums.fb)


def _clamping(layer: Layer) -> Step:
    """Return the folded activation, for messages; the layer itself where there is none."""
    return Step(layer.network, layer.use.clamp or layer.node)


def _exact_format(
    layer: Layer, request: QuantizeRequest, fb: int, span: tuple[Fraction, Fraction]
) -> QFormat:
    """Return the format in which a sum over the regions is a code as it stands.

    What a leaky ReLU will multiply gets as many fraction bits more as its slopes have, so that no
    product is rounded either.

    Raises:
        InputError: it is wider than a tensor may be.
    """
    reader = layer.use.reader
    if reader is not None and reader.op == "leaky_relu":
        fb += slope_codes(Step(layer.network, reader), request).format.fb
    lo, hi = (code(v, fb, request.rounding) for v in span)
    bits = max(word_length(lo, hi), 2)
    if bits > MAX_BITS:
        raise InputError(
            f"the exact output of layer {_title(layer)} needs {bits} bits, {MAX_BITS} are possible",
            where=place(layer.network, layer.node),
            fix="give --weights or --input-format fewer fraction bits, or use --activations auto",
        )
    return QFormat(bits - fb, fb)
