"""Two networks over the reals as one `Pair`, so that every method for network and program applies.

Both become chains of dense layers with a ReLU behind all but the last, equally deep and wide:

* a layer without an activation gets one over a shifted value that is never negative, and the next
  layer takes the shift back, so nothing changes;
* the shallower network is made deeper by identities in front of its last layer;
* the narrower layer gets neurons that are always 0. `places` says which neuron of the second
  network stands beside which of the first; any choice is sound, a good one makes bounds tighter.

All of this is exact. The second network takes the place of the program, with nothing rounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from qdeploy import ops
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FractionArray, Network, Node, exact
from qdeploy.proof.dyadic import Raw, ceil_to_grid, integers
from qdeploy.proof.pair import Layer, MismatchError, Pair

GRID = 64
"""Parameters are multiples of 2**-GRID; what rounding them there costs is bounded and counted."""
_EVERYTHING = QFormat(64, 0)
"""Stands where a program's format would: whole numbers, of which all values are multiples."""

Places = tuple[tuple[int, ...], ...]
"""Per hidden layer and neuron of the second network: the row it stands in."""


@dataclass(frozen=True, slots=True)
class Affine:
    """A dense layer: weight [n_out, n_in], bias [n_out]."""

    weight: FractionArray
    bias: FractionArray

    @property
    def width(self) -> int:
        """Number of outputs."""
        return int(self.weight.shape[0])


def straighten(network: Network, box: Box) -> list[Affine]:
    """Return the network as dense layers, each but the last with a ReLU behind it.

    Equal to the network for every input in the box.

    Raises:
        MismatchError: it is no chain of dense layers and ReLUs.
    """
    steps = _steps(network)
    shift = exact([0] * box.size)
    layers = []
    for index, (dense, relu, before) in enumerate(steps):
        layer = _dense(dense, len(shift))
        bias = layer.bias + layer.weight @ shift
        shift = exact([0] * layer.width)
        if not relu and index < len(steps) - 1:
            shift = _whole_below(network, before, box)
            bias = bias - shift
        layers.append(Affine(layer.weight, exact(bias)))
    if steps[-1][1]:
        layers.append(_dense(None, layers[-1].width))
    return layers


def _steps(network: Network) -> list[tuple[Node | None, bool, int]]:
    """Group the nodes: (dense node or none, whether a ReLU follows, nodes up to the sum)."""
    if len(network.inputs) != 1 or len(network.outputs) != 1 or not network.nodes:
        raise MismatchError("a network to compare needs one input, one output and a layer")
    steps: list[tuple[Node | None, bool, int]] = []
    current = network.inputs[0].id
    for index, node in enumerate(network.nodes):
        if node.inputs != (current,):
            raise MismatchError(f"node {node.name} does not continue the chain")
        current = node.output
        if node.op == "dense":
            steps.append((node, False, index + 1))
        elif node.op != "relu":
            raise MismatchError(f"operator {node.op} of {node.name} cannot be compared yet")
        elif steps and not steps[-1][1]:
            steps[-1] = (steps[-1][0], True, steps[-1][2])
        else:
            steps.append((None, True, index))
    if current != network.outputs[0].id:
        raise MismatchError("the network's output is not the end of its chain")
    return steps


def _dense(node: Node | None, width: int) -> Affine:
    if node is None:
        return Affine(exact(np.eye(width, dtype=np.int64)), exact([0] * width))
    return Affine(node.parameters["weight"], node.parameters["bias"])


def _whole_below(network: Network, count: int, box: Box) -> FractionArray:
    """Return whole numbers below everything that the first `count` nodes can give on the box."""
    lo, hi = exact([list(box.lo)]), exact([list(box.hi)])
    for node in network.nodes[:count]:
        lo, hi = ops.known_ops()[node.op].enclose(node, lo, hi)
    return exact([math.ceil(v) - 1 for v in lo[0]])


