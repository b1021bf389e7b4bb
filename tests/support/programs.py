"""Random integer programs, wilder than any quantiser makes them.

Containers, word lengths, shifts far beyond the accumulator, one-code clamps and sums that reach
the very end of the accumulator all occur. What `FixedNode` promises about a program holds.
"""

import numpy as np
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import (
    Accumulator,
    FixedArray,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    Tensor,
)

from support.activations import SMOOTH

_WORD_LENGTHS = {8: range(1, 9), 16: range(9, 17), 32: range(17, 33)}


def random_program(seed, *, activated=False):
    """Return a program of one to four layers, the same for the same seed.

    `activated`: half of them are activations other than ReLU.
    """
    rng = np.random.default_rng((seed, 1) if activated else seed)
    layer = _activated if activated else _layer
    tensors = [FixedTensor(Tensor("input", (_size(rng),)), _format(rng), _rounding(rng))]
    reach = [(tensors[0].format.raw_min, tensors[0].format.raw_max)]
    nodes = []
    for index in range(1, int(rng.integers(2, 6))):
        node, tensor, span = layer(rng, index, tensors[-1], reach[-1])
        nodes.append(node)
        tensors.append(tensor)
        reach.append(span)
    return FixedNetwork(
        f"random_{seed}", (tensors[0].id,), (tensors[-1].id,), tuple(tensors), tuple(nodes)
    )


