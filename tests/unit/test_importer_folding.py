"""Elementwise constants join the dense layer beside them, exactly."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from qdeploy import importer
from support.onnx_models import ML, Graph, node

F = Fraction
W = np.array([[1, 2, 3], [0, -1, 0.5]], dtype=np.float32)
ONE = np.array([1, 2], dtype=np.float32)
THREE = np.array([3, 5, 7], dtype=np.float32)
CONSTANTS = {"W": W, "WT": W.T.copy(), "b": ONE, "s": ONE + 2, "m": THREE, "third": THREE}


def layers(nodes, tmp_path, **changes):
    """Read a graph; return (op, weight, bias) of each layer, and the notes."""
    last = nodes[-1].output[0]
    graph = Graph(nodes, parameters=CONSTANTS, outputs=(last,)).but(**changes)
    network = importer.run(graph.save(tmp_path))
    found = [
        (n.op, n.parameters["weight"].tolist(), n.parameters["bias"].tolist())
        if n.op == "dense"
        else (n.op,)
        for n in network.nodes
    ]
    return found, network.notes


def dense(weight, bias):
    return ("dense", [[F(v) for v in row] for row in weight], [F(v) for v in bias])


RELU = ("relu",)


def test_normalisation_before_a_layer_joins_it_without_rounding(tmp_path):
    nodes = [
        node("Sub", "x m", "a"),
        node("Div", "a third", "c"),
        node("MatMul", "c WT", "d"),
        node("Add", "d b", "e"),
        node("Relu", "e", "y"),
    ]
    found, notes = layers(nodes, tmp_path)
    weight = [[F(1, 3), F(2, 5), F(3, 7)], [0, F(-1, 5), F(1, 14)]]
    # Every mean is its own divisor, so each input contributes -1 times its weight.
    assert found == [dense(weight, [1 - 6, 2 + F(1, 2)]), RELU]
    assert notes == ("folded Sub 'a', Div 'c' into dense_1",)


def test_scale_and_shift_after_a_layer_join_it(tmp_path):
    nodes = [
        node("Gemm", "x W b", "d", transB=1),
        node("Mul", "d s", "e"),
        node("Add", "b e", "f"),
        node("Relu", "f", "y"),
    ]
    found, notes = layers(nodes, tmp_path)
    assert found == [dense([[3, 6, 9], [0, -4, 2]], [1 * 3 + 1, 2 * 4 + 2]), RELU]
    assert notes == ("folded Mul 'e', Add 'f' into dense_1",)


def test_maps_on_both_sides_of_a_layer_join_it(tmp_path):
    nodes = [node("Sub", "x m", "a"), node("MatMul", "a WT", "d"), node("Mul", "d s", "y")]
    found, _ = layers(nodes, tmp_path)
    assert found == [dense([[3, 6, 9], [0, -4, 2]], [3 * -34, 4 * F(3, 2)])]


def test_a_scale_after_relu_joins_the_layer_that_follows(tmp_path):
    nodes = [
        node("Gemm", "x W b", "d", transB=1),
        node("Relu", "d", "r"),
        node("Mul", "r s", "e"),
        node("MatMul", "e W", "y"),
    ]
    found, _ = layers(nodes, tmp_path)
    assert found[2] == dense([[3, 0], [6, -4], [9, 2]], [0, 0, 0])


def test_a_constant_minus_the_signal_negates_it(tmp_path):
    nodes = [node("MatMul", "x WT", "d"), node("Sub", "s d", "e"), node("Relu", "e", "y")]
    found, _ = layers(nodes, tmp_path)
    assert found == [dense([[-1, -2, -3], [0, 1, F(-1, 2)]], [3, 4]), RELU]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("Mul", "x m", "a"), node("Relu", "a", "y")], [((3, 5, 7), (0, 0, 0)), RELU]),
        ([node("Relu", "x", "a"), node("Add", "a m", "y")], [RELU, ((1, 1, 1), (3, 5, 7))]),
        ([node("Sub", "m x", "y")], [((-1, -1, -1), (3, 5, 7))]),
    ],
)
def test_without_a_dense_neighbour_the_matrix_is_diagonal(nodes, expected, tmp_path):
    found, _ = layers(nodes, tmp_path)
    wanted = [
        layer if layer == RELU else dense(np.diag(layer[0]).tolist(), layer[1])
        for layer in expected
    ]
    assert found == wanted


def test_layers_with_nothing_between_them_stay_separate(tmp_path):
    nodes = [node("MatMul", "x WT", "d"), node("Add", "d b", "e"), node("MatMul", "e W", "y")]
    found, notes = layers(nodes, tmp_path)
    assert found == [dense(W.tolist(), [1, 2]), dense(W.T.tolist(), [0, 0, 0])]
    assert notes == ()


def test_maps_that_change_nothing_leave_no_layer(tmp_path):
    zeros = {**CONSTANTS, "zero": np.zeros((1, 3), "f4"), "one": np.ones((), "f4")}
    nodes = [node("Sub", "x zero", "a"), node("Mul", "a one", "b1"), node("Relu", "b1", "y")]
    assert layers(nodes, tmp_path, parameters=zeros)[0] == [RELU]


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [None, (), (1,), (2,), (1, 2), (1, 1)])
def test_every_attribute_of_gemm_counts(trans_a, trans_b, bias, tmp_path):
    addend = None if bias is None else np.full(bias, 4, dtype=np.float32)
    parameters = CONSTANTS if addend is None else {**CONSTANTS, "C": addend}
    operands = f"x {'W' if trans_b else 'WT'}" + ("" if addend is None else " C")
    gemm = node("Gemm", operands, "y", alpha=0.5, beta=3.0, transA=trans_a, transB=trans_b)
    shape = (3, 1) if trans_a else (1, 3)
    found, _ = layers([gemm], tmp_path, parameters=parameters, shape=shape)
    assert found == [dense((W / 2).tolist(), [0 if addend is None else 12] * 2)]


@pytest.mark.parametrize(
    ("shape", "constant"),
    [
        ((3,), (1, 3)),
        ((1, 3), (1, 1, 1, 3)),
        ((1, 1, 1, 3), (3,)),
        ((3, 1), (3, 1)),
        (("N", 3), ()),
    ],
)
def test_constants_broadcast_by_the_rules_of_onnx(shape, constant, tmp_path):
    value = np.resize(THREE, constant)
    found, _ = layers([node("Add", "x k", "y")], tmp_path, parameters={"k": value}, shape=shape)
    assert found == [dense(np.eye(3).tolist(), np.broadcast_to(value.ravel(), 3).tolist())]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_parameters_of_any_width_are_read_as_stored(dtype, tmp_path):
    weight = np.array([[0.1, -1e-7, 3]], dtype=dtype)
    kind = helper.np_dtype_to_tensor_dtype(weight.dtype)
    changes = {"parameters": {"k": weight.T.copy()}, "input_type": kind}
    found, _ = layers([node("MatMul", "x k", "y")], tmp_path, **changes)
    assert found == [dense([[float(v) for v in weight[0]]], [0])]


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    tensor = TensorProto(dims=[3, 1], data_type=TensorProto.BFLOAT16)
    tensor.raw_data = np.array([0x3F80, 0xC040, 0x3DCD], dtype="<u2").tobytes()
    nodes = [node("Constant", "", "k", value=tensor), node("MatMul", "x k", "y")]
    found, _ = layers(nodes, tmp_path, input_type=TensorProto.BFLOAT16)
    assert found == [dense([[1, -3, 0.10009765625]], [0])]


@pytest.mark.parametrize(
    ("data_type", "field", "numbers", "expected"),
    [
        (TensorProto.FLOAT, "float_data", [0.5, 2, -1], [F(1, 2), 2, -1]),
        (TensorProto.DOUBLE, "double_data", [0.1, 2, -1], [F(0.1), 2, -1]),
        (TensorProto.FLOAT16, "int32_data", [0x3C00, 0xC000, 0x0001], [1, -2, F(1, 1 << 24)]),
        (TensorProto.BFLOAT16, "int32_data", [0x3F80, 0xC000, 0], [1, -2, 0]),
    ],
)
def test_parameters_in_typed_fields_are_read(data_type, field, numbers, expected, tmp_path):
    tensor = TensorProto(dims=[3], data_type=data_type)
    getattr(tensor, field).extend(numbers)
    nodes = [node("Constant", "", "k", value=tensor), node("Add", "x k", "y")]
    found, _ = layers(nodes, tmp_path, input_type=data_type)
    assert found == [dense(np.eye(3).tolist(), expected)]


def test_a_cast_constant_keeps_its_stored_value(tmp_path):
    stored = np.array([0.1, 1e38, -2], dtype=np.float64)
    nodes = [node("Cast", "k", "k32", to=TensorProto.FLOAT), node("Mul", "x k32", "y")]
    found, _ = layers(nodes, tmp_path, parameters={"k": stored})
    assert found == [dense(np.diag(stored).tolist(), [0, 0, 0])]


def test_constants_are_folded_among_themselves(tmp_path):
    nodes = [
        node("Mul", "W mask", "pruned"),
        node("Div", "pruned s1", "scaled"),
        node("Gemm", "x scaled", "y", transB=1),
    ]
    parameters = {"W": W, "mask": np.array([1, 0, 1], "f4"), "s1": np.array([3], "f4")}
    found, _ = layers(nodes, tmp_path, parameters=parameters)
    assert found == [dense([[F(1, 3), 0, 1], [0, 0, F(1, 6)]], [0, 0])]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
def test_a_scikit_learn_scaler_joins_the_first_layer(kind, tmp_path):
    scaler = node("Scaler", "x", "a", domain=ML, offset=[1.0, 2.0, 3.0], scale=[2.0, 2.0, 2.0])
    found, _ = layers([scaler, node("MatMul", "a WT", "y")], tmp_path, input_type=kind)
    assert found == [dense((2 * W).tolist(), [-2 * 14, 4 - 3])]


def test_a_scaler_of_one_number_is_for_all_features(tmp_path):
    scaler = node("Scaler", "x", "y", domain=ML, offset=[1.0], scale=[0.5])
    found, _ = layers([scaler], tmp_path, shape=(1, 3, 1))
    assert found == [dense((np.eye(3) / 2).tolist(), [F(-1, 2)] * 3)]


def test_an_integer_input_that_is_cast_counts_as_real(tmp_path):
    nodes = [node("Cast", "x", "a", to=TensorProto.FLOAT), node("MatMul", "a WT", "y")]
    found, _ = layers(nodes, tmp_path, input_type=TensorProto.INT64)
    assert found == [dense(W.tolist(), [0, 0])]


@pytest.mark.parametrize("opset", [8, 11, 12, 13, 22])
def test_dropout_passes_its_input_on(opset, tmp_path):
    nodes = [node("MatMul", "x WT", "d"), node("Dropout", "d", "e"), node("Relu", "e", "y")]
    assert layers(nodes, tmp_path, opset=opset)[0] == [dense(W.tolist(), [0, 0]), RELU]


def test_dropout_in_inference_mode_is_accepted(tmp_path):
    parameters = {**CONSTANTS, "ratio": np.array(0.5, "f4"), "mode": np.array(False)}
    nodes = [node("Dropout", "x ratio mode", "e mask"), node("MatMul", "e WT", "y")]
    assert layers(nodes, tmp_path, parameters=parameters)[0] == [dense(W.tolist(), [0, 0])]


def test_nodes_that_no_output_needs_are_ignored(tmp_path):
    nodes = [
        node("Erf", "x", "unused"),
        node("Add", "unused nan", "unused2"),
        node("MatMul", "x WT", "y"),
    ]
    parameters = {**CONSTANTS, "nan": np.array([np.nan], "f4")}
    assert layers(nodes, tmp_path, parameters=parameters)[0] == [dense(W.tolist(), [0, 0])]


def test_nodes_may_stand_in_any_order(tmp_path):
    nodes = [node("Relu", "d", "y"), node("MatMul", "x WT", "d")]
    found, _ = layers(nodes, tmp_path, outputs=("y",))
    assert found == [dense(W.tolist(), [0, 0]), RELU]


def test_values_before_a_tail_may_be_an_output_too(tmp_path):
    nodes = [node("MatMul", "x WT", "d"), node("Softmax", "d", "p")]
    found, _ = layers(nodes, tmp_path, outputs=("d", "p"))
    assert found == [dense(W.tolist(), [0, 0])]


def test_a_tensor_attribute_may_be_nameless(tmp_path):
    value = numpy_helper.from_array(W.T.copy())
    nodes = [node("Constant", "", "k", value=value), node("MatMul", "x k", "y")]
    assert layers(nodes, tmp_path)[0] == [dense(W.tolist(), [0, 0])]
