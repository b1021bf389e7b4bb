"""Random dense graphs for laws about the importer: every accepted operator, opset and shape."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from support.onnx_models import Graph, node

OPSETS = (8, 9, 11, 12, 13, 14, 18, 21)
_NUMBERS = (-2.5, -1.0, -0.375, 0.0, 0.1, 0.5, 1.0, 3.0)


@dataclass
class Growing:
    """A graph under construction: the current tensor's name and shape."""

    draw: st.DrawFn
    opset: int
    name: str
    shape: tuple[int, ...]
    nodes: list
    parameters: dict
    types: tuple[str, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def constant(self, shape, choices=_NUMBERS) -> str:
        values = self.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=8))
        array = np.resize(np.array(values, dtype=self.draw(st.sampled_from(self.types))), shape)
        return self.stored(array)

    def stored(self, array) -> str:
        name = f"c{len(self.parameters) + len(self.nodes)}"
        if self.draw(st.booleans()):
            self.parameters[name] = array
        else:
            self.nodes.append(node("Constant", "", name, value=numpy_helper.from_array(array)))
        return name

    def apply(self, op, operands, shape, **attributes) -> None:
        output = f"t{len(self.nodes)}"
        self.nodes.append(node(op, operands, output, **attributes))
        self.name, self.shape = output, tuple(int(d) for d in shape)


def _matmul(g: Growing) -> None:
    width = g.draw(st.integers(1, 4))
    rows = g.shape[:-1]
    if len(g.shape) < 2 or np.prod(rows) == 1:
        matrix = g.constant((g.shape[-1], width))
        g.apply("MatMul", f"{g.name} {matrix}", (*rows, width))
    elif g.shape[-1] == 1 and g.size == g.shape[-2]:
        matrix = g.constant((width, g.shape[-2]))
        g.apply("MatMul", f"{matrix} {g.name}", (*g.shape[:-2], width, 1))


def _gemm(g: Growing) -> None:
    if len(g.shape) != 2 or 1 not in g.shape:
        return
    width, turned = g.draw(st.integers(1, 4)), g.draw(st.booleans())
    column = g.shape[1] == 1 and g.shape[0] > 1
    matrix = g.constant((width, g.size) if turned != column else (g.size, width))
    shape = (width, 1) if column else (1, width)
    biases = [shape, (1, 1), (1,), ()] + ([] if column else [(width,)])
    # Gemm had to have its C before opset 11.
    biases += [None] if g.opset >= 11 else []
    bias = g.draw(st.sampled_from(biases))
    addend = "" if bias is None else g.constant(bias)
    flags = {"transA": int(turned)} if column else {"transB": int(turned)}
    factors = {k: g.draw(st.sampled_from([0.5, 1.0, -3.0, 0.1])) for k in ("alpha", "beta")}
    operands = f"{matrix} {g.name}" if column else f"{g.name} {matrix}"
    g.apply("Gemm", f"{operands} {addend}", shape, **flags, **factors)


def _elementwise(g: Growing) -> None:
    op = g.draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
    first = op != "Div" and g.draw(st.booleans())
    shapes = {g.shape, g.shape[-1:], (1,) * len(g.shape), (), (1, *g.shape)}
    choices = tuple(v for v in _NUMBERS if v) if op == "Div" else _NUMBERS
    wanted = g.draw(st.sampled_from(sorted(s for s in shapes if len(s) <= 5)))
    constant = g.constant(wanted, choices)
    result = np.broadcast_shapes(g.shape, wanted)
    g.apply(op, f"{constant} {g.name}" if first else f"{g.name} {constant}", result)


def _relu(g: Growing) -> None:
    g.apply("Relu", g.name, g.shape)


def _clip(g: Growing) -> None:
    limits = {"min": g.draw(st.sampled_from([None, -1.0, -0.1, 0.0])), "max": None}
    limits["max"] = g.draw(st.sampled_from([0.1, 1.0, 6.0, None]))
    if g.opset < 11:
        g.apply("Clip", g.name, g.shape, **{k: v for k, v in limits.items() if v is not None})
        return
    low, high = ("-" if v is None else g.stored(np.array(v, "f4")) for v in limits.values())
    operands = [g.name, low, high] if high != "-" else [g.name, low]
    g.apply("Clip", " ".join(operands[:1] if low == high == "-" else operands), g.shape)


