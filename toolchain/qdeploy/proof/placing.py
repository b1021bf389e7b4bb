"""A network and a program of other sizes, made equally deep and wide without changing either.

A pruned or reduced program has fewer neurons in hidden layers than the network it is certified
against, or fewer layers; a retrained one may have more. Whichever side lacks something gets

* layers that hand on what they read, in front of its last one: a ReLU or a Clip of what the same
  ReLU or Clip has left changes nothing, and codes stay the codes they are;
* neurons that nothing enters and nothing leaves: rows and columns of zeros.

So both compute for every input what they did before, and proofs for equal sizes apply. Which row a
neuron of the program stands in is data of the certificate (`Places`) and not believed: any choice
is sound, a good one makes bounds tight. What a device runs has none of this.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import QFormat
from qdeploy.ir import (
    Accumulator,
    FixedArray,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    Network,
    Node,
    Tensor,
    exact,
)
from qdeploy.proof.pair import MismatchError, check_structure

Places = tuple[tuple[int, ...], ...]
"""Per hidden layer and neuron of the second side: the row it stands in."""

LARGEST_WEIGHTS = 1 << 22
"""Entries of all matrices of both sides together, once they stand side by side."""
_FEW_WEIGHTS, _MOST_GROWTH = 1 << 16, 64
"""Weights side by side that are always possible, and how many times the network's own are."""
_MOST_NODES_MORE = 128
"""Nodes that a program may have beyond twice those of its network."""
_PER_NEURON = {"leaky_relu": "slope"}
"""Arrays of activations that may hold one number a neuron."""
_IDEMPOTENT = ("relu", "clip")
_REPEATED_BITS = 64
"""Of an accumulator for codes as they are: more than any code has."""


def side_by_side(
    network: Network, program: FixedNetwork, places: Places | None
) -> tuple[Network, FixedNetwork]:
    """Return network and program with equally many neurons in equally many layers.

    Each computes what it did for every input; None: they are alike as they are.

    Raises:
        MismatchError: that is not possible, or `places` is no placing.
    """
    if places is None:
        return network, program
    _require_chains(network, program)
    network = repeated(network, _depth(program) - _depth(network))
    program = _repeated_program(program, _depth(network) - _depth(program))
    own, other = widths_of(network), widths_of(program)
    if (own[0], own[-1]) != (other[0], other[-1]):
        raise MismatchError("program and network differ in the number of inputs or outputs")
    widths = [max(pair) for pair in zip(own, other, strict=True)]
    check_places(other, places, widths)
    weights = 2 * _entries(widths)
    _require_size(weights)
    if weights > max(_FEW_WEIGHTS, _MOST_GROWTH * _entries(own)):
        raise MismatchError("the program is far larger than the network")
    natural = tuple(tuple(range(width)) for width in own[1:-1])
    return _spread_network(network, natural, widths), _spread_program(program, places, widths)


def _entries(widths: Sequence[int]) -> int:
    return sum(rows * columns for rows, columns in pairwise(widths))


def _require_size(weights: int) -> None:
    if weights > LARGEST_WEIGHTS:
        raise MismatchError(f"side by side they would have more than {LARGEST_WEIGHTS} weights")


def check_places(own: Sequence[int], places: Places, widths: Sequence[int]) -> None:
    """Refuse what is no placing of layers of `own` neurons (inputs first) in layers of `widths`.

    Raises:
        MismatchError: two neurons share a place, or one has none.
    """
    if len(places) != len(own) - 2:
        raise MismatchError("neurons are placed for another number of layers")
    for neurons, rows, width in zip(own[1:-1], places, widths[1:-1], strict=True):
        if len(rows) != neurons or len(set(rows)) != len(rows):
            raise MismatchError("not every neuron has a place of its own")
        if min(rows) < 0 or max(rows) >= width:
            raise MismatchError("a neuron is placed outside its layer")


def widths_of(chain: Network | FixedNetwork) -> list[int]:
    """Return the number of inputs, and of neurons behind every dense layer."""
    return [_input_size(chain), *(len(_weight(node)) for node in chain.nodes if node.op == "dense")]


def _input_size(chain: Network | FixedNetwork) -> int:
    return chain.input.tensor.size if isinstance(chain, FixedNetwork) else chain.inputs[0].size


def _weight(node: Node | FixedNode) -> NDArray[Any]:
    if isinstance(node, FixedNode):
        return node.arrays["weight"].raw
    return node.parameters["weight"]


