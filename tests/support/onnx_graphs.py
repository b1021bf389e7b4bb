"""Random graphs for laws about the importer: every accepted operator, opset, type and shape.

A graph is grown from a `random.Random`. Hypothesis brings one that shrinks (`dense_graphs`), a
fuzzer one with a seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from support.onnx_models import ML, Graph, node

OPSETS = tuple(range(8, onnx.defs.onnx_opset_version() + 1))
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
INTEGERS = (TensorProto.INT64, TensorProto.INT32)
_NUMBERS = (-2.5, -1.0, -0.375, -0.0, 0.0, 0.1, 0.5, 1.0, 3.0, 1e-3, 60.0)
_DIVISORS = tuple(v for v in _NUMBERS if v)
_SINCE_BFLOAT16 = 22
"""Since this opset every operator here knows bfloat16."""


@dataclass
class Growing:
    """A graph under construction: the current tensor's name, shape and element type."""

    random: Random
    opset: int
    kind: int
    name: str
    shape: tuple[int, ...]
    nodes: list = field(default_factory=list)
    parameters: dict = field(default_factory=dict)
    known: dict = field(default_factory=dict)
    """Element type and shape of every tensor that depends on the input."""

    @property
    def size(self) -> int:
        return prod(self.shape)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.random.randrange(len(options))]

    def chance(self, share: float = 0.5) -> bool:
        return self.random.random() < share

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def fresh(self, letter: str) -> str:
        return f"{letter}{len(self.parameters) + len(self.nodes)}"

    def constant(self, shape, choices=_NUMBERS) -> str:
        values = [self.pick(choices) for _ in range(self.number(1, 8))]
        dtype = helper.tensor_dtype_to_np_dtype(self.kind)
        return self.stored(np.resize(np.array(values).astype(dtype), shape))

    def scalar(self, value: float) -> str:
        dtype = helper.tensor_dtype_to_np_dtype(self.kind)
        return self.stored(np.array(value).astype(dtype))

    def stored(self, array) -> str:
        """Store a constant as an initializer or a Constant node."""
        name = self.fresh("c")
        if self.chance():
            self.parameters[name] = array
        else:
            self.nodes.append(node("Constant", "", name, **self._written(array)))
        return name

    def _written(self, array) -> dict[str, Any]:
        """Write a constant as an attribute: its bytes, its numbers, or a list of them."""
        plain = {"float32": "value_float", "int64": "value_int"}.get(array.dtype.name)
        if plain and self.opset >= 12 and array.ndim < 2 and array.size and self.chance(0.3):
            return {f"{plain}s" if array.ndim else plain: array.tolist()}
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        if kind in (*FLOATS, *INTEGERS) and self.chance(0.3):
            numbers = helper.make_tensor("", kind, array.shape, array.ravel().tolist())
            return {"value": numbers}
        return {"value": numpy_helper.from_array(array)}

    def integers(self, *values: int, shape: tuple[int, ...] = (-1,)) -> str:
        return self.stored(np.array(values, dtype=np.int64).reshape(shape))

    def apply(self, op, operands, shape=None, **attributes) -> None:
        """Append a node that reads `operands` (blank-separated), and go on from its result."""
        output = self.fresh("t")
        self.nodes.append(node(op, operands, output, **attributes))
        self.name = output
        self.shape = self.shape if shape is None else tuple(int(d) for d in shape)
        self.kind = attributes["to"] if op == "Cast" else self.kind
        self.known[output] = (self.kind, self.shape)


Step = Callable[[Growing], None]


# --- layers ----------------------------------------------------------------------------------


def _matmul(g: Growing) -> None:
    width = g.number(1, 4)
    rows = g.shape[:-1]
    if g.shape and prod(rows) == 1:
        vector = g.chance(0.1)
        matrix = g.constant((g.shape[-1],) if vector else (g.shape[-1], width))
        g.apply("MatMul", f"{g.name} {matrix}", rows if vector else (*rows, width))
    elif g.shape and g.shape[-1] == 1 and g.size == g.shape[-2]:
        matrix = g.constant((width, g.shape[-2]))
        g.apply("MatMul", f"{matrix} {g.name}", (*g.shape[:-2], width, 1))


