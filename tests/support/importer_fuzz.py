"""Random models, read by the importer and run by onnxruntime: the two have to agree.

`judge` holds one model against the rule: what the importer accepts, onnxruntime loads and runs, and
its outputs differ from those of the imported network by no more than rounding explains. Refusing is
always allowed, and counted by reason. Models of `random_model` are those of `onnx_graphs`, some of
them with a fault that somebody's tool might make.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotThere
from qdeploy import importer, ops
from qdeploy.diagnostics import InputError
from qdeploy.ir import FractionArray, Network, exact

from support.onnx_graphs import ANYTHING, random_graph
from support.rounding_error import OverflowsError, live_nodes, rounded_value

onnxruntime.set_default_logger_severity(4)

INPUTS = 3
"""Inputs a model is run on."""
_SLACK = 2.0
"""Times the error that rounding explains."""


@dataclass
class Tally:
    """What came of many models."""

    reasons: Counter[str] = field(default_factory=Counter)
    """Of refusals."""
    accepted: int = 0
    compared: int = 0
    """Accepted ones that onnxruntime ran as well."""
    missing: int = 0
    """Accepted ones for which onnxruntime has no kernel; compared with doubles alone."""
    overflowing: int = 0
    """Accepted ones that leave the range of their type."""
    faulty: int = 0
    """Models with a fault put in."""
    differences: list[str] = field(default_factory=list)

    @property
    def models(self) -> int:
        return self.accepted + sum(self.reasons.values())


# --- models ----------------------------------------------------------------------------------


def random_model(seed: int, index: int, faults: float = 0.3) -> tuple[onnx.ModelProto, bool]:
    """Return model number `index` of a seed, and whether a fault was put in."""
    random = Random(f"{seed} {index}")
    model = random_graph(random, ANYTHING).proto()
    faulty = bool(model.graph.node) and random.random() < faults
    if faulty:
        _FAULTS[random.randrange(len(_FAULTS))](random, model)
    return model, faulty


def _pick(random: Random, options: Any) -> Any:
    return options[random.randrange(len(options))]


def _other_element_type(random: Random, model: onnx.ModelProto) -> None:
    """Store a constant in another type."""
    tensors = [*model.graph.initializer]
    tensors += [a.t for n in model.graph.node for a in n.attribute if a.HasField("t")]
    if tensors:
        tensor = _pick(random, tensors)
        dtype = _pick(random, ["f4", "f8", "f2", "i8", "i4", "?"])
        with np.errstate(all="ignore"):
            array = numpy_helper.to_array(tensor).astype(dtype)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _other_number(random: Random, model: onnx.ModelProto) -> None:
    """Put a special value into a constant."""
    for tensor in random.sample(list(model.graph.initializer), len(model.graph.initializer)):
        array = numpy_helper.to_array(tensor).copy()
        if array.dtype in (np.float32, np.float64) and array.size:
            largest = np.finfo(array.dtype).max
            special = [np.nan, np.inf, -np.inf, largest, -largest, -0.0, 0.0, 1e-30]
            array.flat[random.randrange(array.size)] = _pick(random, special)
        elif array.dtype == np.int64 and array.size:
            array.flat[random.randrange(array.size)] = random.randint(-3, 4)
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return


def _other_shape(random: Random, model: onnx.ModelProto) -> None:
    """Add or drop an axis of a constant, or turn it."""
    if model.graph.initializer:
        tensor = _pick(random, model.graph.initializer)
        array = numpy_helper.to_array(tensor)
        turned = _pick(random, [array.T, array[None], array.ravel(), array.reshape(-1, 1)])
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(turned), tensor.name))


def _other_inputs(random: Random, model: onnx.ModelProto) -> None:
    """Drop, double, empty or exchange a node's inputs."""
    proto = _pick(random, model.graph.node)
    if not proto.input:
        return
    names, place = list(proto.input), random.randrange(len(proto.input))
    changed = _pick(
        random,
        [
            names[:-1],
            [*names, names[place]],
            [*names, ""],
            [*names[:place], "", *names[place + 1 :]],
            names[::-1],
        ],
    )
    del proto.input[:]
    proto.input.extend(changed)