def _depth(chain: Network | FixedNetwork) -> int:
    return sum(node.op == "dense" for node in chain.nodes)


def _require_chains(network: Network, program: FixedNetwork) -> None:
    """Refuse what has no layers one behind the other, before anything is made from it."""
    if len(program.nodes) > 2 * len(network.nodes) + _MOST_NODES_MORE:
        raise MismatchError("the program has many more layers than the network")
    for chain in (network, program):
        if len(chain.inputs) != 1 or len(chain.outputs) != 1 or not _depth(chain):
            raise MismatchError("one input, one output and a layer are needed on both sides")
    ends = network.inputs[0].id, network.outputs[0].id
    _require_chain(network.nodes, *ends)
    _require_chain(program.nodes, program.inputs[0], program.outputs[0])
    check_structure(program)


def _require_chain(nodes: Sequence[Node | FixedNode], current: str, end: str) -> None:
    for node in nodes:
        if node.inputs != (current,):
            raise MismatchError(f"node {node.name} does not continue the chain")
        current = node.output
    if current != end:
        raise MismatchError("the output is not the end of its chain")


# --- depth -----------------------------------------------------------------------------------


def repeated(network: Network, times: int) -> Network:
    """Return an equal network in which the last hidden layer is handed on so many times more.

    Raises:
        MismatchError: behind that layer stands an activation that changes what it has left.
    """
    if times <= 0:
        return network
    last, behind = _last_hidden(network.nodes)
    if len(behind) > 1 or any(node.op not in _IDEMPOTENT for node in behind):
        raise _unrepeatable(behind[-1].op)
    width = widths_of(network)[-2]
    _require_size(width**2 * times)
    unit = {"weight": exact(np.eye(width, dtype=np.int64)), "bias": exact([0] * width)}
    name = _fresh(network)
    current, nodes, tensors = network.nodes[last].inputs[0], [], []
    for index in range(times):
        for part, like in enumerate([Node("", "dense", (), "", unit), *behind]):
            output = f"{name}_{index}_{part}"
            nodes.append(replace(like, name=output, inputs=(current,), output=output))
            tensors.append(Tensor(output, (width,)))
            current = output
    end = replace(network.nodes[last], inputs=(current,))
    return replace(
        network,
        nodes=(*network.nodes[:last], *nodes, end, *network.nodes[last + 1 :]),
        tensors=(*network.tensors, *tensors),
    )


def _repeated_program(program: FixedNetwork, times: int) -> FixedNetwork:
    """Return an equal program in which the last hidden layer is handed on so many times more."""
    if times <= 0:
        return program
    last, behind = _last_hidden(program.nodes)
    if behind:
        raise _unrepeatable(behind[-1].op)
    hidden, current = program.nodes[last - 1], program.nodes[last].inputs[0]
    source, name = program.tensor(current), _fresh(program)
    _require_size(source.tensor.size**2 * times)
    nodes, tensors = [], []
    for index in range(times):
        tensor = FixedTensor(
            Tensor(f"{name}_{index}", (source.tensor.size,)), source.format, source.rounding
        )
        nodes.append(_hand_on(hidden, current, tensor))
        tensors.append(tensor)
        current = tensor.id
    end = replace(program.nodes[last], inputs=(current,))
    return replace(
        program,
        nodes=(*program.nodes[:last], *nodes, end, *program.nodes[last + 1 :]),
        tensors=(*program.tensors, *tensors),
    )


def _hand_on(hidden: FixedNode, source: str, target: FixedTensor) -> FixedNode:
    """Return sums of one code each, in the same format, between the same ends."""
    width, fmt = target.tensor.size, target.format
    arrays = {
        "weight": FixedArray(np.eye(width, dtype=np.int64), QFormat(2, 0)),
        "bias": FixedArray(
            np.zeros(width, dtype=np.int64), QFormat(_REPEATED_BITS - fmt.fb, fmt.fb)
        ),
    }
    integers = dict(hidden.integers) | {"shift": 0}
    accumulator = Accumulator(_REPEATED_BITS, fmt.fb, -fmt.raw_min)
    return FixedNode(target.id, "dense", (source,), target.id, arrays, integers, accumulator)


def _last_hidden(nodes: Sequence[Any]) -> tuple[int, Sequence[Any]]:
    """Return where the last dense layer stands, and what stands before it behind another one."""
    places = [index for index, node in enumerate(nodes) if node.op == "dense"]
    if len(places) < 2:  # noqa: PLR2004  a hidden layer, and the one that reads it
        raise MismatchError("one side has hidden layers and the other has none")
    return places[-1], nodes[places[-2] + 1 : places[-1]]