def random_codes(program, count, seed):
    """Return `count` input vectors: the corners of the format first, then uniform codes."""
    rng = np.random.default_rng(seed)
    fmt, size = program.input.format, program.input.tensor.size
    codes = rng.integers(fmt.raw_min, fmt.raw_max, (count, size), dtype=np.int64, endpoint=True)
    codes[0], codes[1], codes[2] = fmt.raw_min, fmt.raw_max, 0
    corners = rng.choice([fmt.raw_min, fmt.raw_max, 0, -1], (count // 4, size))
    codes[3 : 3 + len(corners)] = np.clip(corners, fmt.raw_min, fmt.raw_max)
    return codes


def _layer(rng, index, source, reach):
    if rng.random() < 0.2:
        return _relu(f"relu_{index}", source, reach)
    return _dense(rng, f"dense_{index}", source, reach)


def _activated(rng, index, source, reach):
    if rng.random() < 0.45:
        return _layer(rng, index, source, reach)
    short = source.format.bits <= 16
    op = str(rng.choice(["clip", "leaky_relu", *(SMOOTH if short else ())]))
    if op == "clip":
        return _clip(rng, f"clip_{index}", source, reach)
    if op == "leaky_relu":
        return _leaky(rng, f"leaky_relu_{index}", source)
    return _table(rng, op, f"{op}_{index}", source)


def _clip(rng, name, source, reach):
    tensor = FixedTensor(Tensor(name, source.tensor.shape), source.format, source.rounding)
    low, high = _clamp(rng, source.format)
    limits = {"clamp_lo": low, "clamp_hi": high}
    node = FixedNode(name, "clip", (source.id,), tensor.id, {}, limits)
    return node, tensor, tuple(min(max(v, low), high) for v in reach)


def _leaky(rng, name, source):
    """Slopes of any sign and size, one or one an element."""
    tensor = FixedTensor(Tensor(name, source.tensor.shape), source.format, _rounding(rng))
    bits = int(rng.choice([2, 8, 16]))
    fb = int(rng.choice([0, 3, bits - 1, 15, 40]))
    fmt = QFormat(bits - fb, fb)
    raw = rng.integers(fmt.raw_min, fmt.raw_max, rng.choice([1, source.tensor.size]), endpoint=True)
    if rng.random() < 0.2:
        raw[0] = fmt.raw_min
    node = FixedNode(name, "leaky_relu", (source.id,), tensor.id, {"slope": FixedArray(raw, fmt)})
    return node, tensor, (source.format.raw_min, source.format.raw_max)


def _table(rng, op, name, source):
    """Values in any order, so that neighbours lie as far apart as their format allows."""
    target = _format(rng)
    bits = max(target.bits, int(rng.choice([8, 16, 32])))
    guard = int(rng.integers(0, 12))
    shift = int(rng.integers(max(source.format.bits - 6, 0), source.format.bits, endpoint=True))
    fmt = QFormat(bits - target.fb - guard, target.fb + guard)
    raw = rng.integers(
        fmt.raw_min, fmt.raw_max, (1 << (source.format.bits - shift)) + 1, endpoint=True
    )
    if rng.random() < 0.3:
        raw = rng.choice([fmt.raw_min, fmt.raw_max], raw.shape)
    if rng.random() < 0.5:
        raw = raw >> int(rng.integers(0, bits))
    tensor = FixedTensor(Tensor(name, source.tensor.shape), target, _rounding(rng))
    arrays = {"values": FixedArray(raw, fmt)}
    node = FixedNode(name, op, (source.id,), tensor.id, arrays, {"shift": shift})
    return node, tensor, (target.raw_min, target.raw_max)


def _relu(name, source, reach):
    tensor = FixedTensor(Tensor(name, source.tensor.shape), source.format, source.rounding)
    span = (max(reach[0], 0), max(reach[1], 0))
    return FixedNode(name, "relu", (source.id,), tensor.id), tensor, span


def _dense(rng, name, source, reach):
    largest = max(abs(reach[0]), abs(reach[1]))
    # An int32 sum over codes beyond 2^20 leaves room for tiny weights only: worth a few tries.
    acc_bits = int(rng.choice([32, 64], p=[0.5, 0.5] if largest < 1 << 20 else [0.2, 0.8]))
    limit = (1 << (acc_bits - 1)) - 1
    weight_bits, target = _word_length(rng), _format(rng)
    weight = _weights(rng, weight_bits, (_size(rng), source.tensor.size), limit // max(largest, 1))
    used = [sum(abs(w) for w in row) * largest for row in weight]
    bias = [_bias(rng, u, limit) for u in used]
    bound = max(u + abs(v) for u, v in zip(used, bias, strict=True))
    shift = _shift(rng, acc_bits, max(used), target.bits)
    acc_fb = shift + target.fb
    weight_fb = acc_fb - source.format.fb
    span = _clamp(rng, target)
    tensor = FixedTensor(Tensor(name, (len(weight),)), target, _rounding(rng))
    node = FixedNode(
        name,
        "dense",
        (source.id,),
        tensor.id,
        {
            "weight": FixedArray(np.array(weight), QFormat(weight_bits - weight_fb, weight_fb)),
            "bias": FixedArray(np.array(bias), QFormat(acc_bits - acc_fb, acc_fb)),
        },
        {"shift": shift, "clamp_lo": span[0], "clamp_hi": span[1]},
        Accumulator(acc_bits, acc_fb, bound),
    )
    return node, tensor, span


def _size(rng):
    return int(rng.integers(1, 7))


def _word_length(rng):
    lengths = _WORD_LENGTHS[int(rng.choice([8, 16, 32]))]
    return int(rng.choice([lengths[0], lengths[-1], rng.choice(lengths)], p=[0.15, 0.25, 0.6]))


def _format(rng):
    bits, fb = _word_length(rng), int(rng.integers(-60, 61))
    return QFormat(bits - fb, fb)


def _rounding(rng):
    return list(Rounding)[rng.integers(3)]


def _weights(rng, bits, shape, budget):
    """Rows of codes whose absolute values sum to at most `budget`."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    codes = rng.integers(low, high, shape, endpoint=True)
    style = rng.choice(["uniform", "extreme", "small", "sparse"])
    if style == "extreme":
        codes = rng.choice([low, high], shape)
    elif style == "small":
        codes = np.clip(rng.integers(-2, 3, shape), low, high)
    elif style == "sparse":
        codes *= rng.random(shape) < 0.3
    return [_shrunk([int(w) for w in row], budget) for row in codes]


def _shrunk(row, budget):
    total = sum(abs(w) for w in row)
    if total <= budget:
        return row
    return [(1 if w > 0 else -1) * (abs(w) * budget // total) for w in row]


def _bias(rng, used, limit):
    """A bias of the size of the products; sometimes the largest the accumulator allows."""
    size = {
        "alike": int(rng.integers(0, min(used, limit - used), endpoint=True)),
        "zero": 0,
        "full": limit - used,
    }[rng.choice(["alike", "zero", "full"], p=[0.65, 0.25, 0.1])]
    return int(rng.choice([-1, 1])) * size


def _shift(rng, acc_bits, largest, target_bits):
    """Mostly the shift that fills the target; otherwise anything at all."""
    choices = {
        "filling": largest.bit_length() + 1 - target_bits + int(rng.integers(-3, 2)),
        "inside": int(rng.integers(0, acc_bits)),
        "edge": acc_bits + int(rng.integers(-3, 3)),
        "beyond": acc_bits + int(rng.integers(0, 50)),
        "left": -int(rng.integers(0, 9)),
        "far left": -int(rng.integers(9, 90)),
    }
    return choices[rng.choice(list(choices), p=[0.8, 0.06, 0.04, 0.03, 0.04, 0.03])]


def _clamp(rng, target):
    low, high = target.raw_min, target.raw_max
    inner = sorted(int(c) for c in rng.integers(low, high, 2, endpoint=True))
    choices = {
        "format": (low, high),
        "relu": (max(low, 0), max(high, 0)),
        "inner": (inner[0], inner[1]),
        "single": (inner[0], inner[0]),
    }
    return choices[rng.choice(list(choices), p=[0.6, 0.3, 0.08, 0.02])]
