"""The end of a classifier is cut where nothing is lost by it, and refused where something is."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from qdeploy import importer, ops
from qdeploy.diagnostics import InputError
from support.onnx_models import ML, Graph, node

W = np.array([[1, 2, -3], [0, -1, 0.5], [2, 1, 1]], dtype=np.float32)
CONSTANTS = {
    "W": W,
    "column": W[:, :1].copy(),
    "two": np.array(2, "f4"),
    "one": np.array(1, "f4"),
    "minus": np.array(-1, "f4"),
    "classes": np.array(["a", "b", "c"], dtype=object),
    "pair": np.array([7, 8]),
    "flat": np.array([-1]),
    "groups": np.array([1, 3, 1]),
    "axis0": np.array([0]),
    "thousand": np.array(1000, "f4"),
}
LAYER = node("MatMul", "x W", "d")
SIGMOID = [node("MatMul", "x column", "d"), node("Sigmoid", "d", "p")]
NEGATIVE = node("Sub", "one p", "q")

CUT = {
    "softmax": (13, [LAYER, node("Softmax", "d", "s")], ["s"]),
    "softmax over the last axis": (13, [LAYER, node("Softmax", "d", "s", axis=1)], ["s"]),
    "flat softmax": (12, [LAYER, node("Softmax", "d", "s")], ["s"]),
    "flat softmax over all axes": (12, [LAYER, node("Softmax", "d", "s", axis=0)], ["s"]),
    "flat softmax of keras": (9, [LAYER, node("Softmax", "d", "s", axis=-1)], ["s"]),
    "log softmax": (13, [LAYER, node("LogSoftmax", "d", "s", axis=-1)], ["s"]),
    "softmax of three axes": (
        13,
        [LAYER, node("Reshape", "d groups", "g"), node("Softmax", "g", "s", axis=1)],
        ["s"],
    ),
    "arg max": (13, [LAYER, node("ArgMax", "d", "a", axis=1)], ["a"]),
    "arg max without its axis": (13, [LAYER, node("ArgMax", "d", "a", axis=1, keepdims=0)], ["a"]),
    "the last of equal winners": (
        13,
        [LAYER, node("ArgMax", "d", "a", axis=-1, select_last_index=1)],
        ["a"],
    ),
    "arg max of a softmax": (
        13,
        [LAYER, node("Softmax", "d", "s"), node("ArgMax", "s", "a", axis=1)],
        ["s", "a"],
    ),
    "label and probabilities": (
        13,
        [LAYER, node("ArgMax", "d", "a", axis=1), node("Softmax", "d", "s")],
        ["a", "s"],
    ),
    "plumbing of scores": (
        13,
        [
            LAYER,
            node("Softmax", "d", "s"),
            node("Identity", "s", "s1"),
            node("Cast", "s1", "s2", to=TensorProto.DOUBLE),
            node("Transpose", "s2", "s3", perm=[1, 0]),
            node("Flatten", "s3", "s4", axis=0),
            node("Squeeze", "s4 axis0", "s5"),
            node("Unsqueeze", "s5 axis0", "s6"),
            node("Dropout", "s6", "s7"),
            node("Reshape", "s7 flat", "s8"),
        ],
        ["s", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"],
    ),
    "the name of the winner": (
        13,
        [
            LAYER,
            node("ArgMax", "d", "a", axis=1),
            node("ArrayFeatureExtractor", "classes a", "n", domain=ML),
            node("Reshape", "n flat", "r"),
        ],
        ["a", "n", "r"],
    ),
    "a table of scores": (
        13,
        [
            LAYER,
            node("Softmax", "d", "s"),
            node("ZipMap", "s", "z", domain=ML, classlabels_int64s=[3, 4, 5]),
        ],
        ["s", "z"],
    ),
    "p after 1 - p": (
        13,
        [*SIGMOID, NEGATIVE, node("Concat", "q p", "c", axis=1)],
        ["q", "c"],
    ),
    "1 - p after p": (
        13,
        [*SIGMOID, NEGATIVE, node("Concat", "p q", "c", axis=-1)],
        ["q", "c"],
    ),
    "1 - p as -p + 1": (
        13,
        [
            *SIGMOID,
            node("Mul", "p minus", "m"),
            node("Add", "one m", "q"),
            node("Concat", "q p", "c", axis=1),
        ],
        ["m", "q", "c"],
    ),
    "the label of two classes": (
        13,
        [
            *SIGMOID,
            NEGATIVE,
            node("Concat", "q p", "c", axis=1),
            node("ArgMax", "c", "a", axis=1),
            node("ArrayFeatureExtractor", "pair a", "n", domain=ML),
            node("Cast", "n", "l", to=TensorProto.STRING),
        ],
        ["q", "c", "a", "n", "l"],
    ),
}


@pytest.mark.parametrize("name", CUT)
def test_ends_that_lose_nothing_are_cut_and_named(name, tmp_path):
    opset, nodes, cut = CUT[name]
    outputs = [name for name in cut if name not in ("m", "q")]
    graph = Graph(nodes, outputs=outputs, parameters=CONSTANTS, opset=opset)
    network = importer.run(graph.save(tmp_path))
    assert [said.split("'")[1] for said in network.cut] == cut
    inside = [n.op for n in network.nodes]
    assert inside == (["dense", "sigmoid"] if "p" in {n.output[0] for n in nodes} else ["dense"])
    session = onnxruntime.InferenceSession(
        graph.proto().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert session.run(None, {"x": np.ones((1, 3), "f4")})


def softmax(*after):
    return [LAYER, node("Softmax", "d", "s", "soft"), *after]


def joined(*parts, axis=1):
    return [*parts, node("Concat", "a b", "y", "both", axis=axis)]


SCALED = node("Mul", "p thousand", "b")
COPY = node("Identity", "p", "a")
LOST = {
    "a multiple": (joined(*SIGMOID, COPY, SCALED), "joins several tensors"),
    "a multiple of a layer": (
        joined(LAYER, node("Identity", "d", "a"), node("Mul", "d thousand", "b")),
        "joins several tensors",
    ),
    "1 - p of another curve": (
        joined(
            node("MatMul", "x column", "d"),
            node("Tanh", "d", "p"),
            COPY,
            node("Sub", "one p", "b"),
        ),
        "joins several tensors",
    ),
    "1 - p of several numbers": (
        joined(LAYER, node("Sigmoid", "d", "p"), COPY, node("Sub", "one p", "b")),
        "joins several tensors",
    ),
    "2 - p": (joined(*SIGMOID, COPY, node("Sub", "two p", "b")), "joins several tensors"),
    "p twice": (joined(*SIGMOID, COPY, node("Identity", "p", "b")), "joins several tensors"),
    "p alone": (
        [*SIGMOID, node("Concat", "p", "y", "both", axis=1)],
        "joins several tensors",
    ),
    "p, 1 - p and p": (
        [*SIGMOID, NEGATIVE, node("Concat", "q p p", "y", "both", axis=1)],
        "joins several tensors",
    ),
    "1 - p of a stretched p": (
        joined(*SIGMOID, node("Mul", "p two", "a"), node("Sub", "one a", "b")),
        "joins several tensors",
    ),
    "a sigmoid of joined parts": (
        [
            *joined(LAYER, node("Identity", "d", "a"), node("Mul", "d minus", "b")),
            node("Sigmoid", "y", "z"),
        ],
        "joins several tensors",
    ),
    "softmax over the batch": (
        [LAYER, node("Softmax", "d", "y", "soft", axis=0)],
        r"goes over 1 of the 3 elements of a tensor of shape \[1, 3\]",
    ),
    "softmax of one number": (
        [node("MatMul", "x column", "d"), node("Softmax", "d", "y", "soft")],
        "goes over a single element, so its result is always the same",
    ),
    "softmax of groups": (
        [LAYER, node("Reshape", "d groups", "g"), node("Softmax", "g", "y", "soft", axis=-1)],
        "goes over 1 of the 3 elements",
    ),
    "arg max over the batch": (
        [LAYER, node("ArgMax", "d", "y", "arg")],
        "operator 'ArgMax' goes over 1 of the 3 elements",
    ),
    "arg max over the batch of scores": (
        softmax(node("ArgMax", "s", "y", "arg", axis=0)),
        "operator 'ArgMax' goes over 1 of the 3 elements",
    ),
    "a scaled softmax": (softmax(node("Mul", "s two", "y", "m")), "operator 'Mul' uses"),
    "1 - softmax": (softmax(node("Sub", "one s", "y", "m")), "operator 'Sub' uses"),
    "a sigmoid of a softmax": (softmax(node("Sigmoid", "s", "y", "m")), "operator 'Sigmoid' uses"),
    "a second softmax": (softmax(node("Softmax", "s", "y", "m")), "operator 'Softmax' uses"),
    "the logarithm of a softmax": (softmax(node("Log", "s", "y", "m")), "operator 'Log' uses"),
    "a threshold": (
        softmax(node("Binarizer", "s", "y", "m", domain=ML, threshold=0.5)),
        "operator 'Binarizer' uses",
    ),
    "scores as integers": (
        softmax(node("Cast", "s", "y", "m", to=TensorProto.INT64)),
        "operator 'Cast' makes INT64 of the scores of all classes, which may lose a part of it",
    ),
    "a label as a truth value": (
        [
            LAYER,
            node("ArgMax", "d", "a", axis=1),
            node("Cast", "a", "y", "m", to=TensorProto.BOOL),
        ],
        "operator 'Cast' makes BOOL of the class that won",
    ),
    "scores joined with the label": (
        softmax(
            node("ArgMax", "s", "a", axis=1),
            node("Cast", "a", "l", to=TensorProto.FLOAT),
            node("Concat", "s l", "y", "m", axis=1),
        ),
        "operator 'Concat' uses",
    ),
    "scores out of order": (
        softmax(node("ArrayFeatureExtractor", "s pair", "y", "m", domain=ML)),
        "operator 'ArrayFeatureExtractor' uses",
    ),
    "a class without a name": (
        [
            LAYER,
            node("ArgMax", "d", "a", axis=1),
            node("ArrayFeatureExtractor", "pair a", "y", "m", domain=ML),
        ],
        "operator 'ArrayFeatureExtractor' has 2 names for 3 classes",
    ),
    "a table of fewer classes": (
        softmax(node("ZipMap", "s", "y", "m", domain=ML, classlabels_int64s=[1, 2])),
        "operator 'ZipMap' has 2 names for 3 classes",
    ),
    "a table without classes": (
        softmax(node("ZipMap", "s", "y", "m", domain=ML)),
        "operator 'ZipMap' has 0 names for 3 classes",
    ),
    "a shape of another size": (
        softmax(node("Reshape", "s pair", "y", "m")),
        r"turns shape \[1, 3\] into \[7, 8\]",
    ),
    "a layer behind": (softmax(node("MatMul", "s W", "y", "m")), "operator 'MatMul' uses"),
}


@pytest.mark.parametrize("name", LOST)
def test_ends_that_would_lose_an_output_are_refused(name, tmp_path):
    nodes, what = LOST[name]
    graph = Graph(nodes, outputs=nodes[-1].output[:1], parameters=CONSTANTS)
    with pytest.raises(InputError, match=what) as caught:
        importer.run(graph.save(tmp_path))
    assert caught.value.fix
    assert "node '" in str(caught.value.where)


def test_the_values_before_the_cut_are_the_outputs(tmp_path):
    """Both probabilities of the two-class form follow from the one number that is kept."""
    _, nodes, _ = CUT["p after 1 - p"]
    graph = Graph(nodes, outputs=("c",), parameters=CONSTANTS)
    network = importer.run(graph.save(tmp_path))
    x = np.array([[0.5, -1, 2]])
    (p,) = ops.evaluate(network, x)[0]
    session = onnxruntime.InferenceSession(
        graph.proto().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (theirs,) = session.run(None, {"x": x.astype("f4")})
    assert np.allclose([[1 - p, p]], theirs, atol=1e-6)


def test_long_ends_are_told_in_few_words(tmp_path):
    nodes = [LAYER, node("Softmax", "d", "t0")]
    nodes += [node("Identity", f"t{i}", f"t{i + 1}") for i in range(30)]
    network = importer.run(Graph(nodes, outputs=("t30",), parameters=CONSTANTS).save(tmp_path))
    assert len(network.cut) == 31
    assert network.told_cut.startswith("Softmax 't0', Identity 't1', ")
    assert ", Identity 't11' and 19 more: the outputs" in network.told_cut