def _gemm(g: Growing) -> None:
    if len(g.shape) != 2 or 1 not in g.shape:
        return
    width, turned = g.number(1, 4), g.chance()
    column = g.shape[1] == 1 and g.shape[0] > 1
    matrix = g.constant((width, g.size) if turned != column else (g.size, width))
    shape = (width, 1) if column else (1, width)
    biases = [shape, (1, 1), (1,), ()] + ([] if column else [(width,)])
    # Gemm had to have its C before opset 11.
    bias = g.pick(biases + ([None, ...] if g.opset >= 11 else []))
    addend = {None: "", ...: "-"}.get(bias) if bias in (None, ...) else g.constant(bias)
    flags = {"transA": int(turned)} if column else {"transB": int(turned)}
    factors = {k: g.pick([0.5, 1.0, -3.0, 0.1, 0.0]) for k in ("alpha", "beta") if g.chance()}
    operands = f"{matrix} {g.name}" if column else f"{g.name} {matrix}"
    g.apply("Gemm", f"{operands} {addend}", shape, **flags, **factors)


def _elementwise(g: Growing) -> None:
    op = g.pick(["Add", "Sub", "Mul", "Div"])
    first = op != "Div" and g.chance()
    shapes = {g.shape, g.shape[-1:], (1,) * len(g.shape), (), (1, *g.shape)}
    wanted = g.pick(sorted(s for s in shapes if len(s) <= 5))
    constant = g.constant(wanted, _DIVISORS if op == "Div" else _NUMBERS)
    if g.chance(0.2):
        constant = _folded(g, constant, wanted)
    result = np.broadcast_shapes(g.shape, wanted)
    g.apply(op, f"{constant} {g.name}" if first else f"{g.name} {constant}", result)


def _folded(g: Growing, constant: str, shape) -> str:
    """Make a constant out of two, which the importer multiplies out exactly."""
    name, other = g.fresh("k"), g.constant(shape, (0.5, 1.0, 3.0, 1e-3))
    g.nodes.append(node(g.pick(["Mul", "Div"]), f"{constant} {other}", name))
    return name


def _scaler(g: Growing) -> None:
    """Scikit-learn's, which makes float of whatever it reads."""
    if g.kind not in (*FLOATS, *INTEGERS) or not g.shape:
        return
    count = g.pick([1, g.shape[-1]]) if len(g.shape) < 3 else 1
    values = {
        name: [float(np.float32(g.pick(_NUMBERS))) for _ in range(count)]
        for name in ("offset", "scale")
    }
    g.kind = TensorProto.FLOAT
    g.apply("Scaler", g.name, domain=ML, **values)


# --- activations -----------------------------------------------------------------------------


def _relu(g: Growing) -> None:
    g.apply("Relu", g.name)


def _limits(g: Growing) -> tuple[float | None, float | None]:
    largest = float(np.finfo(np.float32).max)
    low = g.pick([None, -1.0, -0.1, -0.0, 0.0, 0.05, -largest, -np.inf])
    return low, g.pick([0.1, 1.0, 6.0, None, largest, np.inf])


def _clip(g: Growing) -> None:
    low, high = _limits(g)
    if g.opset < 11:
        given = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
        g.apply("Clip", g.name, **given)
        return
    names = ["-" if v is None else _limit(g, v) for v in (low, high)]
    operands = [g.name, *names]
    while operands[-1] == "-" and g.chance():
        operands.pop()
    g.apply("Clip", " ".join(operands))


def _limit(g: Growing, value: float) -> str:
    dtype = helper.tensor_dtype_to_np_dtype(g.kind)
    with np.errstate(over="ignore"):
        return g.stored(np.full(g.pick([(), (1,)]), value).astype(dtype))


def _beyond(g: Growing) -> None:
    op = g.pick(["Max", "Min"])
    constants = [g.scalar(g.pick([-1.0, 0.0, 0.5, 2.0])) for _ in range(g.number(0, 2))]
    operands = [*constants, g.name]
    g.random.shuffle(operands)
    g.apply(op, " ".join(operands))


