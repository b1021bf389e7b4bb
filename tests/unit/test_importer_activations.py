"""Activations as exporters write them, in both opset forms, and what they become."""

from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
from qdeploy import importer, ops
from qdeploy.diagnostics import InputError
from support.onnx_models import Graph, node

F = Fraction
SLOPE = np.array([[0.25, -0.5, 2.0]], "f4")
NUMBERS = {
    "zero": np.array(0, "f4"),
    "six": np.array([6], "f4"),
    "one": np.array(1, "f4"),
    "third": np.array(1 / 3, "f4"),
    "slope": SLOPE,
    "same": np.full((3,), 0.25, "f4"),
    "none": np.zeros((1, 3), "f4"),
    "deep": np.zeros((1, 1, 1), "f4"),
    "rows": np.zeros((2, 1), "f4"),
    "ragged": np.zeros((4,), "f4"),
    "column": np.array([3, 1]),
}
THIRD = F(float(np.float32(1 / 3)))

READ = {
    "relu6 of opset 6": (
        [node("Clip", "x", "y", min=0.0, max=6.0)],
        10,
        [("clip", {"lo": [0], "hi": [6]})],
    ),
    "relu6 since opset 11": ([node("Clip", "x zero six", "y")], 13, "relu6 of opset 6"),
    "relu6 after a relu": (
        [node("Relu", "x", "r"), node("Clip", "r - six", "y")],
        13,
        "relu6 of opset 6",
    ),
    "limits that other limits narrow": (
        [node("Clip", "x - six", "c"), node("Clip", "c zero", "y")],
        13,
        "relu6 of opset 6",
    ),
    "limits that do not meet": (
        [node("Clip", "x six", "c"), node("Clip", "c - zero", "y")],
        13,
        [("clip", {"lo": [6]}), ("clip", {"hi": [0]})],
    ),
    "defaults of opset 6": (
        [node("Relu", "x", "r"), node("Clip", "r", "y")],
        9,
        [("relu", {})],
    ),
    "one side": ([node("Clip", "x - third", "y")], 21, [("clip", {"hi": [THIRD]})]),
    "relu in disguise": ([node("Clip", "x zero", "y")], 13, [("relu", {})]),
    "relu as a maximum": ([node("Max", "x zero", "y")], 13, [("relu", {})]),
    "relu6 as maximum and minimum": (
        [node("Max", "zero x", "c"), node("Min", "c six", "y")],
        13,
        "relu6 of opset 6",
    ),
    "maximum with a constant of more axes": (
        [node("Max", "x deep", "c"), node("Transpose", "c", "y", perm=[1, 0, 2])],
        13,
        [("relu", {})],
    ),
    "minimum of several": ([node("Min", "six x third", "y")], 13, "one side"),
    "maximum of one": (
        [node("Max", "x", "c"), node("Max", "c zero", "y")],
        13,
        [("relu", {})],
    ),
    "leaky": (
        [node("LeakyRelu", "x", "y", alpha=0.25)],
        16,
        [("leaky_relu", {"slope": [F(1, 4)]})],
    ),
    "leaky by default": (
        [node("LeakyRelu", "x", "y")],
        16,
        [("leaky_relu", {"slope": [F(float(np.float32(0.01)))]})],
    ),
    "leaky that does not leak": ([node("LeakyRelu", "x", "y", alpha=0.0)], 9, [("relu", {})]),
    "prelu": (
        [node("PRelu", "x slope", "y")],
        16,
        [("leaky_relu", {"slope": [F(1, 4), F(-1, 2), 2]})],
    ),
    "prelu of one number": ([node("PRelu", "x same", "y")], 9, "leaky"),
    "prelu of zeros": ([node("PRelu", "x none", "y")], 9, [("relu", {})]),
    "elu": ([node("Elu", "x", "y")], 13, [("elu", {"alpha": [1]})]),
    "scaled elu": ([node("Elu", "x", "y", alpha=1.5)], 13, [("elu", {"alpha": [F(3, 2)]})]),
    "elu that is a relu": ([node("Elu", "x", "y", alpha=0.0)], 13, [("relu", {})]),
    "tanh": ([node("Tanh", "x", "y")], 13, [("tanh", {})]),
    "sigmoid": ([node("Sigmoid", "x", "y")], 13, [("sigmoid", {})]),
    "softsign": ([node("Softsign", "x", "y")], 13, [("softsign", {})]),
    "softsign written out": (
        [node("Abs", "x", "m"), node("Add", "m one", "n"), node("Div", "x n", "y")],
        13,
        "softsign",
    ),
    "softsign written out, the constant first": (
        [node("Abs", "x", "m"), node("Add", "one m", "n"), node("Div", "x n", "y")],
        18,
        "softsign",
    ),
    "softsign of a quotient": (
        [node("Abs", "x", "m"), node("Add", "m six", "n"), node("Div", "x n", "y")],
        13,
        [
            ("dense", {"weight": (np.eye(3, dtype=object) * F(1, 6)).tolist(), "bias": [0] * 3}),
            ("softsign", {}),
        ],
    ),
    "sigmoid and what labels are made of": (
        [node("Sigmoid", "x", "s"), node("ArgMax", "s", "y", axis=1)],
        13,
        [("sigmoid", {})],
    ),
    "hard sigmoid": (
        [node("HardSigmoid", "x", "y", alpha=0.25, beta=0.5)],
        13,
        [
            (
                "dense",
                {"weight": (np.eye(3) / 4).tolist(), "bias": [F(1, 2)] * 3},
            ),
            ("clip", {"lo": [0], "hi": [1]}),
        ],
    ),
}


