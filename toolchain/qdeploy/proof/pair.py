"""The network f and the integer program g side by side, layer by layer, as exact numbers.

For every layer: y = W a + c, a' = phi(y) over the reals, and z = V b + v exactly, b' =
phi(round(z)) with saturation, phi the ReLU or the identity. The program is not believed: its
formats, clamps and accumulators are checked here against the integer semantics (docs/SPEC.md).
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from qdeploy.fixedpoint import MAX_BITS, QFormat, Rounding
from qdeploy.ir import FixedNetwork, FixedNode, Network, Node
from qdeploy.ops import accumulator_bound
from qdeploy.proof.dyadic import Raw, ceil_to_grid, stored, zeros

_GRID_BITS = 64
_GUARD_BITS = 16
_FINEST_GRID = 1024
_COARSE_GRID_BITS = 20
_COARSE_GUARD_BITS = 8


class MismatchError(ValueError):
    """The program does not have the structure it must have; the text says what."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the pair; matrices are raw on the pair's grid (W, c rounded: see `inexact`)."""

    w: Raw
    c: Raw
    v: Raw
    v_bias: Raw
    inexact: bool
    """Whether some entry of W or c had to be rounded onto the grid, by at most half a unit."""
    bias_inexact: bool
    """Whether some entry of v had to be rounded down onto the grid, by less than a unit."""
    relu: bool
    output: QFormat
    rounding: Rounding
    z_step: Fraction
    """Spacing of the values the accumulator can take."""

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


@dataclass(frozen=True, slots=True)
class _RealLayer:
    dense: Node | None
    relu: bool


@dataclass(frozen=True, slots=True)
class _CodeLayer:
    dense: FixedNode | None
    source: str
    output: str
    relu: bool


def align(network: Network, program: FixedNetwork, grid: int | None = None) -> Pair:
    """Put network and program side by side on a grid; None: one that holds the program exactly.

    Raises:
        MismatchError: they are not chains of the same layers, or the program breaks a rule of
            the integer semantics.
    """
    if len(program.inputs) != 1 or len(program.outputs) != 1:
        raise MismatchError("the program must have one input and one output")
    for tensor in program.tensors:
        if tensor.format.bits > MAX_BITS:
            raise MismatchError(f"program tensor {tensor.id} is wider than {MAX_BITS} bits")
    check_accumulators(program)
    reals, codes = _real_layers(network), _code_layers(program)
    if len(reals) != len(codes):
        raise MismatchError(f"the program has {len(codes)} layers, the network {len(reals)}")
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


def _finest_code(program: FixedNetwork) -> int:
    codes = [t.format.fb for t in program.tensors]
    weights = [n.arrays["weight"].format.fb for n in program.nodes if "weight" in n.arrays]
    return max(codes + weights)


def _grid(program: FixedNetwork, wanted: int | None) -> int:
    """Codes must lie on the grid; accumulators, and so biases, need not."""
    code = _finest_code(program)
    if wanted is not None:
        if not max(code, _COARSE_GRID_BITS - 1) < wanted <= _FINEST_GRID:
            raise MismatchError(f"a grid of 2^-{wanted} does not hold the program's codes")
        return wanted
    finest = [n.accumulator.fb for n in program.nodes if n.accumulator is not None]
    return max(_GRID_BITS, max([code, *finest]) + _GUARD_BITS)


def _real_layers(network: Network) -> list[_RealLayer]:
    """Group a chain of `dense` and `relu` nodes into layers."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise MismatchError("the network must have one input and one output")
    layers: list[_RealLayer] = []
    current = network.inputs[0].id
    for node in network.nodes:
        if node.inputs != (current,):
            raise MismatchError(f"node {node.name} does not continue the chain")
        current = node.output
        match node.op:
            case "dense":
                layers.append(_RealLayer(node, relu=False))
            case "relu" if layers and not layers[-1].relu:
                layers[-1] = _RealLayer(layers[-1].dense, relu=True)
            case "relu":
                layers.append(_RealLayer(None, relu=True))
            case _:
                raise MismatchError(f"operator {node.op} of {node.name} is not covered by a proof")
    if current != network.outputs[0].id:
        raise MismatchError("the network's output is not the end of its chain")
    return layers


def _code_layers(program: FixedNetwork) -> list[_CodeLayer]:
    """Group the program's chain likewise; a dense node whose clamp starts at 0 has its ReLU."""
    layers: list[_CodeLayer] = []
    current = program.inputs[0]
    for node in program.nodes:
        if node.inputs != (current,):
            raise MismatchError(f"program node {node.name} does not continue the chain")
        layers.append(_code_layer(node, program, current))
        current = node.output
    if current != program.outputs[0]:
        raise MismatchError("the program's output is not the end of its chain")
    return layers


