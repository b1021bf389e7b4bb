"""Two networks over the reals as one `Pair`, so that every method for network and program applies.

Both become equally deep and wide chains of dense layers with equal activations:

* a layer without an activation that stands beside a ReLU gets a ReLU over a shifted value that is
  never negative, and the next layer takes the shift back, so nothing changes;
* the shallower network is made deeper by identities in front of its last layer;
* the narrower layer gets neurons that nothing enters and nothing leaves. `places` says which neuron
  of the second network stands beside which of the first; any choice is sound, a good one makes
  bounds tighter.

All of this is exact. The second network takes the place of the program, with nothing rounded.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from qdeploy import ops
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Box, FractionArray, Network, Node, exact
from qdeploy.proof.curves import OnGrid, on_grid
from qdeploy.proof.dyadic import Raw, integers, nearest
from qdeploy.proof.pair import Layer, MismatchError, Pair
from qdeploy.proof.placing import LARGEST_WEIGHTS, Places, check_places

GRID = 64
"""Parameters are multiples of 2**-GRID; what rounding them there costs is bounded and counted."""
_EVERYTHING = QFormat(64, 0)
"""Stands where a program's format would: whole numbers, of which all values are multiples."""


@dataclass(frozen=True, slots=True)
class Step:
    """A dense layer, weight [n_out, n_in] and bias [n_out], and the activation behind it."""

    weight: FractionArray
    bias: FractionArray
    activation: Node | None
    depth: int
    """How many nodes of the network lead to the sums."""

    @property
    def width(self) -> int:
        """Number of outputs."""
        return int(self.weight.shape[0])


def chains(
    networks: tuple[Network, Network], boxes: tuple[Box, Box]
) -> tuple[list[Step], list[Step]]:
    """Return both networks as equally deep chains with equal activations.

    Each is equal to its network for every input in its box; nothing follows the last sums.

    Raises:
        MismatchError: that is not possible.
    """
    first, second = (_steps(network) for network in networks)
    alike = len(first) == len(second) and all(
        _same(a.activation, b.activation) for a, b in zip(first, second, strict=False)
    )
    if not alike:
        _require_size(first, second)
        depth = max(len(first), len(second))
        first, second = (
            _deepened(_rectified(steps, network, box), depth, box)
            for steps, network, box in zip((first, second), networks, boxes, strict=True)
        )
    _require_size(first, second)
    return first, second


def _require_size(first: list[Step], second: list[Step]) -> None:
    size = sum(step.weight.size for step in (*first, *second))
    widest = max(step.width for step in (*first, *second))
    if size + abs(len(first) - len(second)) * widest**2 > LARGEST_WEIGHTS:
        raise MismatchError(f"together they have more than {LARGEST_WEIGHTS} weights")


def _steps(network: Network) -> list[Step]:
    """Group the nodes into sums and activations; behind a last activation stand trivial sums."""
    if len(network.inputs) != 1 or len(network.outputs) != 1 or not network.nodes:
        raise MismatchError("a network to compare needs one input, one output and a layer")
    steps: list[Step] = []
    current, width = network.inputs[0].id, network.inputs[0].size
    for index, node in enumerate(network.nodes):
        if node.inputs != (current,):
            raise MismatchError(f"node {node.name} does not continue the chain")
        current = node.output
        if node.op == "dense":
            weight, bias = node.parameters["weight"], node.parameters["bias"]
            steps.append(Step(weight, bias, None, index + 1))
        elif not isinstance(ops.known_ops()[node.op], ops.Activation):
            raise MismatchError(f"operator {node.op} of {node.name} cannot be compared")
        elif steps and steps[-1].activation is None:
            steps[-1] = replace(steps[-1], activation=node)
        else:
            steps.append(_identity(width, node, index))
        width = steps[-1].width
    if current != network.outputs[0].id:
        raise MismatchError("the network's output is not the end of its chain")
    last = [] if steps[-1].activation is None else [_identity(width, None, len(network.nodes))]
    return [*steps, *last]


def _identity(width: int, activation: Node | None, depth: int) -> Step:
    if width**2 > LARGEST_WEIGHTS:
        raise MismatchError(f"a layer of {width} neurons is too wide to be compared")
    return Step(exact(np.eye(width, dtype=np.int64)), exact([0] * width), activation, depth)


def _same(a: Node | None, b: Node | None) -> bool:
    if a is None or b is None:
        return a is b
    return (
        a.op == b.op
        and a.parameters.keys() == b.parameters.keys()
        and all(np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters)
    )