def _unrepeatable(op: str) -> MismatchError:
    return MismatchError(f"one side has fewer layers, and a {op} cannot be handed on unchanged")


def _fresh(chain: Network | FixedNetwork) -> str:
    """Return the beginning of names that nothing has."""
    taken = [t.id for t in chain.tensors] + [node.name for node in chain.nodes]
    names = (f"again{k}" for k in count())
    return next(name for name in names if not any(t.startswith(name) for t in taken))


# --- width -----------------------------------------------------------------------------------


def _spread_network(network: Network, places: Places, widths: Sequence[int]) -> Network:
    """Return the network with its neurons in these rows of layers so wide."""
    nodes, sizes = [], {network.inputs[0].id: widths[0]}
    layers = _Layers(places, widths)
    for node in network.nodes:
        if node.op == "dense":
            columns, width, rows = layers.following()
            shape = (layers.width, width)
            parameters = {
                "weight": _spread(node.parameters["weight"], np.ix_(rows, columns), shape),
                "bias": _spread(node.parameters["bias"], rows, shape[:1]),
            }
            node = replace(node, parameters=parameters)  # noqa: PLW2901  the same node, wider
        else:
            own = {k: layers.widened(node.op, k, a) for k, a in node.parameters.items()}
            node = replace(node, parameters=own)  # noqa: PLW2901
        nodes.append(node)
        sizes[node.output] = layers.width
    tensors = tuple(_resized(t, sizes[t.id]) for t in network.tensors)
    return replace(network, nodes=tuple(nodes), tensors=tensors)


def _spread_program(program: FixedNetwork, places: Places, widths: Sequence[int]) -> FixedNetwork:
    """Return the program with its neurons in these rows of layers so wide."""
    nodes, sizes = [], {program.inputs[0]: widths[0]}
    layers = _Layers(places, widths)
    for node in program.nodes:
        arrays = {name: array.raw for name, array in node.arrays.items()}
        if node.op == "dense":
            columns, width, rows = layers.following()
            shape = (layers.width, width)
            arrays["weight"] = _spread(arrays["weight"], np.ix_(rows, columns), shape)
            arrays["bias"] = _spread(arrays["bias"], rows, shape[:1])
        else:
            arrays = {k: layers.widened(node.op, k, a) for k, a in arrays.items()}
        stored = {k: FixedArray(raw, node.arrays[k].format) for k, raw in arrays.items()}
        nodes.append(replace(node, arrays=stored))
        sizes[node.output] = layers.width
    tensors = tuple(replace(t, tensor=_resized(t.tensor, sizes[t.id])) for t in program.tensors)
    return replace(program, nodes=tuple(nodes), tensors=tensors)


class _Layers:
    """Goes through a chain: rows and width of the layer that is reached."""

    def __init__(self, places: Places, widths: Sequence[int]) -> None:
        ends = (tuple(range(widths[0])), *places, tuple(range(widths[-1])))
        self._ahead = list(zip(ends, widths, strict=True))
        self.rows, self.width = self._ahead.pop(0)

    def following(self) -> tuple[list[int], int, list[int]]:
        """Go to the next layer; return rows and width of the one before, and the rows of this."""
        before, width = self.rows, self.width
        self.rows, self.width = self._ahead.pop(0)
        return list(before), width, list(self.rows)

    def widened(self, op: str, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Return an activation's array, with a number for every row if it has one a neuron."""
        if _PER_NEURON.get(op) != name or array.size == 1:
            return array
        if array.shape != (len(self.rows),):
            raise MismatchError(f"a {op} has {array.size} numbers for {len(self.rows)} neurons")
        return _spread(array, list(self.rows), (self.width,))


def _spread(array: NDArray[Any], where: Any, shape: tuple[int, ...]) -> NDArray[Any]:  # noqa: ANN401  what numpy takes as an index
    """Return zeros of this shape with the array's entries where they belong."""
    wide = np.zeros(shape, dtype=array.dtype)
    if array.dtype == object:
        wide[...] = Fraction(0)
    wide[where] = array
    wide.flags.writeable = False
    return wide


def _resized(tensor: Tensor, size: int) -> Tensor:
    return tensor if tensor.size == size else replace(tensor, shape=(size,))
