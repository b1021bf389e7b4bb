"""The network f and the integer program g side by side, layer by layer, as exact numbers.

For every layer: y = W a + c, a' = phi(y) over the reals, and z = V b + v exactly. Then either b' =
sat(round(phi(z))), phi being a saturation (ReLU, Clip) or nothing, which program and proof write
as a clamp of round(z); or b' = T(sat(round(z))), T being what the program's operator makes of
each code (`lookup`). The program is not believed: its formats, clamps and accumulators are checked
here against the integer semantics (docs/SPEC.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from qdeploy import ops
from qdeploy.fixedpoint import MAX_BITS, Integers, QFormat, Rounding, round_fraction
from qdeploy.ir import Derived, FixedNetwork, FixedNode, FractionArray, Network, Node
from qdeploy.proof.budget import Budget
from qdeploy.proof.curves import OnGrid, on_grid
from qdeploy.proof.dyadic import Raw, ceil_to_grid, floor_to_grid, nearest, stored, two_to, zeros
from qdeploy.proof.lookup import Lookup, TableError, every_output, tabulated

_GRID_BITS = 64
_GUARD_BITS = 16
_FINEST_NAMED_GRID = 128
_COARSE_GRID_BITS = 20
_COARSE_GUARD_BITS = 8
_SHARP_GRID_BITS = 40
LARGEST_IDENTITY = 4096
"""Neurons of an activation that stands alone: it is taken for a layer with a square matrix."""
_MOST_GRIDS = 4
"""That are kept in memory."""


_ON_GRID: Derived[tuple[Raw, bool]] = Derived(most=_MOST_GRIDS)


class MismatchError(ValueError):
    """The program does not have the structure it must have; the text says what."""


@dataclass(frozen=True, slots=True)
class End:
    """One flat end of a saturation: where it begins, and the program's error upon it."""

    place: int
    """The number of the grid nearest to where it begins, of those that surely lie upon it."""
    error_lo: int
    error_hi: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the pair; matrices are raw on the pair's grid (W, c rounded: see `inexact`)."""

    name: str
    """Of the program's node that makes the sums, or of the activation that stands alone."""
    w: Raw
    c: Raw
    v: Raw
    v_bias: Raw
    alone: bool
    """Whether it is an activation without sums before it; the matrices are then the identity."""
    inexact: bool
    """Whether some entry of W or c had to be rounded onto the grid, by at most half a unit."""
    bias_inexact: bool
    """Whether some entry of v had to be rounded down onto the grid, by less than a unit."""
    curve: OnGrid | None
    """The activation; None: there is none."""
    lookup: Lookup | None
    """How the program computes the activation, unless it saturates."""
    ends: tuple[End | None, End | None]
    """Below and above, of a saturation."""
    clamp: tuple[int, int] | None
    """Codes between which the output lies; None: it is no program's, and nothing cuts it off."""
    output: QFormat
    rounding: Rounding
    spacing: Fraction | None
    """What z, saturated, is known to be a multiple of."""

    @property
    def width(self) -> int:
        """Number of outputs."""
        return int(self.w.shape[0])


@dataclass(frozen=True, slots=True)
class Pair:
    """Network and program, ready for analysis."""

    input: QFormat
    input_rounding: Rounding
    layers: tuple[Layer, ...]
    grid: int


def layer_sizes(network: Network) -> tuple[tuple[int, ...], int]:
    """Return the widths of the input and of all layers of a `Pair`, and how large its matrices are.

    An activation that stands alone is a layer with a square one.
    """
    widths, weights, dense = [network.inputs[0].size], 0, False
    for node in network.nodes:
        alone = node.op != "dense" and not dense
        dense = node.op == "dense"
        if dense or alone:
            size = network.tensor(node.output).size
            weights += size * widths[-1]
            widths.append(size)
    return tuple(widths), weights


