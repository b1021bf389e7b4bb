"""Random small networks and random requests that suit them; equal seeds give equal values.

The networks hold what trained ones rarely show all at once: dead neurons, rows of zeros, parameters
that lie exactly on rounding ties, very large and very small scales, a ReLU first, last or twice.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from qdeploy.fixedpoint import QFormat, Rounding, smallest_integer_bits
from qdeploy.ir import (
    Activations,
    Box,
    FractionArray,
    ModelSource,
    Network,
    Node,
    QuantizeRequest,
    Tensor,
    exact,
)
from qdeploy.ops import known_ops

from support.activations import PIECEWISE, SMOOTH

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight [n_out, n_in] and bias [n_out]."""


@dataclass(frozen=True)
class Act:
    """An activation with parameters."""

    op: str
    parameters: Mapping[str, object]


_SCALES = (1.0, 1.0, 0.3, 0.03, 4.0, 30.0)


def build_network(n_in: int, steps: Sequence[Layer | str | Act], name: str = "random") -> Network:
    """Return the chain of `steps`, each a dense layer or an activation, as a network."""
    tensors = [Tensor("x", (n_in,), "x")]
    nodes = []
    for index, step in enumerate(steps):
        source = tensors[-1]
        if isinstance(step, str):
            output, op, parameters = Tensor(f"t{index}", source.shape), step, {}
        elif isinstance(step, Act):
            output, op = Tensor(f"t{index}", source.shape), step.op
            parameters = {k: exact(np.atleast_1d(v)) for k, v in step.parameters.items()}
        else:
            weight, bias = step
            output, op = Tensor(f"t{index}", (weight.shape[0],)), "dense"
            parameters = {"weight": exact(weight), "bias": exact(bias)}
        label = f"{op.title()}_{index}"
        nodes.append(Node(f"n{index}", op, (source.id,), output.id, parameters, label))
        tensors.append(output)
    model = ModelSource(f"{name}.onnx", "0" * 64)
    return Network(name, (tensors[0],), (tensors[-1],), tuple(nodes), tuple(tensors), model)


def random_network(seed: int, *, activated: bool = False) -> Network:
    """1-6 inputs, 0-3 hidden layers of 1-12 neurons, 1-4 outputs, float32 parameters.

    Their activations are ReLUs; `activated`: of every kind, anywhere.
    """
    rng = np.random.default_rng((seed, 4 if activated else 1))
    n_in = int(rng.integers(1, 7))
    widths = [int(w) for w in rng.integers(1, 13, size=rng.integers(0, 4))]
    sizes = [n_in, *widths, int(rng.integers(1, 5))]
    steps: list[Layer | str | Act] = ["relu"] if rng.random() < 0.05 else []
    if activated and rng.random() < 0.15:
        steps = [_random_activation(rng, n_in)]
    for before, after in itertools.pairwise(sizes):
        steps += [
            _random_layer(rng, before, after),
            _random_activation(rng, after) if activated else "relu",
        ]
        if rng.random() < 0.05:
            steps.append("relu")
    if rng.random() < (0.4 if activated else 0.85):
        while not isinstance(steps[-1], tuple):
            steps.pop()
    return build_network(n_in, steps, f"random_{seed}")


def _random_activation(rng: np.random.Generator, size: int) -> str | Act:
    op = str(rng.choice([*PIECEWISE, *SMOOTH]))
    if op == "clip":
        low, high = -rng.choice([0.0, 0.1, 1.0]), rng.choice([0.3, 1.0, 6.0])
        ends = {"lo": low, "hi": high}
        if rng.random() < 0.3:
            del ends[str(rng.choice(["lo", "hi"]))]
        return Act(op, ends)
    if op == "leaky_relu":
        count = size if rng.random() < 0.4 else 1
        return Act(op, {"slope": rng.choice([0.01, 0.25, -0.5, 1.0, 1.7], count)})
    if op == "elu":
        return Act(op, {"alpha": rng.choice([0.3, 1.0, 2.5])})
    return Act(op, known_ops()[op].draw(rng, size))


