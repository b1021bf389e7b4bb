"""Activations: Relu, Clip, LeakyRelu, PRelu, Elu, HardSigmoid, Tanh, Sigmoid and Softsign.

HardTanh and ReLU6 are Clip in ONNX, or Min and Max with a constant. HardSigmoid is an affine map,
folded like any other, and a Clip. What is no layer of its own (a Clip without limits) leaves no
trace. Some exporters write Softsign out as x / (1 + |x|).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np

from qdeploy.importer.elements import LARGEST
from qdeploy.importer.operation import Family, Operation
from qdeploy.importer.shapes import broadcast_shape
from qdeploy.importer.values import (
    UNCHANGED,
    ActivationDraft,
    Affine,
    Constant,
    Magnitude,
    Signal,
    Step,
    Value,
    constant_of,
    settle,
    with_affine,
)
from qdeploy.ir import FractionArray, exact

_LIMITS_ARE_INPUTS = 11
"""Since this opset Clip takes its limits as inputs."""

_LARGEST_FLOAT = LARGEST["tensor(float)"]
"""What Clip had for a limit that is not given, before they were inputs: whatever its type."""


def _activation(op: Operation, name: str, parameters: Mapping[str, FractionArray]) -> Signal:
    return _activated(op, _signal(op), name, parameters)


def _activated(
    op: Operation, signal: Signal, name: str, parameters: Mapping[str, FractionArray]
) -> Signal:
    layer = ActivationDraft(name, parameters, signal.size, settle(signal), op.output, (op.step,))
    return Signal(signal.shape, op.output, layer)


def _signal(op: Operation) -> Signal:
    value = op.operand(0)
    if isinstance(value, Constant):
        raise op.refusal(
            f"operator {op.op_type!r} works on a constant", "simplify the model before the export"
        )
    return value


def _relu(op: Operation) -> Value:
    value = op.operand(0)
    if isinstance(value, Constant):
        values = exact(op.real(value, "the input").array)
        return constant_of(np.asarray(values * (values > 0), dtype=object), op.output)
    return _activation(op, "relu", {})


def _tanh(op: Operation) -> Value:
    return _activation(op, "tanh", {})


def _sigmoid(op: Operation) -> Value:
    return _activation(op, "sigmoid", {})


def _softsign(op: Operation) -> Value:
    return _activation(op, "softsign", {})


def _abs(op: Operation) -> Value:
    return Magnitude(_signal(op))


def softsign_written_out(op: Operation, x: Signal, below: Magnitude) -> Signal:
    """Return what `Div` makes of x / (shift + |x|): the Softsign of x / shift."""
    shift = below.shift
    if shift is None or not below.of.same_values(x) or min(shift.tolist()) <= 0:
        raise op.half_a_softsign()
    x = _beside(op, x, below.of.shape)
    inverse = np.asarray(Fraction(1) / shift, dtype=object)
    return _activated(op, with_affine(x, UNCHANGED.then(Affine(inverse)), op.step), "softsign", {})


def _elu(op: Operation) -> Value:
    alpha = op.fraction("alpha", 1.0)
    if alpha < 0:
        raise op.refusal(
            f"attribute 'alpha' of operator 'Elu' is {float(alpha)}, which makes the curve fall",
            "train with alpha >= 0",
        )
    return _activation(op, "elu", {"alpha": exact([alpha])}) if alpha else _relu(op)


def _leaky_relu(op: Operation) -> Value:
    return _leaky(op, exact([op.fraction("alpha", float(np.float32(0.01)))]))


def _prelu(op: Operation) -> Value:
    signal, slope = _signal(op), op.reals(1, "the slope")
    if broadcast_shape(op, signal.shape, slope.shape) != signal.shape:
        raise op.refusal(
            f"the slope {slope.name!r} of shape {list(slope.shape)} enlarges "
            f"a tensor of shape {list(signal.shape)}",
            "export with batch size 1 and a slope that broadcasts to the tensor",
        )
    slopes = exact(np.broadcast_to(slope.array, signal.shape).ravel())
    return _leaky(op, exact(slopes[:1]) if all(v == slopes[0] for v in slopes) else slopes)


def _leaky(op: Operation, slope: FractionArray) -> Value:
    return _activation(op, "leaky_relu", {"slope": slope}) if np.any(slope != 0) else _relu(op)


def _clip(op: Operation) -> Value:
    limits: dict[str, Fraction] = {}
    for index, (side, name) in enumerate((("lo", "min"), ("hi", "max")), 1):
        limit = _limit(op, index, name)
        if limit is not None:
            limits[side] = limit
    return _clipped(op, _signal(op), limits)


def _limit(op: Operation, index: int, name: str) -> Fraction | None:
    """Return one limit of a Clip, None where there is none."""
    if op.opset < _LIMITS_ARE_INPUTS:
        default = float(-_LARGEST_FLOAT if name == "min" else _LARGEST_FLOAT)
        value = op.attributes.get(name, default)
        if not isinstance(value, float) or math.isnan(value):
            raise op.bad_attribute(name, "a number")
        return _within_type(op, value)
    if not op.has(index):
        return None
    stored = op.constant(index, f"the {name}imum")
    if stored.shape not in ((), (1,)):
        raise op.refusal(
            f"the {name}imum {stored.name!r} of operator 'Clip' is no single number",
            "export it as a scalar",
        )
    return _number(op, stored)


def _within_type(op: Operation, value: float | Fraction) -> Fraction:
    """Return a limit that may be infinite as the last number of the tensor's type."""
    largest = LARGEST[op.types[0]]
    if isinstance(value, float) and math.isinf(value):
        return largest if value > 0 else -largest
    return Fraction(value)


