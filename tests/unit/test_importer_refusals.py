"""What cannot be deployed ends in one error: what, at which node, and what would help."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qdeploy import importer, ops
from qdeploy.diagnostics import ExitCode, InputError
from qdeploy.importer import advice
from qdeploy.importer.operators import translations
from support.onnx_models import Graph, node

W = np.array([[1, 2, 3], [0, -1, 0.5]], dtype=np.float32)
PARAMETERS = {
    "W": W,
    "WT": W.T.copy(),
    "b": np.array([1, 2], "f4"),
    "zero": np.array([1, 0, 2], "f4"),
    "one": np.array(1, "f4"),
    "many": np.ones((4, 3), "f4"),
    "shape5": np.array([5, 1]),
    "axes9": np.array([9]),
    "ints": np.array([1, 2, 3]),
    "true": np.array(True),
    "ratio": np.array(0.5, "f4"),
    "stack": np.ones((2, 3, 2), "f4"),
}


def refused(graph, tmp_path):
    """Return the three lines of the error that reading the graph ends in."""
    path = graph.save(tmp_path)
    with pytest.raises(InputError) as caught:
        importer.run(path)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.fix
    return caught.value


OPERATORS = {
    "unknown": (
        [node("Gelu", "x", "y", "act_3")],
        "operator 'Gelu' is not supported",
        "model.onnx: node 'act_3' (Gelu)",
        "Relu",
    ),
    "other domain": (
        [node("FusedMatMul", "x WT", "y", "f", domain="com.microsoft")],
        "operator 'com.microsoft::FusedMatMul' is not supported",
        "model.onnx: node 'f' (FusedMatMul)",
        "optimiser",
    ),
    "softmax inside": (
        [node("Softmax", "x", "s", "soft"), node("MatMul", "s WT", "y", "out")],
        "operator 'Softmax' is supported only at the end of a network, "
        "and operator 'MatMul' uses what it computes",
        "model.onnx: node 'out' (MatMul)",
        "end the network before node 'soft'",
    ),
    "scaled softmax": (
        [node("Softmax", "x", "s", "soft"), node("Mul", "s zero", "y", "out")],
        "operator 'Softmax' is supported only at the end of a network, "
        "and operator 'Mul' uses what it computes",
        "model.onnx: node 'out' (Mul)",
        "end the network",
    ),
    "tail joined with the network": (
        [node("Softmax", "x", "s"), node("Concat", "s x", "y", "both", axis=1)],
        "operator 'Softmax' is supported only at the end of a network, "
        "and operator 'Concat' uses what it computes",
        "model.onnx: node 'both' (Concat)",
        "end the network",
    ),
    "residual": (
        [node("Relu", "x", "r"), node("Add", "x r", "y", "skip")],
        "both inputs of operator 'Add' depend on the network's input",
        "model.onnx: node 'skip' (Add)",
        "residual",
    ),
    "matrix from the input": (
        [node("Transpose", "x", "t", perm=[1, 0]), node("MatMul", "x t", "y", "mm")],
        "both inputs of operator 'MatMul' depend on the network's input",
        "node 'mm'",
        "initializer",
    ),
    "constant divided by the signal": (
        [node("Div", "zero x", "y", "inv")],
        "operator 'Div' divides a constant by a value that depends on the network's input",
        "node 'inv' (Div)",
        "division by a constant",
    ),
    "division by zero": (
        [node("Div", "x zero", "y", "norm")],
        "the divisor 'zero' contains a zero",
        "node 'norm' (Div)",
        "correct the constant",
    ),
    "constant that enlarges": (
        [node("Add", "x many", "y", "grow")],
        "the constant 'many' of shape [4, 3] enlarges a tensor of shape [1, 3] to [4, 3]",
        "node 'grow' (Add)",
        "batch size 1",
    ),
    "shapes that do not broadcast": (
        [node("Add", "x b", "y", "plus")],
        "shapes [1, 3] and [2] of operator 'Add' do not broadcast",
        "node 'plus' (Add)",
        "onnx.checker",
    ),
    "shapes that do not multiply": (
        [node("MatMul", "x W", "y", "mm")],
        "shapes [1, 3] and [2, 3] of operator 'MatMul' do not match",
        "node 'mm' (MatMul)",
        "onnx.checker",
    ),
    "a stack of matrices": (
        [node("MatMul", "x stack", "y", "mm")],
        "'stack' of shape [2, 3, 2] is a stack of matrices",
        "node 'mm' (MatMul)",
        "one matrix",
    ),
    "limits that leave a constant": (
        [node("Clip", "x one one", "y", "flat")],
        "operator 'Clip' clips from 1.0 to 1.0, which leaves a constant",
        "node 'flat' (Clip)",
        "correct the limits",
    ),
    "a limit from the input": (
        [node("Clip", "x - x", "y", "gate")],
        "the maximum of operator 'Clip' depends on the network's input",
        "node 'gate' (Clip)",
        "initializer",
    ),
    "a limit for each element": (
        [node("Clip", "x zero", "y", "each")],
        "the minimum 'zero' of operator 'Clip' is no single number",
        "node 'each' (Clip)",
        "scalar",
    ),
    "limits in the form of another opset": (
        [node("Clip", "x", "y", "old", min=0.0)],
        "attribute 'min' of operator 'Clip' does not exist in opset 13",
        "node 'old' (Clip)",
        "export without it; there is none",
    ),
    "a slope that enlarges": (
        [node("PRelu", "x many", "y", "p")],
        "the slope 'many' of shape [4, 3] enlarges a tensor of shape [1, 3]",
        "node 'p' (PRelu)",
        "batch size 1",
    ),
    "a curve that falls": (
        [node("Elu", "x", "y", "e", alpha=-0.5)],
        "attribute 'alpha' of operator 'Elu' is -0.5, which makes the curve fall",
        "node 'e' (Elu)",
        "alpha >= 0",
    ),
    "an activation of a constant": (
        [node("Tanh", "zero", "t", "t"), node("Add", "x t", "y")],
        "operator 'Tanh' works on a constant",
        "node 't' (Tanh)",
        "simplify",
    ),
    "joined layers": (
        [node("Tanh", "x", "t"), node("Concat", "x t", "y", "both", axis=1)],
        "operator 'Concat' joins several tensors that depend on the network's input",
        "node 'both' (Concat)",
        "reads the one before",
    ),
    "unknown attribute": (
        [node("Gemm", "x W", "y", "g", transB=1, activation="relu")],
        "attribute 'activation' of operator 'Gemm' does not exist in opset 13",
        "node 'g' (Gemm)",
        "alpha, beta, transA, transB",
    ),
    "attribute of the wrong kind": (
        [node("Gemm", "x W", "y", "g", transB=1, alpha=2)],
        "attribute 'alpha' of operator 'Gemm' is INT, the standard asks for FLOAT",
        "node 'g' (Gemm)",
        "onnx.checker",
    ),
    "infinite attribute": (
        [node("Gemm", "x W", "y", "g", transB=1, alpha=float("inf"))],
        "attribute 'alpha' of operator 'Gemm' is not a finite floating-point number",
        "node 'g' (Gemm)",
        "exporter",
    ),
    "flag that is none": (
        [node("Gemm", "x W", "y", "g", transB=2)],
        "attribute 'transB' of operator 'Gemm' is not 0 or 1",
        "node 'g' (Gemm)",
        "exporter",
    ),
    "missing attribute": (
        [node("Cast", "x", "c", "cast"), node("MatMul", "c WT", "y")],
        "operator 'Cast' lacks its attribute 'to'",
        "node 'cast' (Cast)",
        "onnx.checker",
    ),
    "cast that rounds": (
        [node("Cast", "x", "c", "cast", to=TensorProto.FLOAT16), node("MatMul", "c WT", "y")],
        "attribute 'to' of operator 'Cast' is FLOAT16",
        "node 'cast' (Cast)",
        "FLOAT or DOUBLE",
    ),
    "dropout in training": (
        [node("Dropout", "x ratio true", "y", "drop")],
        "input 'training_mode' of operator 'Dropout' is not false",
        "node 'drop' (Dropout)",
        "model.eval()",
    ),
    "reshape to another size": (
        [node("Reshape", "x shape5", "y", "view")],
        "operator 'Reshape' turns shape [1, 3] into [5, 1]",
        "node 'view' (Reshape)",
        "batch size 1",
    ),
    "axis out of range": (
        [node("Unsqueeze", "x axes9", "y", "un")],
        "axis 9 of operator 'Unsqueeze' is outside a tensor with 3 axes",
        "node 'un' (Unsqueeze)",
        "export",
    ),
    "integer parameters": (
        [node("Add", "x ints", "y", "plus")],
        "operator 'Add' takes 'x' of type FLOAT together with 'ints' of type INT64",
        "node 'plus' (Add)",
        "Cast",
    ),
    "too few inputs": (
        [node("MatMul", "x", "y", "mm")],
        "operator 'MatMul' has 1 inputs instead of 2",
        "node 'mm' (MatMul)",
        "onnx.checker",
    ),
    "omitted input": (
        [node("Add", "x -", "y", "plus")],
        "operator 'Add' lacks its input 'B'",
        "node 'plus' (Add)",
        "onnx.checker",
    ),
    "unknown tensor": (
        [node("Add", "x nowhere", "y", "plus")],
        "'nowhere' is never made",
        "node 'plus' (Add)",
        "onnx.checker",
    ),
    "second output": (
        [node("Dropout", "x", "d mask"), node("Add", "d mask", "y", "plus")],
        "'mask' is a further output of its node",
        "node 'plus' (Add)",
        "first output",
    ),
    "circle": (
        [node("Relu", "b2", "a2", "one"), node("Relu", "a2", "b2", "two"), node("Relu", "b2", "y")],
        "the graph runs in a circle through node",
        "model.onnx",
        "onnx.checker",
    ),
    "constant output": (
        [node("Relu", "b", "y", "r")],
        "the output 'y' does not depend on the input",
        "model.onnx",
        "output",
    ),
    "no layer": (
        [node("Identity", "x", "y")],
        "the output is the input",
        "model.onnx",
        "dense layer",
    ),
    "control flow": (
        [node("Loop", "x", "y", "again")],
        "operator 'Loop' is not supported",
        "node 'again' (Loop)",
        "without control flow",
    ),
    "axes in the wrong place": (
        [node("Squeeze", "x", "y", "sq", axes=[0])],
        "attribute 'axes' of operator 'Squeeze' does not exist in opset 13",
        "node 'sq' (Squeeze)",
        "export",
    ),
    "squeeze of a long axis": (
        [node("Squeeze", "x axis1", "y", "sq")],
        "operator 'Squeeze' drops an axis of shape [1, 3] that is not 1",
        "node 'sq' (Squeeze)",
        "batch size 1",
    ),
}


@pytest.mark.parametrize("case", OPERATORS)
def test_graphs_that_cannot_be_deployed_are_refused_by_name(case, tmp_path):
    nodes, what, where, fix = OPERATORS[case]
    parameters = {**PARAMETERS, "axis1": np.array([1])}
    error = refused(Graph(nodes, parameters=parameters), tmp_path)
    assert what in error.what
    assert where in str(error.where)
    assert fix in error.fix


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_a_transpose_that_reorders_the_signal_is_refused(order, tmp_path):
    nodes = [node("Transpose", "x", "t", "turn", perm=order), node("Relu", "t", "y")]
    error = refused(Graph(nodes, shape=(2, 3, 2)), tmp_path)
    assert error.what.startswith("operator 'Transpose' reorders a tensor of shape [2, 3, 2]")
    assert str(error.where) == "model.onnx: node 'turn' (Transpose)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_no_numbers_are_refused_by_name(value, tmp_path):
    bad = W.T.copy()
    bad[2, 1] = value
    graph = Graph([node("MatMul", "x fc.weight", "y")], parameters={"fc.weight": bad})
    error = refused(graph, tmp_path)
    assert error.what == f"parameter 'fc.weight' contains {value} at index [2, 1]"
    assert str(error.where) == "model.onnx: tensor 'fc.weight'"


def test_nan_in_a_constant_node_is_refused_by_name(tmp_path):
    nodes = [node("Constant", "", "k", value_floats=[1.0, float("nan"), 2.0])]
    error = refused(Graph([*nodes, node("Add", "x k", "y")]), tmp_path)
    assert error.what == "parameter 'k' contains nan at index [1]"


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((1, "T", 3), "axis 1 of the input has no fixed extent ('T')"),
        ((1, None), "axis 1 of the input has no fixed extent"),
        (("N",), "axis 0 of the input has no fixed extent ('N')"),
        ((), "the input has 0 axes and 1 elements"),
        ((1, 70_000), "the input has 2 axes and 70000 elements"),
        ((4, 3), "operator 'MatMul' works on 4 vectors at once: its input has the shape [4, 3]"),
        ((1, 2, 3), "operator 'MatMul' works on 2 vectors at once"),
    ],
)
def test_inputs_of_other_shapes_are_refused(shape, what, tmp_path):
    graph = Graph([node("MatMul", "x WT", "y")], shape=shape, parameters=PARAMETERS)
    assert refused(graph, tmp_path).what.startswith(what)


def test_integer_inputs_need_a_cast(tmp_path):
    graph = Graph([node("Relu", "x", "y", "r")], input_type=TensorProto.INT64)
    error = refused(graph, tmp_path)
    assert error.what == "operator 'Relu' takes no INT64 in opset 13, and 'x' is of that type"
    assert "Cast" in error.fix
    since = refused(graph.but(opset=14), tmp_path)
    assert since.what == "operator 'Relu' works on integers"


def test_inputs_of_other_types_are_refused(tmp_path):
    graph = Graph([node("Relu", "x", "y")], input_type=TensorProto.STRING)
    assert refused(graph, tmp_path).what == "the input has elements of type STRING"


def test_several_inputs_are_refused_by_name(tmp_path):
    model = Graph([node("Add", "x x2", "y")]).proto()
    model.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, [1, 3]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="the network has 2 inputs: 'x', 'x2'"):
        importer.run(path)


def test_outputs_from_different_tensors_are_refused_by_name(tmp_path):
    nodes = [node("Relu", "x", "a"), node("MatMul", "a WT", "y")]
    error = refused(Graph(nodes, outputs=("a", "y"), parameters=PARAMETERS), tmp_path)
    assert error.what == "the outputs 'a', 'y' come from different tensors"


@pytest.mark.parametrize("opset", [7, 999])
def test_opsets_out_of_range_are_refused(opset, tmp_path):
    model = Graph([node("Relu", "x", "y")]).proto()
    model.opset_import[0].version = opset
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=f"the model uses opset {opset}") as caught:
        importer.run(path)
    assert "export with an opset from 8 to" in caught.value.fix


def test_a_function_of_the_model_is_not_taken_for_the_standard_operator(tmp_path):
    """A local function may be called Relu and compute something else."""
    model = Graph([node("Relu", "x", "y", "r")]).proto()
    model.functions.append(
        helper.make_function(
            "", "Relu", ["a"], ["b"], [node("Neg", "a", "b")], [helper.make_opsetid("", 13)]
        )
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="operator 'function::Relu' is not supported") as caught:
        importer.run(path)
    assert "inline_local_functions" in caught.value.fix


def test_sparse_parameters_are_refused_by_name(tmp_path):
    model = Graph([node("MatMul", "x k", "y")]).proto()
    values = helper.make_tensor("k", TensorProto.FLOAT, [1], [2.0])
    indices = helper.make_tensor("k_at", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(values, indices, [3, 1])
    model.graph.sparse_initializer.append(sparse)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="parameter 'k' is stored as a sparse tensor"):
        importer.run(path)


@pytest.mark.parametrize("twice", ["node", "initializer", "input"])
def test_a_name_that_stands_for_two_tensors_is_refused(twice, tmp_path):
    nodes = [node("Relu", "x", "a"), node("Relu", "a", "y")]
    model = Graph(nodes, parameters={"k": W}).proto()
    if twice == "node":
        model.graph.node.append(node("Neg", "x", "a"))
    elif twice == "initializer":
        model.graph.initializer.append(model.graph.initializer[0])
    else:
        model.graph.node.append(node("Neg", "a", "x"))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="stands for two tensors"):
        importer.run(path)


def test_opset_8_takes_no_axes_as_input(tmp_path):
    graph = Graph([node("Squeeze", "x axes", "y")], parameters={"axes": np.array([0])}, opset=8)
    assert refused(graph, tmp_path).what == "operator 'Squeeze' has 2 inputs instead of 1"


ADVICE = {
    "Conv": "train a network without it",
    "MaxPool": "train a network without it",
    "BatchNormalization": "torch.nn.utils.fusion.fuse_linear_bn_eval",
    "Neg": "Mul by the constant -1",
    "DequantizeLinear": "before it was quantised",
    "Gelu": "train with an activation that is read",
    "Erf": "train with an activation that is read",
    "HardSwish": "train with an activation that is read",
    "Selu": "Elu with alpha=1.6732632 and a Mul by 1.0507010",
    "Celu": "a Mul by 1/alpha, Elu with alpha=1 and a Mul by alpha",
    "LSTM": "without memory",
    "LayerNormalization": "depends on the data",
    "Slice": "a MatMul with a matrix of zeros and ones",
    "ReduceMean": "a matrix of ones, or of 1/n for a mean",
    "Where": "must not depend on the data",
    "TopK": "end the network before it",
    "Loop": "without control flow",
    "Attention": "without attention",
    "RandomNormalLike": "in inference mode",
    "ai.onnx.ml::LinearClassifier": "black_op={'LinearClassifier'",
    "ai.onnx.ml::TreeEnsembleClassifier": "only neural networks",
    "com.microsoft::FusedGemm": "as it was before",
    "my.company::Secret": "without custom ones",
    "Det": "end the network before this node",
}


@pytest.mark.parametrize("operator", ADVICE)
def test_what_is_not_read_is_refused_with_a_way_out_of_its_own(operator, tmp_path):
    domain, _, name = operator.rpartition("::")
    error = refused(Graph([node(name, "x", "y", "spot", domain=domain)]), tmp_path)
    assert error.what == f"operator {operator!r} is not supported"
    assert ADVICE[operator] in error.fix
    assert error.fix.endswith("; docs/importing.md lists every operator that is read")
    assert len(error.fix) < 250


def test_nobody_is_advised_to_use_what_is_read_already():
    assert not set(advice._ADVICE) & set(translations())


def test_selu_and_celu_written_as_advised_are_read_and_equal(tmp_path):
    """Advice has to work: each is an Elu between constants."""
    alpha, gamma, a = 1.6732632, 1.0507010, 0.5
    x = np.array([[-3.0, -0.25, 2.0]])
    numbers = {"gamma": np.array(gamma, "f4"), "a": np.array(a, "f4"), "inv": np.array(1 / a, "f4")}
    selu = [node("Elu", "x", "e", alpha=alpha), node("Mul", "e gamma", "y")]
    celu = [node("Mul", "x inv", "s"), node("Elu", "s", "e", alpha=1.0), node("Mul", "e a", "y")]
    expected = (
        gamma * np.where(x > 0, x, alpha * np.expm1(x)),
        np.maximum(0, x) + np.minimum(0, a * np.expm1(x / a)),
    )
    for nodes, wanted in zip((selu, celu), expected, strict=True):
        network = importer.run(Graph(nodes, parameters=numbers).save(tmp_path))
        assert np.allclose(ops.evaluate(network, x), wanted, rtol=1e-6)


LOOK_UPS = {
    "picks from the signal": (
        [node("Gather", "x axis1", "y", "pick", axis=1)],
        "operator 'Gather' picks elements of a tensor that depends on the network's input",
        "a MatMul with a matrix of zeros and ones",
    ),
    "a table": (
        [node("Cast", "x", "i", to=TensorProto.INT64), node("Gather", "W i", "y", "pick")],
        "attribute 'to' of operator 'Cast' is INT64",
        "FLOAT or DOUBLE",
    ),
}


@pytest.mark.parametrize("case", LOOK_UPS)
def test_gathers_are_refused_with_advice_that_can_be_followed(case, tmp_path):
    nodes, what, fix = LOOK_UPS[case]
    error = refused(Graph(nodes, parameters={**PARAMETERS, "axis1": np.array([1])}), tmp_path)
    assert error.what == what
    assert fix in error.fix


def test_a_table_that_is_looked_up_by_the_input_is_refused(tmp_path):
    nodes = [node("Gather", "W x", "y", "embedding")]
    graph = Graph(nodes, parameters=PARAMETERS, input_type=TensorProto.INT64)
    error = refused(graph, tmp_path)
    assert error.what == "operator 'Gather' looks the network's input up in a table"
    assert "from the result of the look-up on" in error.fix


def test_a_pick_written_as_a_matmul_is_read(tmp_path):
    pick = np.array([[0, 0], [1, 0], [0, 1]], "f4")
    nodes = [node("MatMul", "x pick", "y")]
    network = importer.run(Graph(nodes, parameters={"pick": pick}).save(tmp_path))
    assert ops.evaluate(network, np.array([[5.0, 6.0, 7.0]])).tolist() == [[6.0, 7.0]]


@pytest.mark.parametrize("opset", [8, onnx.defs.onnx_opset_version()])
def test_every_operator_that_is_read_exists_in_onnx(opset):
    for name in translations():
        domain, _, bare = name.rpartition("::")
        schema = onnx.defs.get_schema(bare, 1 if domain else opset, domain)
        assert not schema.deprecated, name
