"""Defaults, limits and special values of every operator: as onnxruntime has them, or refused.

`READ` are models that are accepted and compute what onnxruntime computes; `REFUSED` are models with
no meaning that could be held to, most of which onnxruntime refuses as well.
"""

import numpy as np
import pytest
from onnx import TensorProto
from qdeploy import importer
from qdeploy.diagnostics import InputError
from support.importer_fuzz import Tally, judge
from support.onnx_models import ML, Graph, node

LARGEST = float(np.finfo(np.float32).max)
INF, NAN = float("inf"), float("nan")
DOUBLE, HALF = TensorProto.DOUBLE, TensorProto.FLOAT16


def f4(value):
    return np.array(value, "f4")


CONSTANTS = {
    "zero": f4(0),
    "minus0": f4(-0.0),
    "one": f4(1),
    "ones": f4([1]),
    "square": f4([[1]]),
    "largest": f4(LARGEST),
    "smallest": f4(-LARGEST),
    "inf": f4(INF),
    "minf": f4(-INF),
    "nan": f4(NAN),
    "some_inf": f4([1, INF, 2]),
    "row": f4([0.5, -1, 2]),
    "rank3": f4([[[0.5, -1, 2]]]),
    "ratio1": f4(1),
    "ratio_list": f4([0.5]),
    "ratio_nan": f4(NAN),
    "half": f4(0.5),
    "true": np.array(True),
    "false": np.array(False),
    "falses": np.array([False]),
    "d0": np.float64(0),
    "d1": np.float64(1),
    "rank_one": f4([[[0]]]),
    "d_largest": np.float64(LARGEST),
    "d_huge": np.float64(1e300),
    "d_tiny": np.float64(1e-300),
    "h1": np.float16(1),
    "i0": np.array(0),
    "axes0": np.array([0]),
    "axes_none": np.array([], dtype=np.int64),
    "axes_square": np.array([[0]]),
    "none": np.array([], dtype=np.int64),
    "shape31": np.array([3, 1]),
    "shape31_32": np.array([3, 1], "i4"),
    "shape_scalar": np.array(3),
    "shape0": np.array([0, -1]),
    "shape00": np.array([0, 3]),
    "shape0_beyond": np.array([1, 3, 0]),
    "unknown2": np.array([-1, -1]),
    "i3": np.array([3]),
    "i1": np.array([1]),
    "last": np.array([-1]),
    "beyond": np.array([2]),
    "three_one": np.array([[3], [1]]),
    "wrapped": np.array([2**32 + 3, 1]),
    "W": f4([[1, 2], [0.5, -1], [3, 0]]),
    "C22": f4(np.ones((2, 2))),
    "C112": f4(np.ones((1, 1, 2))),
    "C0": f4(4),
}