def _code_layer(node: FixedNode, program: FixedNetwork, source: str) -> _CodeLayer:
    if node.op == "relu":
        if program.tensor(source).format != program.tensor(node.output).format:
            raise MismatchError(f"program node {node.name} changes the format")
        return _CodeLayer(None, source, node.output, relu=True)
    fmt = program.tensor(node.output).format
    low, high = node.integers["clamp_lo"], node.integers["clamp_hi"]
    if high != fmt.raw_max or low not in (0, fmt.raw_min):
        raise MismatchError(f"program node {node.name} clamps to codes that are no saturation")
    return _CodeLayer(node, source, node.output, relu=low == 0)


def check_accumulators(program: FixedNetwork) -> None:
    """Re-derive that no intermediate sum can overflow, for every code an input can have.

    Raises:
        MismatchError: shapes, scales, shifts or the accumulator's width do not fit together.
    """
    low = {program.inputs[0]: program.input.format.raw_min}
    for node in program.nodes:
        _check_fields(node)
        source, output = program.tensor(node.inputs[0]), program.tensor(node.output)
        _check_shapes(node, source.tensor.size, output.tensor.size)
        if node.op == "relu":
            low[node.output] = 0
            continue
        magnitude = max(-low[source.id], source.format.raw_max)
        low[node.output] = node.integers["clamp_lo"]
        _check_accumulator(node, source.format, output.format, output.rounding, magnitude)


_FIELDS = {
    "dense": (1, {"weight", "bias"}, {"shift", "clamp_lo", "clamp_hi"}),
    "relu": (1, set(), set()),
}


def _check_fields(node: FixedNode) -> None:
    """Every operator has exactly the inputs, arrays and integers it needs."""
    if node.op not in _FIELDS:
        raise MismatchError(f"program operator {node.op} is not covered by a proof")
    inputs, arrays, integers = _FIELDS[node.op]
    if (len(node.inputs), set(node.arrays), set(node.integers)) != (inputs, arrays, integers):
        raise MismatchError(f"program node {node.name} has the wrong fields")
    if (node.accumulator is not None) != (node.op == "dense"):
        raise MismatchError(f"program node {node.name} has the wrong fields")


def _check_shapes(node: FixedNode, n_in: int, n_out: int) -> None:
    if node.op == "relu":
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
    worst = accumulator_bound(worst, shift, rounding)
    if worst > accumulator.bound:
        raise MismatchError(
            f"program node {node.name} can reach {worst} in its accumulator, "
            f"above the {accumulator.bound} it states"
        )


def _layer(
    real: _RealLayer, code: _CodeLayer, program: FixedNetwork, grid: int, width: int
) -> Layer:
    if (real.dense is None) != (code.dense is None) or real.relu != code.relu:
        raise MismatchError(f"program tensor {code.output} is not the network's layer")
    output = program.tensor(code.output)
    if real.dense is None or code.dense is None or code.dense.accumulator is None:
        identity = zeros((width, width), grid)
        np.fill_diagonal(identity, 1 << grid)
        nothing = zeros(width, grid)
        step = output.format.step
        return Layer(
            identity,
            nothing,
            identity,
            nothing,
            inexact=False,
            bias_inexact=False,
            relu=True,
            output=output.format,
            rounding=output.rounding,
            z_step=step,
        )
    w, c = real.dense.parameters["weight"], real.dense.parameters["bias"]
    v, bias = code.dense.arrays["weight"], code.dense.arrays["bias"]
    if w.shape != v.raw.shape or c.shape != bias.raw.shape or w.shape[1] != width:
        raise MismatchError(f"program node {code.dense.name} has another shape than the network's")
    w_raw, w_inexact = _onto_grid(w, grid)
    c_raw, c_inexact = _onto_grid(c, grid)
    missing = bias.format.fb - grid
    return Layer(
        w_raw,
        c_raw,
        stored(v.raw.astype(object) << (grid - v.format.fb), grid),
        stored(_scaled(bias.raw.astype(object), -missing), grid),
        inexact=w_inexact or c_inexact,
        bias_inexact=missing > 0 and bool((bias.raw.astype(object) % (1 << missing)).any()),
        relu=real.relu,
        output=output.format,
        rounding=output.rounding,
        z_step=_power_of_two(-code.dense.accumulator.fb),
    )


def _scaled(raw: Raw, shift: int) -> Raw:
    return raw << shift if shift >= 0 else raw >> -shift


def _onto_grid(parameter: Raw, grid: int) -> tuple[Raw, bool]:
    """Round exact parameters to the nearest grid point; say whether any had to move."""
    flat = [ceil_to_grid(p - Fraction(1, 2 << grid), grid) for p in parameter.ravel()]
    inexact = any(Fraction(r, 1 << grid) != p for r, p in zip(flat, parameter.ravel(), strict=True))
    raw = np.empty(len(flat), dtype=object)
    raw[:] = flat
    return stored(raw.reshape(parameter.shape), grid), inexact


def _power_of_two(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)