def _random_layer(rng: np.random.Generator, n_in: int, n_out: int) -> Layer:
    scale = rng.choice(_SCALES)
    weight = rng.normal(size=(n_out, n_in)) * scale
    bias = rng.normal(size=n_out) * rng.choice(_SCALES)
    kind = rng.integers(8)
    if kind == 0:  # many zeros
        weight[rng.random(weight.shape) < 0.6] = 0.0
    elif kind == 1:  # a neuron that never wakes
        bias[rng.integers(n_out)] = -100.0 * scale
    elif kind == 2:  # a row without weights
        weight[rng.integers(n_out)] = 0.0
    elif kind == 3:  # no bias at all
        bias[:] = 0.0
    elif kind == 4:  # parameters on the ties of coarse formats
        weight, bias = np.round(weight * 16) / 16, np.round(bias * 16) / 16
    elif kind == 5:  # powers of two, where an IB is just not enough
        weight = np.exp2(np.round(np.log2(np.abs(weight) + 1e-3))) * np.sign(weight)
    return weight.astype(np.float32), bias.astype(np.float32)


def paper_network(seed: int, hidden_layers: int) -> Network:
    """One input, one output, ten ReLU neurons a hidden layer, all parameters N(0, 1)."""
    rng = np.random.default_rng((seed, 2))
    sizes = [1, *[10] * hidden_layers, 1]
    steps: list[Layer | str] = []
    for before, after in itertools.pairwise(sizes):
        weight = rng.normal(size=(after, before)).astype(np.float32)
        steps += [(weight, rng.normal(size=after).astype(np.float32)), "relu"]
    return build_network(1, steps[:-1], f"paper_{hidden_layers}_{seed}")


def random_request(seed: int, network: Network) -> QuantizeRequest:
    """A request that fits `network`: every rounding, quantiser and way of giving formats."""
    request = _any_request(seed, network)
    if seed % 50:  # cutting the regions into pieces takes a second
        request = replace(request, work=0.02)
    ops = {node.op for node in network.nodes}
    if request.activations is Activations.EXACT and not ops <= {"dense", "relu", "clip"}:
        request = replace(request, activations=Activations.AUTO)
    if ops <= {"dense", "relu", "clip"}:
        return request
    given, read = request.activations, request.input_format
    if given is Activations.AUTO and seed % 8:  # which takes a second through curves
        given = _activation_format(np.random.default_rng((seed, 5)))
    if isinstance(given, QFormat):
        request = replace(request, activations=_short(given))
    return replace(request, bits=min(request.bits, 16), input_format=read and _short(read))


def _short(fmt: QFormat) -> QFormat:
    """At most the 16 bits that a curve can be read by."""
    return QFormat(fmt.ib, min(fmt.fb, 16 - fmt.ib))


def _any_request(seed: int, network: Network) -> QuantizeRequest:
    rng = np.random.default_rng((seed, 3))
    roundings = list(Rounding)
    rounding = roundings[rng.integers(3)]
    quantizer = rounding if rng.random() < 0.5 else roundings[rng.integers(3)]
    regions = _random_regions(rng, network.inputs[0].size)
    style = rng.choice(["bits", "explicit", "exact"], p=[0.4, 0.4, 0.2])
    if style == "bits":
        return _by_bits(rng, network, regions, rounding, quantizer)
    if style == "exact":
        return _exact(rng, network, regions, rounding, quantizer)
    return QuantizeRequest(
        regions,
        bits=int(rng.integers(4, 17)),
        weights=_fitting(network, "weight", int(rng.integers(-2, 13))),
        biases=_maybe_biases(rng, network),
        activations=_activation_format(rng),
        input_format=None if rng.random() < 0.3 else _activation_format(rng),
        rounding=rounding,
        quantizer=quantizer,
    )


def _by_bits(
    rng: np.random.Generator,
    network: Network,
    regions: tuple[Box, ...],
    rounding: Rounding,
    quantizer: Rounding,
) -> QuantizeRequest:
    bits = int(rng.integers(17, 25)) if rng.random() < 0.15 else int(rng.integers(4, 17))
    return QuantizeRequest(
        regions,
        bits=bits,
        biases=_maybe_biases(rng, network),
        rounding=rounding,
        quantizer=quantizer,
    )