READ = {
    # Clip before opset 11: an attribute that is left out is no limit.
    "clip without limits": (8, [node("Clip", "x", "y")]),
    "clip at the ends of float": (8, [node("Clip", "x", "y", min=-LARGEST, max=LARGEST)]),
    "clip from -0": (8, [node("Clip", "x", "y", min=-0.0)]),
    "clip at the infinities": (8, [node("Clip", "x", "y", min=-INF, max=INF)]),
    "clip from the left alone": (10, [node("Clip", "x", "y", min=-1.0)]),
    "clip up to the right alone": (10, [node("Clip", "x", "y", max=0.5)]),
    "clip of opset 11": (11, [node("Clip", "x zero one", "y")]),
    "clip at ends that are given": (13, [node("Clip", "x smallest largest", "y")]),
    "clip at infinities that are given": (13, [node("Clip", "x minf inf", "y")]),
    "clip to the right of none": (13, [node("Clip", "x - one", "y")]),
    "clip with nothing named": (13, [node("Clip", "x - -", "y")]),
    "clip to a list of one": (13, [node("Clip", "x ones", "y")]),
    "clip of doubles": (13, [node("Clip", "x d0", "y")], DOUBLE),
    "clip of doubles at float's end": (13, [node("Clip", "x d0 d_largest", "y")], DOUBLE),
    "clip of halves": (13, [node("Clip", "x - h1", "y")], HALF),
    "clip of a clip": (13, [node("Clip", "x zero", "a"), node("Clip", "a minus0 one", "y")]),
    "maximum of one": (8, [node("Max", "x", "a")]),
    "maximum with what is below all": (13, [node("Max", "x minf", "y")]),
    "minimum with what is above all": (13, [node("Min", "inf x largest", "y")]),
    "maximum with a constant of more axes": (8, [node("Max", "x rank_one", "y")]),
    "leaky by default": (8, [node("LeakyRelu", "x", "y")]),
    "leaky of slope -0": (16, [node("LeakyRelu", "x", "y", alpha=-0.0)]),
    "leaky that is straight": (16, [node("LeakyRelu", "x", "y", alpha=1.0)]),
    "leaky that is steeper": (16, [node("LeakyRelu", "x", "y", alpha=-2.0)]),
    "prelu of a number": (8, [node("PRelu", "x half", "y")]),
    "prelu of a row": (9, [node("PRelu", "x row", "y")]),
    "elu by default": (8, [node("Elu", "x", "y")]),
    "elu of alpha 0": (22, [node("Elu", "x", "y", alpha=0.0)]),
    "hard sigmoid by default": (8, [node("HardSigmoid", "x", "y")]),
    "hard sigmoid that falls": (22, [node("HardSigmoid", "x", "y", alpha=-1.0, beta=0.25)]),
    "hard sigmoid that is flat": (8, [node("HardSigmoid", "x", "y", alpha=0.0, beta=0.25)]),
    "gemm without C": (11, [node("Gemm", "x W", "y")]),
    "gemm with C left empty": (13, [node("Gemm", "x W -", "y")]),
    "gemm with a number for C": (9, [node("Gemm", "x W C0", "y", beta=-0.5)]),
    "gemm without its product": (13, [node("Gemm", "x W C0", "y", alpha=0.0)]),
    "gemm without its C": (13, [node("Gemm", "x W C0", "y", beta=0.0)]),
    "dropout by its attribute": (8, [node("Dropout", "x", "y", ratio=2.0)]),
    "dropout of inference": (13, [node("Dropout", "x half false", "a")]),
    "dropout without a ratio": (13, [node("Dropout", "x - false", "a")]),
    "reshape that copies an axis": (8, [node("Reshape", "x shape0", "a")]),
    "reshape that may be empty": (
        14,
        [node("Reshape", "x shape31", "a", allowzero=1), node("Relu", "a", "y")],
    ),
    "flatten before the first axis": (
        8,
        [node("Flatten", "x", "a", axis=0), node("Relu", "a", "y")],
    ),
    "flatten after the last axis": (8, [node("Flatten", "x", "a", axis=2)]),
    "flatten from the end": (11, [node("Flatten", "x", "a", axis=-2)]),
    "squeeze of all": (13, [node("Squeeze", "x", "a")]),
    "unsqueeze by a number": (13, [node("Unsqueeze", "x i0", "a")]),
    "unsqueeze by no axes": (13, [node("Unsqueeze", "x none", "a")]),
    "transpose without an order": (13, [node("Transpose", "x", "a")]),
    "shape from the end": (
        15,
        [
            node("Shape", "x", "s", start=-1),
            node("Reshape", "x s", "a"),
            node("Relu", "a", "y"),
        ],
    ),
    "shape beyond its ends": (
        15,
        [
            node("Shape", "x", "s", start=-9, end=9),
            node("Reshape", "x s", "a"),
            node("Relu", "a", "y"),
        ],
    ),
    "gather from the end": (
        11,
        [
            node("Shape", "x", "s"),
            node("Gather", "s last", "i"),
            node("Reshape", "x i", "a"),
            node("Relu", "a", "y"),
        ],
    ),
    "concat from the end": (
        8,
        [
            node("Concat", "i3 i1", "s", axis=-1),
            node("Reshape", "x s", "a"),
            node("Relu", "a", "y"),
        ],
    ),
    "scaler of one number": (
        13,
        [node("Scaler", "x", "y", domain=ML, offset=[1.0], scale=[-2.0])],
    ),
    "scaler of a row": (
        13,
        [node("Scaler", "x", "y", domain=ML, offset=[1.0, 0, 2], scale=[0.0, 1, 3])],
    ),
    "scaler of integers": (
        13,
        [node("Scaler", "x", "y", domain=ML, offset=[1.0], scale=[0.5])],
        TensorProto.INT64,
    ),
    "a constant that is cast": (13, [node("Cast", "d0", "c", to=1), node("Add", "x c", "a")]),
}