_ATTRIBUTES: Mapping[str, tuple[Any, ...]] = {
    "axis": (-3, -2, -1, 0, 1, 2, 3),
    "axes": ([0], [-1], [0, 0], [1], [5], [-2, 0]),
    "perm": ([0], [1, 0], [0, 1], [2, 0, 1], [-1, 0]),
    "min": (0.0, float(np.finfo(np.float32).max), float("nan"), float("inf"), float("-inf")),
    "max": (0.0, float(-np.finfo(np.float32).max), float("nan"), float("inf"), float("-inf")),
    "alpha": (0.0, -1.0, 2.0, float("nan"), float("inf"), 1),
    "beta": (0.0, -1.0, float("inf")),
    "transA": (0, 1, 2),
    "transB": (0, 1, 2, 1.0),
    "to": (1, 2, 6, 7, 9, 10, 11, 16, 0, 99),
    "allowzero": (0, 1, 2),
    "start": (-9, -1, 0, 1, 9),
    "end": (-9, -1, 0, 1, 9),
    "keepdims": (0, 1),
    "ratio": (0.5, 1.5),
    "offset": ([1.0], [1.0, 2.0]),
    "scale": ([1.0], [1.0, 2.0]),
    "value_float": (1.0,),
    "value_ints": ([1, -1],),
    "mode": ("linear",),
}


def _other_attribute(random: Random, model: onnx.ModelProto) -> None:
    """Add, drop or change an attribute, mostly one that the operator has in some opset."""
    proto = _pick(random, model.graph.node)
    own = [name for name in sorted(_ATTRIBUTES) if name in _KNOWN.get(proto.op_type, ())]
    name = _pick(random, own if own and random.random() < 0.9 else sorted(_ATTRIBUTES))
    kept = [a for a in proto.attribute if a.name != name]
    if random.random() < 0.8:
        kept.append(helper.make_attribute(name, _pick(random, _ATTRIBUTES[name])))
    del proto.attribute[:]
    proto.attribute.extend(kept)


_KNOWN: Mapping[str, tuple[str, ...]] = {
    "ArgMax": ("axis", "keepdims"),
    "Cast": ("to",),
    "Clip": ("min", "max"),
    "Concat": ("axis",),
    "Dropout": ("ratio",),
    "Elu": ("alpha",),
    "Flatten": ("axis",),
    "Gather": ("axis",),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "LogSoftmax": ("axis",),
    "Reshape": ("allowzero",),
    "Scaler": ("offset", "scale"),
    "Shape": ("start", "end"),
    "Softmax": ("axis",),
    "Squeeze": ("axes",),
    "Transpose": ("perm",),
    "Unsqueeze": ("axes",),
}


def _other_opset(random: Random, model: onnx.ModelProto) -> None:
    """Say that the same nodes are those of another opset."""
    model.opset_import[0].version = random.randint(8, onnx.defs.onnx_opset_version())


def _other_operator(random: Random, model: onnx.ModelProto) -> None:
    """Exchange an operator for one that looks alike."""
    alike = ("Relu", "Abs", "Tanh", "Neg", "Identity", "Softmax", "LeakyRelu", "Elu", "ArgMax")
    pairs = ("Add", "Sub", "Mul", "Div", "MatMul", "Max", "Min", "PRelu", "Concat", "Gather")
    proto = _pick(random, model.graph.node)
    if len(proto.input) in (1, 2) and not proto.domain:
        proto.op_type = _pick(random, alike if len(proto.input) == 1 else pairs)


def _other_declaration(random: Random, model: onnx.ModelProto) -> None:
    """Say of some tensor that it has another type or shape."""
    names = [n.output[0] for n in model.graph.node]
    shape = [random.randint(1, 7) for _ in range(random.randint(0, 3))]
    kind = _pick(random, [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64])
    said = helper.make_tensor_value_info(_pick(random, names), kind, shape)
    if said.name == model.graph.output[0].name:
        model.graph.output[0].CopyFrom(said)
    else:
        model.graph.value_info.append(said)


_FAULTS: tuple[Callable[[Random, onnx.ModelProto], None], ...] = (
    _other_element_type,
    _other_number,
    _other_number,
    _other_shape,
    _other_inputs,
    _other_attribute,
    _other_attribute,
    _other_attribute,
    _other_opset,
    _other_operator,
    _other_declaration,
)


# --- the rule --------------------------------------------------------------------------------