def _leaky(g: Growing) -> None:
    slope = g.draw(st.sampled_from([None, 0.0, 0.25, 0.1, 1.5, -0.5]))
    g.apply("LeakyRelu", g.name, g.shape, **({} if slope is None else {"alpha": slope}))


def _prelu(g: Growing) -> None:
    wanted = g.draw(st.sampled_from([g.shape, g.shape[-1:], (1,)]))
    g.apply("PRelu", f"{g.name} {g.constant(wanted)}", g.shape)


def _hard_sigmoid(g: Growing) -> None:
    given = g.draw(st.sampled_from([{}, {"alpha": 0.25}, {"alpha": 1.0, "beta": 0.0}]))
    g.apply("HardSigmoid", g.name, g.shape, **given)


def smooth(g: Growing) -> None:
    op = g.draw(st.sampled_from(["Tanh", "Sigmoid", "Softsign", "Elu"]))
    alpha = {"alpha": g.draw(st.sampled_from([0.0, 0.5, 2.0]))} if op == "Elu" else {}
    g.apply(op, g.name, g.shape, **alpha)


def _passing(g: Growing) -> None:
    op = g.draw(st.sampled_from(["Identity", "Dropout", "Cast"]))
    g.apply(op, g.name, g.shape, **({"to": TensorProto.FLOAT} if op == "Cast" else {}))


def _flatten(g: Growing) -> None:
    axis = g.draw(st.integers(0, len(g.shape)))
    shape = (np.prod(g.shape[:axis], dtype=int), np.prod(g.shape[axis:], dtype=int))
    g.apply("Flatten", g.name, shape, axis=axis)


def _reshape(g: Growing) -> None:
    wanted = g.draw(st.sampled_from([(1, -1), (-1, 1), (-1,), (1, 1, -1), (1, g.size)]))
    target = g.stored(np.array(wanted, dtype=np.int64))
    g.apply("Reshape", f"{g.name} {target}", np.zeros(g.size).reshape(wanted).shape)


def _axes(g: Growing, op: str, axes: list[int], shape) -> None:
    if g.opset < 13:
        g.apply(op, g.name, shape, axes=axes)
    else:
        g.apply(op, f"{g.name} {g.stored(np.array(axes, dtype=np.int64))}", shape)


def _squeeze(g: Growing) -> None:
    ones = [i for i, d in enumerate(g.shape) if d == 1]
    if ones and len(g.shape) > 1:
        axis = g.draw(st.sampled_from(ones))
        _axes(g, "Squeeze", [axis], np.squeeze(np.zeros(g.shape), axis).shape)


def _unsqueeze(g: Growing) -> None:
    if len(g.shape) < 4:
        axis = g.draw(st.integers(0, len(g.shape)))
        _axes(g, "Unsqueeze", [axis], np.expand_dims(np.zeros(g.shape), axis).shape)


def _transpose(g: Growing) -> None:
    if sum(d > 1 for d in g.shape) <= 1:
        order = g.draw(st.permutations(range(len(g.shape))))
        g.apply("Transpose", g.name, [g.shape[i] for i in order], perm=order)


_STEPS = (
    _matmul,
    _gemm,
    _elementwise,
    _relu,
    _clip,
    _leaky,
    _prelu,
    _hard_sigmoid,
    _passing,
    _flatten,
    _reshape,
    _squeeze,
    _unsqueeze,
    _transpose,
)


@st.composite
def dense_graphs(
    draw: st.DrawFn,
    types: tuple[str, ...] = ("f4", "f8"),
    more: tuple[Callable[[Growing], None], ...] = (),
) -> Graph:
    """Draw a graph of up to nine steps that surely ends in a layer.

    `types` are those of constants; `more` are steps beyond those with exact rational values.
    """
    size = draw(st.integers(1, 4))
    declared = draw(
        st.sampled_from([(size,), (1, size), ("N", size), (1, 1, 1, size), (size, 1), (None, size)])
    )
    shape = tuple(d if isinstance(d, int) else 1 for d in declared)
    g = Growing(draw, draw(st.sampled_from(OPSETS)), "x", shape, [], {}, types)
    for step in draw(st.lists(st.sampled_from((*_STEPS, *more)), min_size=1, max_size=9)):
        step(g)
    g.apply("Relu", g.name, g.shape)
    return Graph(g.nodes, declared, (g.name,), g.parameters, g.opset)
