"""The whole network in integers, layer after layer."""

from dataclasses import dataclass
from fractions import Fraction

from qdeploy.diagnostics import InputError, UsageError, Where
from qdeploy.fixedpoint import MAX_BITS, QFormat
from qdeploy.ir import (
    Activations,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    Network,
    Node,
    QuantizeRequest,
)
from qdeploy.quantize.dense import Layer, quantize_dense
from qdeploy.quantize.formats import smallest_format
from qdeploy.quantize.parameters import beyond_formats
from qdeploy.quantize.spans import Span, input_span, relu_span
from qdeploy.quantize.tighten import Ranges, tightened


def run(network: Network, request: QuantizeRequest) -> FixedNetwork:
    """Return the integer program for `network` with the formats `request` asks for.

    Raises:
        InputError: a parameter, an exact activation or an accumulator does not fit, by name.
        UsageError: the request itself is impossible.
    """
    _check(network, request)
    if request.activations is Activations.AUTO:
        return tightened(network, request, lambda known: _assemble(network, request, known))
    return _assemble(network, request, {})


def _assemble(network: Network, request: QuantizeRequest, known: Ranges) -> FixedNetwork:
    """Quantise layer after layer; `known`: what was proven of a layer's sums."""
    tensor = network.inputs[0]
    source = FixedTensor(tensor, _input_format(network, request), request.rounding)
    spans = {tensor.id: input_span(source, request.regions)}
    folded = _folded_relus(network)
    gone = {relu.name for relu in folded.values()}
    nodes = []
    for node in network.nodes:
        if node.name in gone:
            continue
        layer = _Step(network, node, folded.get(node.name), known.get(node.name))
        fixed, span = _quantize(layer, request, spans)
        nodes.append(fixed)
        spans[fixed.output] = span
    return FixedNetwork(
        network.name,
        tuple(t.id for t in network.inputs),
        tuple(t.id for t in network.outputs),
        tuple(span.tensor for span in spans.values()),
        tuple(nodes),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """A node, the ReLU folded into it, and what is known of its sums."""

    network: Network
    node: Node
    relu: Node | None
    known: tuple[Fraction, Fraction] | None


def _quantize(
    step: _Step, request: QuantizeRequest, spans: dict[str, Span]
) -> tuple[FixedNode, Span]:
    network, node, relu = step.network, step.node, step.relu
    source = spans[node.inputs[0]]
    if node.op == "dense":
        output = network.tensor(relu.output if relu else node.output)
        layer = Layer(network, node, output, relu is not None, step.known)
        return quantize_dense(layer, request, source)
    if node.op == "relu":
        fixed = FixedNode(node.name, "relu", node.inputs, node.output)
        like = source.tensor
        target = FixedTensor(network.tensor(node.output), like.format, like.rounding)
        return fixed, relu_span(target, source)
    raise ValueError(f"operator {node.op!r} has no integer form")


def _folded_relus(network: Network) -> dict[str, Node]:
    """Return {dense node: the ReLU that becomes part of its clamp}.

    Only where nothing else reads the layer's value, for it is gone afterwards.
    """
    producers = {node.output: node for node in network.nodes if node.op == "dense"}
    read = [tensor for node in network.nodes for tensor in node.inputs]
    read += [tensor.id for tensor in network.outputs]
    return {
        producers[node.inputs[0]].name: node
        for node in network.nodes
        if node.op == "relu" and node.inputs[0] in producers and read.count(node.inputs[0]) == 1
    }


def _input_format(network: Network, request: QuantizeRequest) -> QFormat:
    if request.input_format is not None:
        return request.input_format
    lo = min(v for box in request.regions for v in box.lo)
    hi = max(v for box in request.regions for v in box.hi)
    with beyond_formats("the range of the input", _input_place(network)):
        return smallest_format(lo, hi, request.bits, request.rounding)


def _input_place(network: Network) -> Where:
    return Where(network.source.name, f"input {network.inputs[0].source!r}")


def _check(network: Network, request: QuantizeRequest) -> None:
    given = {
        "--weights": request.weights,
        "--biases": request.biases,
        "--activations": request.activations,
        "--input-format": request.input_format,
    }
    words = {option: f.bits for option, f in given.items() if isinstance(f, QFormat)}
    for option, bits in {"--bits": request.bits, **words}.items():
        if not 1 <= bits <= MAX_BITS:
            raise UsageError(
                f"{option} asks for words of {bits} bits",
                fix=f"1 to {MAX_BITS} bits are possible",
            )
    size = network.inputs[0].size
    for box in request.regions:
        if box.size != size:
            raise InputError(
                f"region {box.name or 'box'!r} has {box.size} inputs, the network has {size}",
                where=_input_place(network),
                fix=f"give {size} lower and {size} upper corners",
            )