REFUSED = {
    "clip from float's end": (8, [node("Clip", "x", "y", min=LARGEST)], "leaves a constant"),
    "clip to float's other end": (8, [node("Clip", "x", "y", max=-LARGEST)], "leaves a constant"),
    "clip from infinity": (8, [node("Clip", "x", "y", min=INF)], "leaves a constant"),
    "clip of nothing": (8, [node("Clip", "x", "y", min=NAN)], "'min' of operator 'Clip' is not a"),
    "clip from right to left": (8, [node("Clip", "x", "y", min=1.0, max=0.0)], "leaves a constant"),
    "clip from right to left, given": (13, [node("Clip", "x one zero", "y")], "leaves a constant"),
    "clip from infinity, given": (13, [node("Clip", "x inf", "y")], "leaves a constant"),
    "clip from the end, given": (13, [node("Clip", "x largest", "y")], "leaves a constant"),
    "clip to a matrix": (13, [node("Clip", "x square", "y")], "is no single number"),
    "clip at NaN": (13, [node("Clip", "x nan", "y")], "contains nan"),
    "maximum with NaN": (13, [node("Max", "x nan", "y")], "contains nan"),
    "maximum with infinity": (13, [node("Max", "x inf", "y")], "leaves a constant"),
    "an infinite constant": (13, [node("Add", "x some_inf", "y")], r"contains inf at index \[1\]"),
    "a slope of NaN": (16, [node("PRelu", "x nan", "y")], "contains nan"),
    "an infinite slope": (16, [node("LeakyRelu", "x", "y", alpha=INF)], "not a finite"),
    "an alpha of NaN": (13, [node("Elu", "x", "y", alpha=NAN)], "not a finite"),
    "a curve of NaN": (13, [node("HardSigmoid", "x", "y", beta=NAN)], "not a finite"),
    "a C of too many axes": (13, [node("Gemm", "x W C112", "y")], "has the shape"),
    "a C that enlarges": (13, [node("Gemm", "x W C22", "y")], "has the shape"),
    "gemm without its C": (9, [node("Gemm", "x W", "y")], "has 2 inputs instead of 3"),
    "gemm without C's name": (9, [node("Gemm", "x W -", "y")], "lacks its input 'C'"),
    "slopes of other axes": (8, [node("PRelu", "x rank3", "y")], "enlarges"),
    "division by -0": (13, [node("Div", "x minus0", "y")], "contains a zero"),
    "dropout in training": (13, [node("Dropout", "x half true", "y")], "is not false"),
    "dropout of all": (13, [node("Dropout", "x ratio1", "y")], "no number from 0 to below 1"),
    "dropout of NaN": (13, [node("Dropout", "x ratio_nan", "y")], "contains nan"),
    "dropout by a list": (13, [node("Dropout", "x ratio_list", "y")], "no number from 0"),
    "a list of modes": (13, [node("Dropout", "x half falses", "y")], "is not false"),
    "dropout of another opset": (10, [node("Dropout", "x half", "y")], "2 inputs instead of 1"),
    "a ratio of another opset": (13, [node("Dropout", "x", "y", ratio=0.5)], "does not exist"),
    "reshape to nothing": (14, [node("Reshape", "x shape00", "y", allowzero=1)], "cannot give"),
    "reshape with both": (14, [node("Reshape", "x shape0", "y", allowzero=1)], "cannot give"),
    "reshape of another opset": (13, [node("Reshape", "x i3", "y", allowzero=1)], "does not exist"),
    "reshape to a third truth": (14, [node("Reshape", "x i3", "y", allowzero=2)], "is not 0 or 1"),
    "reshape by two unknowns": (13, [node("Reshape", "x unknown2", "y")], "cannot give"),
    "a zero beyond the axes": (13, [node("Reshape", "x shape0_beyond", "y")], "cannot give"),
    "reshape to a number": (13, [node("Reshape", "x shape_scalar", "y")], "no list of at most"),
    "reshape to a matrix": (13, [node("Reshape", "x three_one", "y")], "no list of at most"),
    "reshape by 32 bits": (13, [node("Reshape", "x shape31_32", "y")], "takes no INT32"),
    "flatten from the end": (9, [node("Flatten", "x", "y", axis=-1)], "without negative numbers"),
    "flatten beyond": (13, [node("Flatten", "x", "y", axis=3)], "outside a tensor with 2 axes"),
    "squeeze from the end": (9, [node("Squeeze", "x", "y", axes=[-2])], "without negative"),
    "unsqueeze from the end": (9, [node("Unsqueeze", "x", "y", axes=[-1])], "without negative"),
    "squeeze by no axes": (13, [node("Squeeze", "x axes_none", "y")], "empty list of axes"),
    "squeeze by axes left empty": (13, [node("Squeeze", "x -", "y")], "empty list of axes"),
    "squeeze by a number": (13, [node("Squeeze", "x i0", "y")], "no list of at most"),
    "squeeze by a matrix": (13, [node("Squeeze", "x axes_square", "y")], "no list of at most"),
    "unsqueeze twice": (11, [node("Unsqueeze", "x", "y", axes=[0, 0])], "names an axis twice"),
    "unsqueeze without axes": (11, [node("Unsqueeze", "x", "y")], "lacks its attribute 'axes'"),
    "transpose from the end": (13, [node("Transpose", "x", "y", perm=[-1, 0])], "an order of the"),
    "a gather beyond": (
        13,
        [node("Shape", "x", "s"), node("Gather", "s beyond", "i"), node("Reshape", "x i", "y")],
        "outside a tensor with 2 axes",
    ),
    "a gather along another axis": (
        13,
        [node("Gather", "i3 i0", "i", axis=1), node("Reshape", "x i", "y")],
        "outside a tensor with 1 axes",
    ),
    "a gather from a matrix": (
        13,
        [node("Gather", "three_one i0", "i"), node("Reshape", "x i", "y")],
        "no list of at most",
    ),
    "a concat of numbers": (
        13,
        [node("Concat", "shape_scalar i0", "s", axis=0), node("Reshape", "x s", "y")],
        "no list of at most",
    ),
    "a concat along another axis": (
        13,
        [node("Concat", "i3 i1", "s", axis=1), node("Reshape", "x s", "y")],
        "outside a tensor with 1 axes",
    ),
    "a concat without an axis": (
        13,
        [node("Concat", "i3 i1", "s"), node("Reshape", "x s", "y")],
        "lacks its attribute 'axis'",
    ),
    "a concat of other widths": (
        13,
        [node("Concat", "i3 shape31_32", "s", axis=0), node("Reshape", "x s", "y")],
        "takes 'i3' of type INT64 together with 'shape31_32' of type INT32",
    ),
    "a shape of another opset": (
        13,
        [node("Shape", "x", "s", start=1), node("Reshape", "x s", "y")],
        "does not exist",
    ),
    "scaler of unequal lists": (
        13,
        [node("Scaler", "x", "y", domain=ML, offset=[1.0], scale=[1.0, 2, 3])],
        "has 1 offsets and 3 scales",
    ),
    "scaler without scales": (
        13,
        [node("Scaler", "x", "y", domain=ML, offset=[1.0])],
        "'scale' of operator 'Scaler' is missing",
    ),
    "scaler of another number": (
        13,
        [node("Scaler", "x", "y", domain=ML, offset=[1.0, 2], scale=[1.0, 2])],
        "has 2 offsets and 2 scales",
    ),
    "a cast that overflows": (
        13,
        [node("Cast", "d_huge", "c", to=1), node("Mul", "x c", "y")],
        "makes a constant that FLOAT cannot hold",
    ),
    "a cast that vanishes": (
        13,
        [node("Cast", "d_tiny", "c", to=1), node("Div", "x c", "y")],
        "makes a constant that FLOAT cannot hold",
    ),
    "a product that overflows": (
        13,
        [node("Mul", "largest largest", "c"), node("Mul", "x c", "y")],
        "makes a constant that FLOAT cannot hold",
    ),
    "a cast that wraps": (
        13,
        [
            node("Cast", "wrapped", "c", to=6),
            node("Cast", "c", "s", to=7),
            node("Reshape", "x s", "y"),
        ],
        "holds a number that INT32 has not",
    ),
}