class Pairs:
    """One network and one program on as many grids as are asked for, each derived once."""

    def __init__(
        self, network: Network, program: FixedNetwork, budget: Budget | None = None
    ) -> None:
        """Take both, and who pays for every grid; None: nobody counts."""
        self.network = network
        self.program = program
        self._budget = budget
        self._known: dict[int | None, Pair] = {}

    def on(self, grid: int | None = None) -> Pair:
        """Return both side by side on a grid; see `align`.

        Raises:
            MismatchError: they do not belong together, or the grid does not hold the program.
        """
        if grid not in self._known:
            if len(self._known) >= _MOST_GRIDS:
                del self._known[next(iter(self._known))]
            if self._budget is not None:
                place = "program" if grid is None else f"grid 2^-{grid}"
                self._budget.charge(_align_operations(self.network), place)
            self._known[grid] = align(self.network, self.program, grid)
        return self._known[grid]


_OPERATIONS_PER_PARAMETER = 200
"""Of putting a parameter and its code on a grid."""
_OPERATIONS_PER_ACTIVATION = 300_000_000
"""Of enclosing a curve at all its knots, and a table at all its codes."""
_OPERATIONS_PER_NODE = 300_000


def _align_operations(network: Network) -> int:
    """Estimate what `align` takes."""
    curves = sum(node.op not in ("dense", *_SATURATIONS) for node in network.nodes)
    return (
        _OPERATIONS_PER_PARAMETER * network.parameter_count
        + _OPERATIONS_PER_ACTIVATION * curves
        + _OPERATIONS_PER_NODE * len(network.nodes)
    )


@dataclass(frozen=True, slots=True)
class _RealLayer:
    dense: Node | None
    activation: Node | None


@dataclass(frozen=True, slots=True)
class _CodeLayer:
    dense: FixedNode | None
    activation: FixedNode | None
    """A node of its own: a saturation that stands alone, or a lookup."""
    source: str
    output: str

    @property
    def name(self) -> str:
        """Of the node that makes the sums, or else of the activation."""
        nodes = [node for node in (self.dense, self.activation) if node is not None]
        return nodes[0].name


_SATURATIONS = ("relu", "clip")


def align(network: Network, program: FixedNetwork, grid: int | None = None) -> Pair:
    """Put network and program side by side on a grid; None: one that holds the program exactly.

    Raises:
        MismatchError: they are not chains of the same layers, or the program breaks a rule of
            the integer semantics.
    """
    if len(program.inputs) != 1 or len(program.outputs) != 1:
        raise MismatchError("the program must have one input and one output")
    _check_words(program)
    # A program of very many layers is refused before any of them is looked at more closely.
    reals = _real_layers(network)
    codes = _code_layers(program, reals)
    if len(reals) != len(codes):
        raise MismatchError(f"the program has {len(codes)} layers, the network {len(reals)}")
    check_accumulators(program)
    if program.input.tensor.size != network.inputs[0].size:
        raise MismatchError("program and network differ in the number of inputs")
    grid = _grid(program, grid)
    width = program.input.tensor.size
    layers = []
    for real, code in zip(reals, codes, strict=True):
        layers.append(_layer(real, code, program, grid, width))
        width = layers[-1].width
    return Pair(program.input.format, program.input.rounding, tuple(layers), grid)


def coarse_grid(program: FixedNetwork) -> int:
    """Return a grid that holds the codes and lets 64-bit integers hold products, mostly."""
    return max(_COARSE_GRID_BITS, _finest_code(program) + _COARSE_GUARD_BITS)


def sharp_grid(program: FixedNetwork) -> int:
    """Return the finest grid on which 64-bit integers hold the numbers of usual networks.

    Rounding onto it hardly shows, even where it adds up over dozens of layers.
    """
    return max(_SHARP_GRID_BITS, coarse_grid(program))


def _finest_code(program: FixedNetwork) -> int:
    codes = [t.format.fb for t in program.tensors]
    weights = [n.arrays["weight"].format.fb for n in program.nodes if "weight" in n.arrays]
    return max(codes + weights, default=0)