def _exact(
    rng: np.random.Generator,
    network: Network,
    regions: tuple[Box, ...],
    rounding: Rounding,
    quantizer: Rounding,
) -> QuantizeRequest:
    """Fraction bits as fine as 30-bit activations allow; `auto` where none are coarse enough."""
    input_format = QFormat(8, int(rng.integers(0, 5)))
    for fb in range(int(rng.integers(0, 5)), -1, -1):
        if _exact_bits(network, regions, input_format.fb, fb) <= 30:
            return QuantizeRequest(
                regions,
                weights=_fitting(network, "weight", fb),
                biases=_fitting(network, "bias", fb) if rng.random() < 0.5 else None,
                activations=Activations.EXACT,
                input_format=input_format,
                rounding=rounding,
                quantizer=quantizer,
            )
    return QuantizeRequest(regions, bits=12, rounding=rounding, quantizer=quantizer)


def _exact_bits(network: Network, regions: tuple[Box, ...], input_fb: int, fb: int) -> int:
    """An upper estimate of the widest word an exact program needs."""
    step = 2.0**-fb
    size = max(float(max(abs(v) for v in (*box.lo, *box.hi))) for box in regions) + 1.0
    widest, total_fb = 0, input_fb
    for node in network.nodes:
        if node.op != "dense":
            continue
        weight = np.abs(node.parameters["weight"].astype(np.float64)) + step
        bias = np.abs(node.parameters["bias"].astype(np.float64)) + step
        size = float((weight.sum(axis=1) * size + bias).max())
        total_fb += fb
        widest = max(widest, int(np.ceil(np.log2(size))) + 2 + total_fb)
    return widest


def _random_regions(rng: np.random.Generator, n_in: int) -> tuple[Box, ...]:
    return tuple(_random_box(rng, n_in) for _ in range(2 if rng.random() < 0.2 else 1))


def _random_box(rng: np.random.Generator, n_in: int) -> Box:
    centre = rng.normal(size=n_in)
    radius = rng.choice([1.0, 0.2, 0.01]) * rng.random(n_in)
    radius[rng.random(n_in) < 0.1] = 0.0
    lo, hi = centre - radius, centre + radius
    if rng.random() < 0.4:  # corners on the grid of coarse formats, often exactly +-1
        lo, hi = np.floor(lo), np.ceil(hi)
    return Box(tuple(map(Fraction, lo.tolist())), tuple(map(Fraction, hi.tolist())))


def _activation_format(rng: np.random.Generator) -> QFormat:
    """Often too narrow, so that values saturate; sometimes with IB <= 0 or FB < 0."""
    fb = int(rng.integers(-3, 17))
    return QFormat(max(int(rng.integers(-1, 10)), 2 - fb), fb)


def _maybe_biases(rng: np.random.Generator, network: Network) -> QFormat | None:
    return _fitting(network, "bias", int(rng.integers(-1, 20))) if rng.random() < 0.4 else None


def _fitting(network: Network, parameter: str, fb: int) -> QFormat:
    """The format with `fb` that every value of the parameter fits, whatever the rounding."""
    arrays: list[FractionArray] = [
        node.parameters[parameter] for node in network.nodes if parameter in node.parameters
    ]
    values = [v for array in arrays for v in array.ravel().tolist()]
    ib = smallest_integer_bits(min(values), max(values)) + 1
    return QFormat(max(ib, 2 - fb), min(fb, 32 - ib))


def chain(widths: Sequence[int], seed: int = 0, bias: float = 0.0) -> Network:
    """Dense layers of these widths with ReLUs between, in He's initialisation."""
    rng = np.random.default_rng((seed, 6))
    steps: list[Layer | str] = []
    for before, after in itertools.pairwise(widths):
        weight = rng.normal(size=(after, before)) * np.sqrt(2 / before)
        steps += [
            (weight.astype(np.float32), (bias * rng.normal(size=after)).astype(np.float32)),
            "relu",
        ]
    return build_network(widths[0], steps[:-1], "chain")


def centred_box(size: int, radius: int = 1) -> Box:
    """The box [-radius, radius] in all directions."""
    return Box((Fraction(-radius),) * size, (Fraction(radius),) * size)
