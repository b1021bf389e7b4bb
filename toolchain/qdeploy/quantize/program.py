"""The whole network in integers, layer after layer."""

from qdeploy.diagnostics import InputError, UsageError, Where
from qdeploy.fixedpoint import MAX_BITS, QFormat
from qdeploy.ir import (
    Activations,
    FixedNetwork,
    FixedTensor,
    Network,
    QuantizeRequest,
)
from qdeploy.quantize.activations import Step, quantize_activation
from qdeploy.quantize.dense import Layer, quantize_dense
from qdeploy.quantize.formats import smallest_format
from qdeploy.quantize.parameters import beyond_formats
from qdeploy.quantize.spans import input_span
from qdeploy.quantize.tighten import Draft, Wanted, chosen
from qdeploy.quantize.uses import dense_uses

_FEWEST_SAMPLES, _MOST_SAMPLES = 16, 768
_SAMPLED_NUMBERS = 1 << 20
"""Of one tensor, all samples together."""


def run(network: Network, request: QuantizeRequest) -> FixedNetwork:
    """Return the integer program for `network` with the formats `request` asks for.

    Raises:
        InputError: a parameter, an exact activation or an accumulator does not fit, by name.
        UsageError: the request itself is impossible.
    """
    _check(network, request)
    if request.activations is Activations.AUTO:
        return chosen(network, request, lambda wanted: _assemble(network, request, wanted))
    return _assemble(network, request, Wanted()).program


def _assemble(network: Network, request: QuantizeRequest, wanted: Wanted) -> Draft:
    """Quantise layer after layer, with activation formats that hold what is wanted."""
    tensor = network.inputs[0]
    source = FixedTensor(tensor, _input_format(network, request), request.rounding)
    spans = {tensor.id: input_span(source, request.regions, _samples(network))}
    uses = dense_uses(network)
    gone = {use.clamp.name for use in uses.values() if use.clamp is not None}
    prepared = {use.reader.name for use in uses.values() if use.reader is not None}
    nodes = []
    for node in network.nodes:
        if node.name in gone:
            continue
        read = spans[node.inputs[0]]
        if node.op == "dense":
            use = uses[node.name]
            output = network.tensor(node.output if use.clamp is None else use.clamp.output)
            layer = Layer(network, node, output, use, wanted.proven.get(node.name), wanted.sampled)
            fixed, span = quantize_dense(layer, request, read)
        else:
            step = Step(network, node, node.name in prepared)
            fixed, span = quantize_activation(step, request, read)
        nodes.append(fixed)
        spans[fixed.output] = span
    program = FixedNetwork(
        network.name,
        tuple(t.id for t in network.inputs),
        tuple(t.id for t in network.outputs),
        tuple(span.tensor for span in spans.values()),
        tuple(nodes),
    )
    return Draft(program, {name: span.seen for name, span in spans.items()})


def _samples(network: Network) -> int:
    """Return how many inputs are run through the program beside: few where they are long."""
    widest = max(tensor.size for tensor in network.tensors)
    return max(_FEWEST_SAMPLES, min(_MOST_SAMPLES, _SAMPLED_NUMBERS // widest))


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