def _grid(program: FixedNetwork, wanted: int | None) -> int:
    """Codes must lie on the grid; accumulators, and so biases, need not."""
    code = _finest_code(program)
    if wanted is not None:
        if not max(code, _COARSE_GRID_BITS - 1) < wanted:
            raise MismatchError(f"a grid of 2^-{wanted} does not hold the program's codes")
        finest_named = max(_FINEST_NAMED_GRID, sharp_grid(program))
        if wanted > finest_named:
            # Numbers grow with the grid, and nothing is gained by one that fine.
            raise MismatchError(f"a grid of 2^-{wanted} is finer than 2^-{finest_named}")
        return wanted
    finest = [n.accumulator.fb for n in program.nodes if n.accumulator is not None]
    return max(_GRID_BITS, max([code, *finest]) + _GUARD_BITS)


def outputs_at(program: FixedNetwork, points: Sequence[Sequence[Fraction]]) -> Integers:
    """Return the program's output codes at real inputs [points, n], evaluated exactly."""
    fmt, mode = program.input.format, program.input.rounding
    codes = [
        [min(max(round_fraction(v / fmt.step, mode), fmt.raw_min), fmt.raw_max) for v in x]
        for x in points
    ]
    return ops.execute(program, np.array(codes, dtype=np.int64))