def judge_many(seed: int, indices: range, faults: float = 0.3) -> Tally:
    """Judge the models of these numbers."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for index in indices:
            model, faulty = random_model(seed, index, faults)
            tally.faulty += faulty
            for difference in judge(model, path, tally):
                tally.differences.append(f"seed {seed}, model {index}: {difference}")
    return tally


def judge(model: onnx.ModelProto, path: Path, tally: Tally) -> Iterator[str]:
    """Yield how the importer and onnxruntime contradict each other over one model."""
    path.write_bytes(model.SerializeToString())
    try:
        network = importer.run(path)
    except InputError as refusal:
        tally.reasons[_reason(refusal)] += 1
        return
    tally.accepted += 1
    try:
        session = _session(model, network)
    except (NotThere, TypeError):
        session = None
    except Exception as problem:  # noqa: BLE001  whatever it refuses with
        yield f"accepted, and onnxruntime refuses: {problem}"
        return
    yield from _compare(model, network, session, tally)


def _reason(refusal: InputError) -> str:
    """Return a refusal without the names and numbers of the model."""
    kept = re.sub(r"(operator |attribute |its input )?'([^']*)'", _plain, refusal.what)
    kept = re.sub(r"\[[^]]*\]", "[..]", kept)
    return re.sub(r"(?<![A-Z0-9])-?\d+(\.\d+)?(e[-+]?\d+)?|\bnan\b|-?\binf\b", "n", kept)


def _plain(quoted: re.Match[str]) -> str:
    return f"{quoted[1]}{quoted[2]}" if quoted[1] else "T"


def _session(model: onnx.ModelProto, network: Network) -> onnxruntime.InferenceSession:
    """Return onnxruntime with the tensor among its outputs that the network ends in."""
    if _input(model).elem_type == TensorProto.BFLOAT16:
        raise TypeError("numpy has no bfloat16 that onnxruntime takes")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    # What no output needs is ignored by the importer, whatever it is.
    live = live_nodes(model, *(o.name for o in model.graph.output))
    del shown.graph.node[:]
    shown.graph.node.extend(live)
    end = network.outputs[0].source
    if end not in {o.name for o in model.graph.output}:
        shown.graph.output.append(helper.make_empty_tensor_value_info(end))
    return onnxruntime.InferenceSession(
        shown.SerializeToString(), options, ["CPUExecutionProvider"]
    )


def _compare(
    model: onnx.ModelProto,
    network: Network,
    session: onnxruntime.InferenceSession | None,
    tally: Tally,
) -> Iterator[str]:
    shape = [d.dim_value or 1 for d in _input(model).shape.dim]
    inputs = _inputs(network.inputs[0].size, _input(model).elem_type)
    low, high = ops.enclose(network, exact(inputs.astype(np.float64)))
    for x, *ends in zip(inputs, low, high, strict=True):
        try:
            judged = _Judged(model, network.outputs[0].source, x.reshape(shape), tuple(ends))
        except OverflowsError:
            tally.overflowing += 1
            return
        wrong = judged.wrong(session)
        if wrong:
            yield f"{wrong} at {x.tolist()}"
            return
    tally.compared += session is not None
    tally.missing += session is None


class _Judged:
    """One input: what the network makes of it exactly, and how far rounding may lead from that."""

    def __init__(
        self, model: onnx.ModelProto, end: str, x: NDArray[Any], ends: tuple[FractionArray, ...]
    ) -> None:
        self._x, self._end, (self._low, self._high) = x, end, ends
        self._standard = rounded_value(model, x, end)
        self._allowed = [Fraction(_SLACK * e) for e in self._standard.error.ravel().tolist()]

    def wrong(self, session: onnxruntime.InferenceSession | None) -> str:
        """Return what contradicts the network; nothing where all agree."""
        if not self._near(self._standard.value):
            return f"differs from the standard, {self._standard.value.tolist()},"
        if session is None:
            return ""
        try:
            answers = session.run([self._end], {"x": self._x})[0]
        except Exception as problem:  # noqa: BLE001  whatever it fails with
            return f"accepted, and onnxruntime fails: {problem}"
        return "" if self._near(answers) else f"differs from onnxruntime, {answers.tolist()},"

    def _near(self, answers: NDArray[Any]) -> bool:
        found = np.asarray(answers).astype(np.float64).ravel()
        if found.size != self._low.size or not np.all(np.isfinite(found)):
            return False
        rows = zip(found.tolist(), self._low, self._high, self._allowed, strict=True)
        return all(low - e <= Fraction(v) <= high + e for v, low, high, e in rows)


def _input(model: onnx.ModelProto) -> onnx.TypeProto.Tensor:
    return next(v for v in model.graph.input if v.name == "x").type.tensor_type


def _inputs(size: int, kind: int) -> NDArray[Any]:
    """Return inputs, one a row, zeros and ones among them."""
    random = np.random.default_rng(size)
    values = random.uniform(-1, 1, (INPUTS, size)) * np.array([[1], [4], [100]])
    special = random.random(values.shape) < 0.2
    values[special] = random.choice([0.0, -0.0, 1.0, -1.0], int(special.sum()))
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)