def _leaky(g: Growing) -> None:
    slope = g.pick([None, 0.0, -0.0, 0.25, 0.1, 1.0, 1.5, -0.5])
    g.apply("LeakyRelu", g.name, **({} if slope is None else {"alpha": slope}))


def _prelu(g: Growing) -> None:
    wanted = g.pick([g.shape, g.shape[-1:], (1,) if g.shape else (), ()])
    g.apply("PRelu", f"{g.name} {g.constant(wanted)}")


def _hard_sigmoid(g: Growing) -> None:
    given = g.pick([{}, {"alpha": 0.25}, {"alpha": 1.0, "beta": 0.0}, {"alpha": -0.5}])
    g.apply("HardSigmoid", g.name, **given)


def smooth(g: Growing) -> None:
    op = g.pick(["Tanh", "Sigmoid", "Softsign", "Elu"])
    alpha = {"alpha": g.pick([0.0, 0.5, 2.0])} if op == "Elu" and g.chance() else {}
    g.apply(op, g.name, **alpha)


def softsign_written_out(g: Growing) -> None:
    x, constant = g.name, g.scalar(g.pick([1.0, 0.5, 3.0]))
    g.apply("Abs", x)
    g.apply("Add", f"{constant} {g.name}" if g.chance() else f"{g.name} {constant}")
    g.apply("Div", f"{x} {g.name}")


# --- plumbing --------------------------------------------------------------------------------


def _identity(g: Growing) -> None:
    g.apply("Identity", g.name)


def _dropout(g: Growing) -> None:
    if g.opset < 12:
        g.apply("Dropout", g.name, **({"ratio": 0.25} if g.chance() else {}))
        return
    ratio, mode = (g.scalar(0.25) if g.chance() else "-"), g.stored(np.array(False))
    operands = g.pick([[g.name], [g.name, ratio], [g.name, ratio, mode]])
    g.apply("Dropout", " ".join(operands))


def _cast(g: Growing) -> None:
    g.apply("Cast", g.name, to=g.pick(FLOATS))


def _flatten(g: Growing) -> None:
    axis = g.number(-len(g.shape) if g.opset >= 11 else 0, len(g.shape))
    front = axis if axis >= 0 else axis + len(g.shape)
    shape = (prod(g.shape[:front]), prod(g.shape[front:]))
    given = {} if axis == 1 and g.chance() else {"axis": axis}
    g.apply("Flatten", g.name, shape, **given)


def _reshape(g: Growing) -> None:
    wanted = g.pick([(1, -1), (-1, 1), (-1,), (1, 1, -1), (1, g.size), (0, -1), (g.size, 1)])
    if wanted[0] == 0 and (len(g.shape) < 1 or len(wanted) > 2):
        return
    target = _computed(g, wanted) if g.chance(0.2) else g.integers(*wanted)
    front = [g.shape[0] if d == 0 else d for d in wanted]
    keep = {"allowzero": 0} if g.opset >= 14 and g.chance(0.2) else {}
    if g.opset >= 14 and 0 not in wanted and g.chance(0.2):
        keep = {"allowzero": 1}
    g.apply("Reshape", f"{g.name} {target}", np.zeros(g.size).reshape(front).shape, **keep)


def _computed(g: Growing, wanted) -> str:
    """Write a shape as exporters with an open batch do: gathered from a Shape, and joined."""
    shape, picked, lifted, joined = (f"{g.fresh('s')}_{i}" for i in range(4))
    bounds = {"start": 0, "end": 9} if g.opset >= 15 and g.chance() else {}
    g.nodes.append(node("Shape", g.name, shape, **bounds))
    ones = [i for i, d in enumerate(g.shape) if d == wanted[0]]
    if wanted[0] < 1 or not ones:
        return g.integers(*wanted)
    place = g.pick([ones[0], ones[0] - len(g.shape)])
    g.nodes.append(node("Gather", f"{shape} {g.integers(place, shape=())}", picked, axis=0))
    _unsqueezed(g, picked, lifted)
    rest = g.integers(*wanted[1:])
    g.nodes.append(node("Concat", f"{lifted} {rest}", joined, axis=g.pick([0, -1])))
    return joined