def _real_layers(network: Network) -> list[_RealLayer]:
    """Group a chain of dense nodes and activations into layers."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise MismatchError("the network must have one input and one output")
    layers: list[_RealLayer] = []
    current = network.inputs[0].id
    for node in network.nodes:
        if node.inputs != (current,):
            raise MismatchError(f"node {node.name} does not continue the chain")
        current = node.output
        if node.op == "dense":
            layers.append(_RealLayer(node, None))
        elif not isinstance(ops.known_ops().get(node.op), ops.Activation):
            raise MismatchError(f"operator {node.op} of {node.name} is not covered by a proof")
        elif layers and layers[-1].activation is None:
            layers[-1] = _RealLayer(layers[-1].dense, node)
        else:
            layers.append(_RealLayer(None, node))
    if current != network.outputs[0].id:
        raise MismatchError("the network's output is not the end of its chain")
    return layers


def _code_layers(program: FixedNetwork, reals: list[_RealLayer]) -> list[_CodeLayer]:
    """Group the program's chain likewise; saturations are part of a dense node's clamp.

    A lookup belongs to the sums before it unless the network's sums there are saturated.
    """
    closed = {k for k, real in enumerate(reals) if _is_saturation(real)}
    layers: list[_CodeLayer] = []
    current = program.inputs[0]
    for node in program.nodes:
        if node.inputs != (current,):
            raise MismatchError(f"program node {node.name} does not continue the chain")
        if node.op == "dense":
            layers.append(_CodeLayer(node, None, current, node.output))
        elif len(layers) - 1 not in closed and _takes(layers, node):
            last = layers[-1]
            layers[-1] = _CodeLayer(last.dense, node, last.source, node.output)
        else:
            layers.append(_CodeLayer(None, node, current, node.output))
        current = node.output
    if current != program.outputs[0]:
        raise MismatchError("the program's output is not the end of its chain")
    return layers


def _is_saturation(real: _RealLayer) -> bool:
    return real.activation is not None and real.activation.op in _SATURATIONS


def _takes(layers: list[_CodeLayer], node: FixedNode) -> bool:
    """Whether the last layer has no activation yet, and this one is no clamp of its own."""
    return bool(layers) and layers[-1].activation is None and node.op not in _SATURATIONS


def check_accumulators(program: FixedNetwork) -> None:
    """Re-derive that no intermediate sum can overflow, for every code an input can have.

    Raises:
        MismatchError: shapes, scales, shifts or the accumulator's width do not fit together.
    """
    reach = {program.inputs[0]: (program.input.format.raw_min, program.input.format.raw_max)}
    for node in program.nodes:
        _check_fields(node)
        source, output = program.tensor(node.inputs[0]), program.tensor(node.output)
        _check_shapes(node, source.tensor.size, output.tensor.size)
        low, high = reach[source.id]
        reach[node.output] = _reach(node, program, (low, high))
        if node.op == "dense":
            magnitude = max(-low, high)
            _check_accumulator(node, source.format, output.format, output.rounding, magnitude)


def check_structure(program: FixedNetwork) -> None:
    """Refuse tensors that are too wide, and nodes whose arrays are missing or do not fit them.

    Raises:
        MismatchError: there is one.
    """
    _check_words(program)
    for node in program.nodes:
        _check_fields(node)
        source, output = program.tensor(node.inputs[0]), program.tensor(node.output)
        _check_shapes(node, source.tensor.size, output.tensor.size)


def _check_words(program: FixedNetwork) -> None:
    for tensor in program.tensors:
        if tensor.format.bits > MAX_BITS:
            raise MismatchError(f"program tensor {tensor.id} is wider than {MAX_BITS} bits")


def _reach(node: FixedNode, program: FixedNetwork, entering: tuple[int, int]) -> tuple[int, int]:
    """Return the least and the greatest code a node can emit."""
    if node.op == "relu":
        return 0, max(entering[1], 0)
    if node.op in ("dense", "clip"):
        low, high = _codes_left(node, program.tensor(node.output).format)
        if node.op == "dense":
            return low, high
        return min(max(entering[0], low), high), min(max(entering[1], low), high)
    try:
        outputs = every_output(node, program)
    except TableError as problem:
        raise MismatchError(f"program node {node.name}: {problem}") from problem
    first = program.tensor(node.inputs[0]).format.raw_min
    outputs = outputs[entering[0] - first : entering[1] - first + 1]
    return int(outputs.min()), int(outputs.max())


def _codes_left(node: FixedNode, fmt: QFormat) -> tuple[int, int]:
    """Return the ends of a clamp.

    Raises:
        MismatchError: they are no codes, or in the wrong order.
    """
    low, high = node.integers["clamp_lo"], node.integers["clamp_hi"]
    if not fmt.raw_min <= low <= high <= fmt.raw_max:
        raise MismatchError(f"program node {node.name} is clamped to other codes than it has")
    return low, high


_FIELDS = {
    "dense": ({"weight", "bias"}, {"shift", "clamp_lo", "clamp_hi"}),
    "relu": (set(), set()),
    "clip": (set(), {"clamp_lo", "clamp_hi"}),
}


def _check_fields(node: FixedNode) -> None:
    """Sums and saturations have exactly the arrays and integers they need; lookups, any."""
    fields = _FIELDS.get(node.op, (set(node.arrays), set(node.integers)))
    if len(node.inputs) != 1 or (set(node.arrays), set(node.integers)) != fields:
        raise MismatchError(f"program node {node.name} has the wrong fields")
    if (node.accumulator is not None) != (node.op == "dense"):
        raise MismatchError(f"program node {node.name} has the wrong fields")
    if node.op != "dense" and not isinstance(ops.known_ops().get(node.op), ops.Activation):
        raise MismatchError(f"program operator {node.op} is not covered by a proof")


def _check_shapes(node: FixedNode, n_in: int, n_out: int) -> None:
    if node.op != "dense":
        fits = n_in == n_out
    else:
        weight, bias = node.arrays["weight"].raw, node.arrays["bias"].raw
        fits = weight.shape == (n_out, n_in) and bias.shape == (n_out,)
    if not fits:
        raise MismatchError(f"program node {node.name} does not fit its tensors' shapes")


def _check_accumulator(
    node: FixedNode, source: QFormat, output: QFormat, rounding: Rounding, magnitude: int
) -> None:
    accumulator, shift = node.accumulator, node.integers["shift"]
    weight, bias = node.arrays["weight"], node.arrays["bias"]
    if accumulator is None:
        raise MismatchError(f"program node {node.name} has no accumulator")
    if accumulator.fb != weight.format.fb + source.fb or bias.format.fb != accumulator.fb:
        raise MismatchError(f"program node {node.name} adds numbers of different scales")
    if shift != accumulator.fb - output.fb:
        raise MismatchError(f"program node {node.name} shifts by {shift}, which misses its format")
    sums = abs(weight.raw.astype(object)).sum(axis=1) * magnitude + abs(bias.raw.astype(object))
    worst = int(max(sums))
    worst = ops.accumulator_bound(worst, shift, rounding)
    if worst > accumulator.bound:
        raise MismatchError(
            f"program node {node.name} can reach {worst} in its accumulator, "
            f"above the {accumulator.bound} it states"
        )


def _layer(
    real: _RealLayer, code: _CodeLayer, program: FixedNetwork, grid: int, width: int
) -> Layer:
    """Put one layer of both sides on the grid, having compared what they do."""
    if (real.dense is None) != (code.dense is None):
        raise MismatchError(f"program tensor {code.output} is not the network's layer")
    sums = _sums(real.dense, code.dense, width, grid)
    facts = None if real.activation is None else _curve(real.activation)
    output = program.tensor(code.output)
    limits, clamp = _limits(real.activation), _clamp(code, program)
    lookup = None
    if real.activation is None or real.activation.op in _SATURATIONS:
        if clamp != _expected_clamp(limits, output.format, output.rounding):
            raise MismatchError(f"program tensor {code.output} is clamped to other codes")
        if not _saturates(code):
            raise MismatchError(f"program tensor {code.output} comes from another operator")
    else:
        lookup = _lookup(real.activation, code, program, grid)
    curve = None if facts is None else on_grid(facts, grid)
    return Layer(
        code.name,
        *sums,
        curve=curve,
        lookup=lookup,
        ends=_ends(limits, clamp, output.format, grid, inexact=curve is not None and curve.inexact),
        clamp=clamp,
        output=output.format,
        rounding=output.rounding,
        spacing=_spacing(code, program, limits),
    )


_Limits = tuple[Fraction | None, Fraction | None]
_Sums = tuple[Raw, Raw, Raw, Raw, bool, bool, bool]


def _sums(real: Node | None, code: FixedNode | None, width: int, grid: int) -> _Sums:
    """Return W, c, V, v of a layer, whether they stand for none, and whether they had to move."""
    if real is None or code is None:
        if width > LARGEST_IDENTITY:
            raise MismatchError(
                f"an activation of {width} neurons with no dense layer before it is beyond "
                f"{LARGEST_IDENTITY}"
            )
        identity = zeros((width, width), grid)
        np.fill_diagonal(identity, 1 << grid)
        nothing = zeros(width, grid)
        return identity, nothing, identity, nothing, True, False, False
    w, c = real.parameters["weight"], real.parameters["bias"]
    v, bias = code.arrays["weight"], code.arrays["bias"]
    if w.shape != v.raw.shape or c.shape != bias.raw.shape or w.shape[1] != width:
        raise MismatchError(f"program node {code.name} has another shape than the network's")
    (w_raw, w_moved), (c_raw, c_moved) = (
        _ON_GRID.get(array, grid, partial(_nearest, array, grid)) for array in (w, c)
    )
    missing = bias.format.fb - grid
    lost = missing > 0 and bool((bias.raw.astype(object) % (1 << missing)).any())
    v_raw = stored(v.raw.astype(object) << (grid - v.format.fb), grid)
    v_bias = stored(_scaled(bias.raw.astype(object), -missing), grid)
    return w_raw, c_raw, v_raw, v_bias, False, w_moved or c_moved, lost


def _nearest(values: FractionArray, grid: int) -> tuple[Raw, bool]:
    raw, moved = nearest(values, grid)
    raw.flags.writeable = False
    return raw, moved


def _saturates(code: _CodeLayer) -> bool:
    """Whether the program's layer is sums or a saturation, and so is all told by its clamp.

    A clamp to the whole format says nothing about an operator that has no clamp.
    """
    if code.activation is None:
        return True
    return code.dense is None and code.activation.op in _SATURATIONS


def _curve(node: Node) -> ops.Curve:
    op = ops.known_ops()[node.op]
    if not isinstance(op, ops.Activation):
        raise MismatchError(f"operator {node.op} of {node.name} is no activation")
    return op.curve(node)


def _limits(node: Node | None) -> _Limits:
    """Return where a saturation is flat: below and above."""
    if node is None or node.op not in _SATURATIONS:
        return None, None
    if node.op == "relu":
        return Fraction(0), None
    low, high = (node.parameters.get(side) for side in ("lo", "hi"))
    return None if low is None else low[0], None if high is None else high[0]


def _clamp(code: _CodeLayer, program: FixedNetwork) -> tuple[int, int]:
    """Return the codes between which the layer's last node leaves its output."""
    fmt = program.tensor(code.output).format
    last = code.activation or code.dense
    if last is None or last.op not in ("dense", *_SATURATIONS):
        return fmt.raw_min, fmt.raw_max
    if last.op != "dense" and program.tensor(code.source).format != fmt:
        raise MismatchError(f"program node {last.name} changes the format")
    if last.op == "relu":
        return 0, fmt.raw_max
    return last.integers["clamp_lo"], last.integers["clamp_hi"]