def read(name, tmp_path):
    nodes, opset, _ = READ[name]
    return importer.run(Graph(nodes, parameters=NUMBERS, opset=opset).save(tmp_path))


@pytest.mark.parametrize("name", READ)
def test_each_form_is_read_as_what_it_means(name, tmp_path):
    expected = READ[name][2]
    if isinstance(expected, str):
        expected = READ[expected][2]
    network = read(name, tmp_path)
    found = [(n.op, {k: a.tolist() for k, a in n.parameters.items()}) for n in network.nodes]
    assert found == expected


@pytest.mark.parametrize("name", [n for n in READ if not n.endswith("made of")])
def test_onnxruntime_computes_the_same(name, tmp_path):
    nodes, opset, _ = READ[name]
    graph = Graph(nodes, parameters=NUMBERS, opset=opset)
    session = onnxruntime.InferenceSession(
        graph.proto().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ours = importer.run(graph.save(tmp_path))
    for x in np.random.default_rng(1).uniform(-8, 8, (20, 1, 3)).astype(np.float32):
        (theirs,) = session.run(None, {"x": x})
        assert np.allclose(ops.evaluate(ours, x.astype(np.float64)), theirs, rtol=1e-5, atol=1e-6)


def test_joined_activations_are_named_back_to_the_user(tmp_path):
    nodes = [
        node("HardSigmoid", "x", "h", "gate"),
        node("Relu", "h", "r", "act"),
        node("Clip", "r - six", "y", "cap"),
    ]
    network = importer.run(Graph(nodes, parameters=NUMBERS).save(tmp_path))
    assert [n.source for n in network.nodes] == [
        "HardSigmoid 'gate'",
        "HardSigmoid 'gate'",
        "Relu 'act', Clip 'cap'",
    ]
    assert network.notes == ("folded HardSigmoid 'gate' into dense_1",)


HALVES = {
    "a magnitude alone": [node("Abs", "x", "m"), node("Relu", "m", "y")],
    "as the output": [node("Abs", "x", "y")],
    "its product": [node("Abs", "x", "m"), node("Mul", "m six", "y")],
    "two constants": [
        node("Abs", "x", "m"),
        node("Add", "m one", "n"),
        node("Add", "n one", "o"),
        node("Div", "x o", "y"),
    ],
    "no constant": [node("Abs", "x", "m"), node("Div", "x m", "y")],
    "a constant that reaches zero": [
        node("Abs", "x", "m"),
        node("Add", "m none", "n"),
        node("Div", "x n", "y"),
    ],
    "another numerator": [
        node("Abs", "x", "m"),
        node("Add", "m one", "n"),
        node("Relu", "x", "r"),
        node("Div", "r n", "y"),
    ],
    "a constant numerator": [
        node("Abs", "x", "m"),
        node("Add", "m one", "n"),
        node("Div", "one n", "y"),
    ],
}


@pytest.mark.parametrize("case", HALVES)
def test_a_magnitude_is_nothing_but_half_a_softsign(case, tmp_path):
    with pytest.raises(InputError, match="magnitude") as refused:
        importer.run(Graph(HALVES[case], parameters=NUMBERS).save(tmp_path))
    assert "x / (" in str(refused.value)


def test_a_magnitude_that_lies_across_its_tensor_is_no_softsign(tmp_path):
    """x / (1 + |x|) of a row and a column has nine elements."""
    across = [node("Reshape", "x column", "t"), node("Abs", "t", "m"), node("Add", "m one", "n")]
    graph = Graph([*across, node("Div", "x n", "y")], parameters=NUMBERS).save(tmp_path)
    with pytest.raises(InputError, match=r"'Div' enlarges a tensor of shape \[1, 3\] to \[3, 3\]"):
        importer.run(graph)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([node("Relu", "x", "r"), node("Max", "x r", "y")], "compares 2 tensors"),
        ([node("Max", "x slope", "y")], "no single number"),
        ([node("Min", "one zero", "c"), node("Add", "x c", "y")], "compares 0 tensors"),
        ([node("Max", "x six", "c"), node("Min", "c zero", "y")], None),
        ([node("Max", "x rows", "y")], r"enlarges a tensor of shape \[1, 3\] to \[2, 3\]"),
        ([node("Min", "one x rows", "y")], "enlarges"),
        ([node("Max", "x ragged", "y")], "do not broadcast"),
    ],
)
def test_maxima_that_are_no_limits_are_refused(nodes, said, tmp_path):
    graph = Graph(nodes, parameters=NUMBERS).save(tmp_path)
    if said is None:
        assert [n.op for n in importer.run(graph).nodes] == ["clip", "clip"]
        return
    with pytest.raises(InputError, match=said):
        importer.run(graph)