_RELU = Node("relu", "relu", ("a",), "b")


def _rectified(steps: list[Step], network: Network, box: Box) -> list[Step]:
    """Return an equal chain with a ReLU behind all sums but the last."""
    shift = exact([0] * steps[0].weight.shape[1])
    chain = []
    for step in steps[:-1]:
        bias = step.bias + step.weight @ shift
        shift = exact([0] * step.width)
        if step.activation is None:
            shift = _whole_below(network, step.depth, box)
            bias = bias - shift
        elif step.activation.op != "relu":
            raise MismatchError(
                f"behind {step.activation.op} of one network stands nothing like it in the other"
            )
        chain.append(replace(step, bias=exact(bias), activation=_RELU))
    last = steps[-1]
    return [*chain, replace(last, bias=exact(last.bias + last.weight @ shift))]


def _whole_below(network: Network, count: int, box: Box) -> FractionArray:
    """Return whole numbers below everything that the first `count` nodes can give on the box."""
    lo, hi = exact([list(box.lo)]), exact([list(box.hi)])
    for node in network.nodes[:count]:
        lo, hi = ops.known_ops()[node.op].enclose(node, lo, hi)
    return exact([math.ceil(v) - 1 for v in lo[0]])


def _deepened(steps: list[Step], depth: int, box: Box) -> list[Step]:
    """Return an equal chain of `depth` sums, for inputs in the box; all activations are ReLUs."""
    missing = depth - len(steps)
    if missing == 0:
        return steps
    last = steps[-1]
    more = _identity(last.weight.shape[1], _RELU, 0)
    if len(steps) > 1:
        return [*steps[:-1], *([more] * missing), last]
    # The input itself may be negative: carry it less a whole number that is below it.
    shift = exact([math.floor(v) for v in box.lo])
    taken_back = replace(last, bias=exact(last.bias + last.weight @ shift))
    return [replace(more, bias=exact(-shift)), *([more] * (missing - 1)), taken_back]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The pair, and the same with the sides exchanged."""

    pair: Pair
    mirrored: Pair

    @staticmethod
    def of(first: list[Step], second: list[Step], places: Places) -> "SideBySide":
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
        check_places([widths[0], *(layer.width for layer in second)], places, widths)
        own = tuple(tuple(range(layer.width)) for layer in first[:-1])
        left, right = _placed(first, own, widths), _placed(second, places, widths)
        curves = [_curve(step.activation) for step in first]
        return SideBySide(_pair(left, right, curves), _pair(right, left, curves))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A layer on the grid, its neurons in their places."""

    weight: Raw
    bias: Raw
    inexact: bool


def _curve(activation: Node | None) -> OnGrid | None:
    op = None if activation is None else ops.known_ops()[activation.op]
    if activation is None or not isinstance(op, ops.Activation):
        return None
    curve = on_grid(op.curve(activation), GRID)
    if curve.width != 1:
        raise MismatchError(f"{activation.name} has another curve for every neuron")
    return curve


def _pair(left: list[_Placed], right: list[_Placed], curves: list[OnGrid | None]) -> Pair:
    layers = [
        Layer(
            name="",
            w=a.weight,
            c=a.bias,
            v=b.weight,
            v_bias=b.bias,
            alone=False,
            inexact=a.inexact,
            bias_inexact=False,
            curve=curve,
            lookup=None,
            ends=(None, None),
            clamp=None,
            output=_EVERYTHING,
            rounding=Rounding.NEAREST,
            spacing=Fraction(1),
        )
        for a, b, curve in zip(left, right, curves, strict=True)
    ]
    return Pair(_EVERYTHING, Rounding.NEAREST, tuple(layers), GRID)


def _placed(layers: list[Step], places: Places, widths: list[int]) -> list[_Placed]:
    ends = [range(widths[0]), *places, range(widths[-1])]
    placed = []
    for layer, (columns, rows), shape in zip(layers, pairwise(ends), pairwise(widths), strict=True):
        weight, moved = nearest(layer.weight, GRID)
        bias, bias_moved = nearest(layer.bias, GRID)
        w, c = integers((shape[1], shape[0])), integers(shape[1])
        w[np.ix_(list(rows), list(columns))] = weight
        c[list(rows)] = bias
        placed.append(_Placed(w, c, moved or bias_moved))
    return placed