def _expected_clamp(limits: _Limits, fmt: QFormat, mode: Rounding) -> tuple[int, int]:
    """Return the codes a saturation's limits round to: rounding never changes the order."""
    low, high = (None if v is None else round_fraction(v / fmt.step, mode) for v in limits)
    return (
        fmt.raw_min if low is None else max(low, fmt.raw_min),
        fmt.raw_max if high is None else min(high, fmt.raw_max),
    )


def _ends(
    limits: _Limits, clamp: tuple[int, int], fmt: QFormat, grid: int, *, inexact: bool
) -> tuple[End | None, End | None]:
    """Return the flat ends; on them the program emits one code, the network one number."""

    def end(limit: Fraction, code: int, place: int) -> End:
        error, extra = code * fmt.step - limit, int(inexact)
        return End(place, floor_to_grid(error, grid) - extra, ceil_to_grid(error, grid) + extra)

    low, high = limits
    return (
        None if low is None else end(low, clamp[0], floor_to_grid(low, grid)),
        None if high is None else end(high, clamp[1], ceil_to_grid(high, grid)),
    )


def _spacing(code: _CodeLayer, program: FixedNetwork, limits: _Limits) -> Fraction | None:
    """Return what every saturated sum is a multiple of, if there is such a number."""
    if code.dense is None or code.dense.accumulator is None:
        spacing = program.tensor(code.source).format.step
    else:
        spacing = two_to(-code.dense.accumulator.fb)
    if any(limit is not None and limit % spacing for limit in limits):
        return None
    return spacing


def _lookup(real: Node, code: _CodeLayer, program: FixedNetwork, grid: int) -> Lookup:
    """Tabulate the program's activation against the network's.

    Raises:
        MismatchError: they are different operators, or the program's has contradictory numbers.
    """
    node = code.activation
    if node is None or node.op != real.op:
        raise MismatchError(f"program tensor {code.output} is not the network's {real.op}")
    if code.dense is not None:
        before = program.tensor(code.dense.output)
        if _dense_clamp(code.dense) != (before.format.raw_min, before.format.raw_max):
            raise MismatchError(f"program tensor {before.id} is clamped before its activation")
    try:
        return tabulated(node, program, on_grid(_curve(real), grid), grid)
    except TableError as problem:
        raise MismatchError(f"program node {node.name}: {problem}") from problem


def _dense_clamp(node: FixedNode) -> tuple[int, int]:
    return node.integers["clamp_lo"], node.integers["clamp_hi"]


def _scaled(raw: Raw, shift: int) -> Raw:
    return raw << shift if shift >= 0 else raw >> -shift