def _unsqueezed(g: Growing, name: str, output: str) -> None:
    axes = {"axes": [0]} if g.opset < 13 else {}
    operands = name if axes else f"{name} {g.integers(0)}"
    g.nodes.append(node("Unsqueeze", operands, output, **axes))


def _with_axes(g: Growing, op: str, axes: list[int], shape) -> None:
    if g.opset < 13:
        g.apply(op, g.name, shape, axes=axes)
    else:
        g.apply(op, f"{g.name} {g.integers(*axes)}", shape)


def _counted(g: Growing, axis: int, rank: int) -> int:
    """Count an axis from either end; before opset 11 from the front alone."""
    return axis - rank if g.opset >= 11 and g.chance() else axis


def _squeeze(g: Growing) -> None:
    ones = [i for i, d in enumerate(g.shape) if d == 1]
    if not ones or len(g.shape) == 1:
        return
    if g.chance(0.2):
        g.apply("Squeeze", g.name, [d for d in g.shape if d != 1])
        return
    axis = g.pick(ones)
    shape = np.squeeze(np.zeros(g.shape), axis).shape
    _with_axes(g, "Squeeze", [_counted(g, axis, len(g.shape))], shape)


def _unsqueeze(g: Growing) -> None:
    if len(g.shape) < 4:
        axis = g.number(0, len(g.shape))
        shape = np.expand_dims(np.zeros(g.shape), axis).shape
        _with_axes(g, "Unsqueeze", [_counted(g, axis, len(shape))], shape)


def _transpose(g: Growing) -> None:
    if sum(d > 1 for d in g.shape) <= 1:
        order = list(range(len(g.shape)))
        g.random.shuffle(order)
        if g.chance(0.2):
            g.apply("Transpose", g.name, g.shape[::-1])
        elif order:
            g.apply("Transpose", g.name, [g.shape[i] for i in order], perm=order)


EXACT: tuple[Step, ...] = (
    _matmul,
    _matmul,
    _gemm,
    _gemm,
    _elementwise,
    _elementwise,
    _scaler,
    _relu,
    _clip,
    _beyond,
    _leaky,
    _prelu,
    _hard_sigmoid,
    _identity,
    _dropout,
    _cast,
    _flatten,
    _reshape,
    _squeeze,
    _unsqueeze,
    _transpose,
)
"""Steps with exact rational values."""
SMOOTH: tuple[Step, ...] = (smooth, smooth, softsign_written_out)


# --- ends ------------------------------------------------------------------------------------


def _class_axis(g: Growing) -> int | None:
    axes = [i for i, d in enumerate(g.shape) if d == g.size > 1]
    return axes[0] if axes else None


def softmax(g: Growing) -> None:
    axis = _class_axis(g)
    if axis is not None:
        axis = 0 if g.opset < 13 and g.chance() else axis
        given = g.pick([axis, axis - len(g.shape)])
        g.apply(g.pick(["Softmax", "LogSoftmax"]), g.name, axis=given)


def label(g: Growing) -> None:
    axis = _class_axis(g)
    if axis is not None:
        kept = g.pick([{}, {"keepdims": 0}, {"keepdims": 1}])
        shape = [1 if i == axis else d for i, d in enumerate(g.shape)]
        shape = [d for i, d in enumerate(shape) if i != axis or kept.get("keepdims", 1)]
        g.apply("ArgMax", g.name, shape, axis=axis, **kept)
        g.kind = TensorProto.INT64
        g.known[g.name] = (g.kind, g.shape)


def labelled(g: Growing) -> None:
    """Scikit-learn's scores and the name of the winner."""
    classes = g.size
    label(g)
    if g.kind == TensorProto.INT64:
        names = g.stored(np.arange(classes, dtype=g.pick(["i4", "i8"])))
        g.apply("ArrayFeatureExtractor", f"{names} {g.name}", (1, 1), domain=ML)
        g.known.pop(g.name)


