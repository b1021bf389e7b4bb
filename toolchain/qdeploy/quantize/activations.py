"""Activations that are nodes of their own: formats, and the codes they put out."""

from dataclasses import dataclass

import numpy as np

from qdeploy.diagnostics import InputError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import (
    Activations,
    FixedArray,
    FixedNode,
    FixedTensor,
    FractionArray,
    Network,
    Node,
    QuantizeRequest,
)
from qdeploy.ops import LOOKUP_BITS, Smooth
from qdeploy.quantize.formats import code, smallest_format, word_length
from qdeploy.quantize.parameters import beyond_formats, parameter_codes, place
from qdeploy.quantize.spans import Span, node_span
from qdeploy.quantize.tables import table_node, table_output_format
from qdeploy.quantize.uses import CLAMPS, limits, smooth_curve

_SLOPE_BITS = 16


@dataclass(frozen=True, slots=True)
class Step:
    """An activation of the network."""

    network: Network
    node: Node
    prepared: bool = False
    """Whether a dense layer writes what it reads, for it alone."""

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.node.op} {self.node.source or self.node.name}"

    def refusal(self, what: str, fix: str) -> InputError:
        """Return the error that says `what` about it."""
        return InputError(f"{self.title} {what}", where=place(self.network, self.node), fix=fix)


def quantize_activation(
    step: Step, request: QuantizeRequest, source: Span
) -> tuple[FixedNode, Span]:
    """Return the activation's integer node, and the codes it puts out.

    Raises:
        InputError: the formats do not allow it, by name.
    """
    curve = smooth_curve(step.node)
    if step.node.op not in CLAMPS:
        _check_readable(step, source.tensor.format)
    if curve is not None:
        return _table(step, curve, request, source)
    like = source.tensor
    target = FixedTensor(step.network.tensor(step.node.output), like.format, request.rounding)
    if step.node.op == "leaky_relu":
        return _leaky(step, request, source, target)
    target = FixedTensor(target.tensor, like.format, like.rounding)
    integers = {}
    if step.node.op == "clip":
        lo, hi = clamp_codes(step, step.node, like.format, like.rounding)
        integers = {"clamp_lo": lo, "clamp_hi": hi}
    node = FixedNode(step.node.name, step.node.op, step.node.inputs, step.node.output, {}, integers)
    return node, node_span(node, source, target)


def clamp_codes(step: Step, clamp: Node | None, fmt: QFormat, mode: Rounding) -> tuple[int, int]:
    """Return the codes that a relu or clip leaves of a format.

    Rounding is monotone, so sat(round(clip(v))) = clip(round(v), these ends).

    Raises:
        InputError: the format holds nothing of the clip's range.
    """
    low, high = limits(clamp)
    lo = fmt.raw_min if low is None else max(fmt.raw_min, code(low, fmt.fb, mode))
    hi = fmt.raw_max if high is None else min(fmt.raw_max, code(high, fmt.fb, mode))
    if lo <= hi:
        return lo, hi
    raise step.refusal(
        f"clips to a range outside {fmt}, which holds {float(fmt.min):g} to {float(fmt.max):g}",
        f"give --activations or --input-format an IB of at least {word_length(lo, hi) - fmt.fb}",
    )


def _check_readable(step: Step, fmt: QFormat) -> None:
    """Refuse codes of which there are too many to try each, as a proof does."""
    if fmt.bits > LOOKUP_BITS:
        raise step.refusal(
            f"reads codes of {fmt.bits} bits; {LOOKUP_BITS} are possible",
            f"give --activations or --input-format at most {LOOKUP_BITS} bits, "
            f"or use --bits {LOOKUP_BITS}",
        )


def _table(
    step: Step, curve: Smooth, request: QuantizeRequest, source: Span
) -> tuple[FixedNode, Span]:
    if request.activations is Activations.EXACT:
        raise step.refusal(
            "has no exact codes: its values are irrational",
            "use --activations auto, or give a format",
        )
    target = FixedTensor(
        step.network.tensor(step.node.output),
        _table_format(curve, request, source),
        request.rounding,
    )
    node = table_node(curve, step.node, source.tensor, target)
    return node, node_span(node, source, target)


def _table_format(curve: Smooth, request: QuantizeRequest, source: Span) -> QFormat:
    if isinstance(request.activations, QFormat):
        return request.activations
    step = source.tensor.format.step
    ends = int(source.lo.min()) * step, int(source.hi.max()) * step
    return table_output_format(curve, *ends, request.bits, request.rounding)


def slope_codes(step: Step, request: QuantizeRequest) -> FixedArray:
    """Return the slopes of a leaky ReLU: as wide as weights are, 16 bits at most, FB >= 0.

    Raises:
        InputError: a slope is too large for that.
    """
    values = step.node.parameters["slope"]
    with beyond_formats(step.title, place(step.network, step.node)):
        fmt = _slope_format(step, request, values)
    raw = parameter_codes(values, fmt.fb, request.quantizer)
    # The same slopes, and smaller products; slopes that have become zeros end with one bit.
    while fmt.fb > 0 and fmt.bits > 1 and not np.any(raw % 2):
        raw, fmt = raw // 2, QFormat(fmt.ib, fmt.fb - 1)
    return FixedArray(raw.astype(np.int64), fmt)


def _slope_format(step: Step, request: QuantizeRequest, values: FractionArray) -> QFormat:
    least, greatest = min(values.tolist()), max(values.tolist())
    mode, given = request.quantizer, request.weights
    if given is not None and given.bits <= _SLOPE_BITS and given.fb >= 0:
        needed = word_length(code(least, given.fb, mode), code(greatest, given.fb, mode))
        if needed <= given.bits:
            return given
    chosen = smallest_format(least, greatest, min(request.bits, _SLOPE_BITS), mode)
    if chosen.fb >= 0:
        return chosen
    bits = word_length(code(least, 0, mode), code(greatest, 0, mode))
    if bits > _SLOPE_BITS:
        raise step.refusal(
            f"has slopes that need {bits} bits; {_SLOPE_BITS} are possible",
            "rescale the model so that its slopes come near 1",
        )
    return QFormat(bits, 0)


def _leaky(
    step: Step, request: QuantizeRequest, source: Span, target: FixedTensor
) -> tuple[FixedNode, Span]:
    slope = slope_codes(step, request)
    if request.activations is Activations.EXACT and not (
        step.prepared or source.least >= 0 or slope.format.fb == 0
    ):
        raise step.refusal(
            "has products with more fraction bits than its input",
            "use --activations auto, or put a dense layer before it",
        )
    node = FixedNode(
        step.node.name, step.node.op, step.node.inputs, step.node.output, {"slope": slope}
    )
    return node, node_span(node, source, target)