def _max(op: Operation) -> Value:
    return _beyond_constants(op, "lo", max)


def _min(op: Operation) -> Value:
    return _beyond_constants(op, "hi", min)


def _beyond_constants(
    op: Operation, side: str, strictest: Callable[[Iterable[Fraction]], Fraction]
) -> Value:
    """Translate Max or Min of a signal and constants of one number each: a Clip on one side."""
    operands = [op.operand(index) for index in range(len(op.operands))]
    signals = [value for value in operands if isinstance(value, Signal)]
    if len(signals) != 1:
        raise op.refusal(
            f"operator {op.op_type!r} compares {len(signals)} tensors that depend on the input",
            "only the comparison of one such tensor with constants is read, which is a Clip",
        )
    signal, constants = signals[0], [v for v in operands if isinstance(v, Constant)]
    limits = [_number(op, constant) for constant in constants]
    for constant in constants:
        signal = _beside(op, signal, constant.shape)
    return _clipped(op, signal, {side: strictest(limits)} if limits else {})


def _beside(op: Operation, signal: Signal, other: tuple[int, ...]) -> Signal:
    """Return the signal in the shape that it and another tensor broadcast to, as large as it is."""
    shape = broadcast_shape(op, signal.shape, other)
    if prod(shape) != signal.size:
        raise op.refusal(
            f"operator {op.op_type!r} enlarges a tensor of shape {list(signal.shape)} "
            f"to {list(shape)}",
            "export with batch size 1 and operands that broadcast to the tensor",
        )
    return replace(signal, shape=shape)


def _number(op: Operation, stored: Constant) -> Fraction:
    """Return the one number a constant holds, or holds everywhere; infinities end a range."""
    op.require_reals(stored, "the constant")
    values = stored.array.ravel()
    if values.dtype.kind == "f" and bool(np.any(np.isnan(values))):
        op.real(stored, "the constant")
    if values.size == 0 or not bool(np.all(values == values[0])):
        raise op.refusal(
            f"the constant {stored.name!r} of operator {op.op_type!r} is no single number",
            "export it as a scalar",
        )
    (value,) = values[:1].tolist()
    return _within_type(op, value)


def _clipped(op: Operation, signal: Signal, limits: Mapping[str, Fraction]) -> Value:
    """Return the signal between `limits`; one at the end of its type's range limits nothing."""
    largest = LARGEST[op.types[0]]
    low, high = limits.get("lo", -largest), limits.get("hi", largest)
    if low >= high:
        raise op.refusal(
            f"operator {op.op_type!r} clips from {float(low)} to {float(high)}, "
            "which leaves a constant",
            "correct the limits and export anew",
        )
    limits = {"lo": low} if low > -largest else {}
    limits |= {"hi": high} if high < largest else {}
    if not limits:
        return replace(signal, tensor=op.output)
    below = signal.layer
    if isinstance(below, ActivationDraft) and signal.pending.is_identity:
        both = _intersection(below, limits)
        if both:
            return _clip_layer(op, signal, both, below)
    return _clip_layer(op, signal, limits, None)


def _intersection(below: ActivationDraft, limits: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Return the limits that this clip and the relu or clip `below` it come to; none: no such."""
    if below.op not in ("relu", "clip"):
        return {}
    first = {name: array[0] for name, array in below.parameters.items()}
    if below.op == "relu":
        first = {"lo": Fraction(0)}
    both = {**first, **limits}
    if "lo" in first and "lo" in limits:
        both["lo"] = max(first["lo"], limits["lo"])
    if "hi" in first and "hi" in limits:
        both["hi"] = min(first["hi"], limits["hi"])
    return both if "lo" not in both or "hi" not in both or both["lo"] < both["hi"] else {}


def _clip_layer(
    op: Operation,
    signal: Signal,
    limits: Mapping[str, Fraction],
    joined: ActivationDraft | None,
) -> Signal:
    """Return the clip as a layer, in the place of `joined` where it comes to one with that."""
    below = settle(signal) if joined is None else joined.below
    steps: tuple[Step, ...] = (op.step,) if joined is None else (*joined.steps, op.step)
    relu = dict(limits) == {"lo": Fraction(0)}
    parameters = {} if relu else {name: exact([limit]) for name, limit in limits.items()}
    layer = ActivationDraft(
        "relu" if relu else "clip", parameters, signal.size, below, op.output, steps
    )
    return Signal(signal.shape, op.output, layer)


def _hard_sigmoid(op: Operation) -> Value:
    signal = _signal(op)
    scale = exact([op.fraction("alpha", float(np.float32(0.2)))] * signal.size)
    shift = exact([op.fraction("beta", 0.5)] * signal.size)
    moved = with_affine(signal, Affine().then(Affine(scale, shift)), op.step)
    return _clipped(op, moved, {"lo": Fraction(0), "hi": Fraction(1)})


FAMILY = Family(
    {
        "Abs": _abs,
        "Clip": _clip,
        "Elu": _elu,
        "HardSigmoid": _hard_sigmoid,
        "LeakyRelu": _leaky_relu,
        "Max": _max,
        "Min": _min,
        "PRelu": _prelu,
        "Relu": _relu,
        "Sigmoid": _sigmoid,
        "Softsign": _softsign,
        "Tanh": _tanh,
    }
)