def complement(g: Growing) -> None:
    """The two probabilities that are made of one."""
    if g.size != 1 or not g.shape:
        return
    g.apply("Sigmoid", g.name)
    p, one = g.name, g.scalar(1.0)
    g.apply("Sub", f"{one} {p}")
    operands = [p, g.name]
    g.random.shuffle(operands)
    axis = g.number(0, len(g.shape) - 1)
    shape = [2 if i == axis else d for i, d in enumerate(g.shape)]
    g.apply("Concat", " ".join(operands), shape, axis=axis)


def lossy(g: Growing) -> None:
    """Ends that must not be cut."""
    if not g.shape:
        return
    if g.chance():
        g.apply(g.pick(["Softmax", "LogSoftmax"]), g.name, axis=g.number(0, len(g.shape) - 1))
        return
    first = g.name
    g.apply("Mul", f"{first} {g.scalar(1000.0)}")
    g.apply("Concat", f"{first} {g.name}", (*g.shape[:-1], 2 * g.shape[-1]), axis=-1)


ENDS: tuple[Step, ...] = (softmax, softmax, label, labelled, complement, complement, lossy)


# --- whole graphs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What may be in a graph."""

    steps: tuple[Step, ...] = EXACT
    kinds: tuple[int, ...] = FLOATS
    ends: tuple[Step, ...] = ()
    most: int = 9
    """Steps."""


ANYTHING = Plan(
    (*EXACT, *SMOOTH),
    (TensorProto.FLOAT,) * 6
    + (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    + INTEGERS,
    ENDS,
)


def random_graph(random: Random, plan: Plan) -> Graph:
    """Grow a graph; unless ends are planned it surely ends in a layer."""
    g = _seed(random, plan)
    for _ in range(g.number(1, plan.most)):
        g.pick(plan.steps)(g)
    if not plan.ends or g.chance(0.7):
        _relu(g)
    if plan.ends and g.chance(0.3):
        g.pick(plan.ends)(g)
    declared = _input_shape(g)
    return Graph(
        g.nodes,
        declared,
        (g.name,),
        g.parameters,
        g.opset,
        g.known["x"][0],
        listed=g.chance(0.1),
        declared=_declared(g) if plan.ends else (),
    )


def _seed(random: Random, plan: Plan) -> Growing:
    """Start with the input, behind its Cast where it is one of integers."""
    opset = OPSETS[random.randrange(len(OPSETS))]
    kind = plan.kinds[random.randrange(len(plan.kinds))]
    if kind == TensorProto.BFLOAT16 and opset < _SINCE_BFLOAT16:
        kind = TensorProto.FLOAT
    size = random.randint(1, 4)
    shapes = [(size,), (1, size), (1, size), (1, 1, 1, size), (size, 1)]
    g = Growing(random, opset, kind, "x", shapes[random.randrange(len(shapes))])
    g.known["x"] = (kind, g.shape)
    if kind in INTEGERS:
        (_scaler if g.chance(0.2) else _cast)(g)
    return g


def _input_shape(g: Growing) -> tuple[int | str | None, ...]:
    """Declare the input, its batch open or not."""
    shape = g.known["x"][1]
    if len(shape) > 1 and shape[0] == 1 and g.chance():
        return (g.pick(["N", None]), *shape[1:])
    return shape


def _declared(g: Growing) -> tuple[onnx.ValueInfoProto, ...]:
    """Say of some tensors what they are, some extents left open."""
    said = []
    for name, (kind, shape) in g.known.items():
        if name != "x" and g.chance(0.3):
            extents = [d if g.chance(0.8) else g.pick([None, "batch"]) for d in shape]
            said.append(helper.make_tensor_value_info(name, kind, extents))
    return tuple(said)


@st.composite
def dense_graphs(draw: st.DrawFn, plan: Plan = Plan()) -> Graph:
    """Draw a graph."""
    return random_graph(draw(st.randoms(use_true_random=False)), plan)