def deepen(layers: Sequence[Affine], depth: int, box: Box) -> list[Affine]:
    """Return an equal chain of `depth` layers, for inputs in the box."""
    missing = depth - len(layers)
    if missing <= 0:
        return list(layers)
    last = layers[-1]
    width = last.weight.shape[1]
    if len(layers) > 1:
        return [*layers[:-1], *([_dense(None, width)] * missing), last]
    # The input itself may be negative: carry it less a whole number that is below it.
    shift = exact([math.floor(v) for v in box.lo])
    first = Affine(_dense(None, width).weight, exact(-shift))
    taken_back = Affine(last.weight, exact(last.bias + last.weight @ shift))
    return [first, *([_dense(None, width)] * (missing - 1)), taken_back]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The pair, and the same with the sides exchanged."""

    pair: Pair
    mirrored: Pair

    @staticmethod
    def of(first: list[Affine], second: list[Affine], places: Places) -> "SideBySide":
        """Put two equally deep chains side by side.

        Raises:
            MismatchError: they differ in inputs or outputs, or `places` is no placing.
        """
        if first[0].weight.shape[1] != second[0].weight.shape[1]:
            raise MismatchError("the networks differ in the number of inputs")
        if first[-1].width != second[-1].width:
            raise MismatchError("the networks differ in the number of outputs")
        widths = [first[0].weight.shape[1]]
        widths += [max(a.width, b.width) for a, b in zip(first, second, strict=True)]
        _check_places(second, places, widths)
        own = tuple(tuple(range(layer.width)) for layer in first[:-1])
        left, right = _placed(first, own, widths), _placed(second, places, widths)
        return SideBySide(_pair(left, right), _pair(right, left))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A layer on the grid, its neurons in their places."""

    weight: Raw
    bias: Raw
    inexact: bool


def _pair(left: list[_Placed], right: list[_Placed]) -> Pair:
    layers = [
        Layer(
            a.weight,
            a.bias,
            b.weight,
            b.bias,
            inexact=a.inexact,
            bias_inexact=False,
            relu=index < len(left) - 1,
            output=_EVERYTHING,
            rounding=Rounding.NEAREST,
            z_step=Fraction(1),
        )
        for index, (a, b) in enumerate(zip(left, right, strict=True))
    ]
    return Pair(_EVERYTHING, Rounding.NEAREST, tuple(layers), GRID)


def _check_places(second: list[Affine], places: Places, widths: list[int]) -> None:
    if len(places) != len(second) - 1:
        raise MismatchError("neurons are placed for another number of layers")
    for layer, rows, width in zip(second, places, widths[1:], strict=False):
        if len(rows) != layer.width or len(set(rows)) != len(rows):
            raise MismatchError("not every neuron has a place of its own")
        if min(rows) < 0 or max(rows) >= width:
            raise MismatchError("a neuron is placed outside its layer")


def _placed(layers: list[Affine], places: Places, widths: list[int]) -> list[_Placed]:
    ends = [range(widths[0]), *places, range(widths[-1])]
    placed = []
    for layer, (columns, rows), shape in zip(layers, pairwise(ends), pairwise(widths), strict=True):
        weight, moved = _onto_grid(layer.weight)
        bias, bias_moved = _onto_grid(layer.bias)
        w, c = integers((shape[1], shape[0])), integers(shape[1])
        w[np.ix_(list(rows), list(columns))] = weight
        c[list(rows)] = bias
        placed.append(_Placed(w, c, moved or bias_moved))
    return placed


def _onto_grid(parameter: FractionArray) -> tuple[Raw, bool]:
    """Round to the nearest multiple of 2**-GRID; say whether any had to move."""
    half = Fraction(1, 2 << GRID)
    raw = integers(parameter.size)
    raw[:] = [ceil_to_grid(p - half, GRID) for p in parameter.ravel()]
    moved = any(r != p * (1 << GRID) for r, p in zip(raw, parameter.ravel(), strict=True))
    return np.asarray(raw.reshape(parameter.shape)), moved
