"""One perceptron as each exporter writes it: same numbers, different graphs."""

from dataclasses import dataclass

import numpy as np
from onnx import numpy_helper

from support.onnx_models import ML, Graph, node


@dataclass(frozen=True)
class Perceptron:
    """y = w2 @ relu(w1 @ x + b1) + b2, in float32."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def perceptron(n_in: int = 4, hidden: int = 5, n_out: int = 3) -> Perceptron:
    """Return a network with fixed random numbers."""
    random = np.random.default_rng(7)
    sizes = ((hidden, n_in), (hidden,), (n_out, hidden), (n_out,))
    return Perceptron(*(random.normal(size=s).astype(np.float32) for s in sizes))


def torch_legacy(p: Perceptron) -> Graph:
    """Gemm with transB, symbolic batch."""
    return Graph(
        [
            node("Gemm", "x fc1.weight fc1.bias", "h", "/fc1/Gemm", alpha=1.0, beta=1.0, transB=1),
            node("Relu", "h", "r", "/Relu"),
            node("Gemm", "r fc2.weight fc2.bias", "y", "/fc2/Gemm", alpha=1.0, beta=1.0, transB=1),
        ],
        shape=("batch", p.w1.shape[1]),
        parameters={
            "fc1.weight": p.w1,
            "fc1.bias": p.b1,
            "fc2.weight": p.w2,
            "fc2.bias": p.b2,
        },
    )


def torch_legacy_view(p: Perceptron) -> Graph:
    """x.view(x.size(0), -1) with an open batch: the shape is computed in the graph."""
    head = [
        node("Shape", "x", "s"),
        node("Constant", "", "zero", value_int=0),
        node("Gather", "s zero", "n", axis=0),
        node("Constant", "", "axes", value_ints=[0]),
        node("Unsqueeze", "n axes", "n1"),
        node("Constant", "", "rest", value_ints=[-1]),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target", "flat"),
    ]
    plain = torch_legacy(p)
    first = node("Gemm", "flat fc1.weight fc1.bias", "h", "/fc1/Gemm", transB=1)
    shape = ("batch", 2, p.w1.shape[1] // 2)
    return plain.but(nodes=[*head, first, *plain.nodes[1:]], shape=shape)


def torch_dynamo(p: Perceptron) -> Graph:
    """MatMul with a transposed constant, bias on the left, opset 20."""
    return Graph(
        [
            node("Transpose", "w1", "t1", "n1", perm=[1, 0]),
            node("MatMul", "x t1", "m1", "n2"),
            node("Add", "b1 m1", "h", "n3"),
            node("Relu", "h", "r", "n4"),
            node("Gemm", "r w2 b2", "y", "n5", transA=0, transB=1, alpha=1.0, beta=1.0),
        ],
        shape=(1, p.w1.shape[1]),
        parameters={"w1": p.w1, "b1": p.b1, "w2": p.w2, "b2": p.b2},
        opset=20,
    )


def keras(p: Perceptron) -> Graph:
    """MatMul and Add, opset 9, and a Softmax at the end."""
    return Graph(
        [
            node("MatMul", "x dense/kernel:0", "dense0"),
            node("Add", "dense0 dense/bias:0", "biased"),
            node("Relu", "biased", "act"),
            node("MatMul", "act dense_1/kernel:0", "dense1"),
            node("Add", "dense1 dense_1/bias:0", "logits"),
            node("Softmax", "logits", "y", axis=-1),
        ],
        shape=("N", p.w1.shape[1]),
        parameters={
            "dense/kernel:0": p.w1.T.copy(),
            "dense/bias:0": p.b1,
            "dense_1/kernel:0": p.w2.T.copy(),
            "dense_1/bias:0": p.b2,
        },
        opset=9,
    )


def scikit_learn(p: Perceptron) -> Graph:
    """Cast, row biases, and the label and probability outputs of a classifier."""
    return Graph(
        [
            node("Cast", "x", "cast_input", "Cast", to=1),
            node("MatMul", "cast_input coefficient", "mul_result", "MatMul"),
            node("Add", "mul_result intercepts", "add_result", "Add"),
            node("Relu", "add_result", "next_activations", "Relu"),
            node("MatMul", "next_activations coefficient1", "mul_result1", "MatMul1"),
            node("Add", "mul_result1 intercepts1", "add_result1", "Add1"),
            node("Softmax", "add_result1", "out", "Relu1"),
            node("ArgMax", "out", "argmax", "ArgMax", axis=1),
            node("ArrayFeatureExtractor", "classes argmax", "picked", "Pick", domain=ML),
            node("Reshape", "picked label_shape", "label", "Reshape"),
            node("Identity", "label", "output_label", "Identity"),
            node(
                "ZipMap",
                "out",
                "output_probability",
                "ZipMap",
                domain=ML,
                classlabels_strings=["a", "b", "c"],
            ),
        ],
        shape=(None, p.w1.shape[1]),
        outputs=("output_label", "output_probability"),
        parameters={
            "coefficient": p.w1.T.copy(),
            "intercepts": p.b1[None],
            "coefficient1": p.w2.T.copy(),
            "intercepts1": p.b2[None],
            "classes": np.array(["a", "b", "c"], dtype=object),
            "label_shape": np.array([-1]),
        },
        opset=14,
    )


def scikit_learn_binary(p: Perceptron) -> Graph:
    """The two-class form of one output: a Sigmoid, its complement, both joined."""
    plain = scikit_learn(p)
    tail = [
        node("Sigmoid", "add_result1", "positive", "Sigmoid"),
        node("Sub", "unity positive", "negative", "Sub"),
        node("Concat", "negative positive", "out", "Concat", axis=1),
    ]
    table = node("ZipMap", "out", "output_probability", domain=ML, classlabels_strings=["a", "b"])
    parameters = {**plain.parameters, "unity": np.array(1, dtype=np.float32)}
    parameters["classes"] = np.array(["a", "b"], dtype=object)
    nodes = [*plain.nodes[:6], *tail, *plain.nodes[7:-1], table]
    return plain.but(nodes=nodes, parameters=parameters)


def matlab(p: Perceptron) -> Graph:
    """IR version 3, every initializer a graph input, rank-4 input, a zero mean subtracted."""
    return Graph(
        [
            node("Sub", "x mean", "centred"),
            node("Flatten", "centred", "flat", axis=1),
            node("MatMul", "flat w1", "m1"),
            node("Add", "m1 b1", "a1"),
            node("Relu", "a1", "r1"),
            node("MatMul", "r1 w2", "m2"),
            node("Add", "m2 b2", "y"),
        ],
        shape=(1, 1, 1, p.w1.shape[1]),
        parameters={
            "mean": np.zeros((1, 1, 1, p.w1.shape[1]), dtype=np.float32),
            "w1": p.w1.T.copy(),
            "b1": p.b1,
            "w2": p.w2.T.copy(),
            "b2": p.b2,
        },
        opset=8,
        listed=True,
    )


def column(p: Perceptron) -> Graph:
    """W @ x with a column vector."""
    return Graph(
        [
            node("MatMul", "w1 x", "m1"),
            node("Add", "m1 b1", "a1"),
            node("Relu", "a1", "r1"),
            node("Gemm", "w2 r1 b2", "y"),
        ],
        shape=(p.w1.shape[1], 1),
        parameters={"w1": p.w1, "b1": p.b1[:, None], "w2": p.w2, "b2": p.b2[:, None]},
    )


def vector(p: Perceptron) -> Graph:
    """W @ x with a vector that has no batch axis; parameters as Constant nodes."""
    return Graph(
        [
            node("Constant", "", "w1", value=_tensor(p.w1)),
            node("Constant", "", "b1", value_floats=p.b1.tolist()),
            node("Constant", "", "w2", value=_tensor(p.w2)),
            node("Constant", "", "b2", value=_tensor(p.b2)),
            node("MatMul", "w1 x", "m1"),
            node("Add", "m1 b1", "a1"),
            node("Relu", "a1", "r1"),
            node("MatMul", "w2 r1", "m2"),
            node("Add", "b2 m2", "y"),
        ],
        shape=(p.w1.shape[1],),
    )


def _tensor(array: np.ndarray):

    return numpy_helper.from_array(array)


EXPORTERS = {
    function.__name__: function
    for function in (
        torch_legacy,
        torch_legacy_view,
        torch_dynamo,
        keras,
        scikit_learn,
        scikit_learn_binary,
        matlab,
        column,
        vector,
    )
}