ONE_OF = {DOUBLE: "d1", HALF: "h1"}


def graph_of(opset, nodes, kind=TensorProto.FLOAT):
    """The nodes, and 1 less what they make: a layer that shows all of it."""
    nodes = [*nodes, node("Sub", f"{ONE_OF.get(kind, 'one')} {nodes[-1].output[0]}", "end")]
    used = {name for n in nodes for name in n.input}
    parameters = {name: value for name, value in CONSTANTS.items() if name in used}
    return Graph(nodes, (1, 3), ("end",), parameters, opset, kind)


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_what_onnxruntime_computes(name, tmp_path):
    tally = Tally()
    model = graph_of(*READ[name]).proto()
    assert list(judge(model, tmp_path / "model.onnx", tally)) == []
    assert (tally.accepted, tally.compared) == (1, 1)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_one_meaning_is_refused(name, tmp_path):
    *graph, said = REFUSED[name]
    with pytest.raises(InputError, match=said) as caught:
        importer.run(graph_of(*graph).save(tmp_path))
    assert caught.value.fix


@pytest.mark.parametrize("opset", [9, 10])
def test_a_double_is_limited_by_floats_end_where_clip_says_so(opset, tmp_path):
    """The defaults of Clip's attributes are float's, whatever the tensor's type."""
    network = importer.run(graph_of(opset, [node("Clip", "x", "y")], DOUBLE).save(tmp_path))
    layer = network.nodes[0]
    assert {k: float(v[0]) for k, v in layer.parameters.items()} == {"lo": -LARGEST, "hi": LARGEST}


def test_the_limit_that_was_taken_for_none_is_a_limit(tmp_path):
    """A bound of 0.005 was once proven where the model's output is off by 1."""
    nodes = [node("Clip", "x", "c", min=LARGEST), node("Tanh", "c", "y")]
    with pytest.raises(InputError, match=r"clips from 3\.4\d*e\+38 to 3\.4\d*e\+38"):
        importer.run(graph_of(8, nodes).save(tmp_path))
