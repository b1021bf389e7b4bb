"""Types and shapes are held to the standard's own tables, and to what the model says of itself."""

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from qdeploy import importer
from qdeploy.diagnostics import InputError
from support.exporters import EXPORTERS, perceptron
from support.onnx_models import Graph, node

FLOAT, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16
BFLOAT, INT64, BOOL = TensorProto.BFLOAT16, TensorProto.INT64, TensorProto.BOOL
W = np.array([[1, 2], [0.5, -1], [3, 0]])
PARAMETERS = {
    "W": W.astype("f4"),
    "W64": W,
    "W16": W.astype("f2"),
    "Wb": W.astype(ml_dtypes.bfloat16),
    "Wi": W.astype("i8"),
    "Wt": W.astype("?"),
    "b": np.ones(2, "f4"),
    "b64": np.ones(2),
    "zero": np.array(0.0, "f4"),
    "one64": np.array(1.0),
    "slope64": np.ones(3),
    "row64": np.ones(3),
    "size64": np.array([3, 1], "f4"),
    "none": np.array([0], "i4"),
}
MIXED = {
    "gemm of float and bfloat16": (
        13,
        [node("Gemm", "x Wb", "y")],
        "operator 'Gemm' takes 'x' of type FLOAT together with 'Wb' of type BFLOAT16",
    ),
    "gemm with a bias in double": (
        13,
        [node("Gemm", "x W b64", "y")],
        "operator 'Gemm' takes 'x' of type FLOAT together with 'b64' of type DOUBLE",
    ),
    "matmul with a half": (
        13,
        [node("MatMul", "x W16", "y")],
        "operator 'MatMul' takes 'x' of type FLOAT together with 'W16' of type FLOAT16",
    ),
    "matmul with integers": (
        13,
        [node("MatMul", "x Wi", "y")],
        "operator 'MatMul' takes 'x' of type FLOAT together with 'Wi' of type INT64",
    ),
    "matmul with truth values": (
        13,
        [node("MatMul", "x Wt", "y")],
        "operator 'MatMul' takes no BOOL in opset 13, and 'Wt' is of that type",
    ),
    "add of float and double": (
        13,
        [node("Add", "x row64", "y")],
        "operator 'Add' takes 'x' of type FLOAT together with 'row64' of type DOUBLE",
    ),
    "add behind a cast": (
        13,
        [node("Cast", "x", "d", to=DOUBLE), node("MatMul", "d W", "y")],
        "operator 'MatMul' takes 'd' of type DOUBLE together with 'W' of type FLOAT",
    ),
    "add of two constants": (
        13,
        [node("Add", "b b64", "c"), node("MatMul", "x W", "d"), node("Add", "d c", "y")],
        "operator 'Add' takes 'b' of type FLOAT together with 'b64' of type DOUBLE",
    ),
    "clip by another type": (
        13,
        [node("Clip", "x zero one64", "y")],
        "operator 'Clip' takes 'x' of type FLOAT together with 'one64' of type DOUBLE",
    ),
    "maximum with another type": (
        13,
        [node("Max", "x zero one64", "y")],
        "operator 'Max' takes 'x' of type FLOAT together with 'one64' of type DOUBLE",
    ),
    "a slope of another type": (
        16,
        [node("PRelu", "x slope64", "y")],
        "operator 'PRelu' takes 'x' of type FLOAT together with 'slope64' of type DOUBLE",
    ),
    "a shape of reals": (
        13,
        [node("Reshape", "x size64", "y")],
        "operator 'Reshape' takes no FLOAT in opset 13, and 'size64' is of that type",
    ),
    "axes of 32 bits": (
        13,
        [node("Unsqueeze", "x none", "y")],
        "operator 'Unsqueeze' takes no INT32 in opset 13, and 'none' is of that type",
    ),
    "a table of doubles": (
        13,
        [
            node("Cast", "x", "d", to=DOUBLE),
            node("Softmax", "d", "s"),
            node("ZipMap", "s", "y", domain="ai.onnx.ml", classlabels_int64s=[1, 2, 3]),
        ],
        "operator 'ZipMap' takes no DOUBLE in opset 1, and 's' is of that type",
    ),
}


def load(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("case", MIXED)
def test_operands_that_the_standard_does_not_allow_together_are_named(case, tmp_path):
    opset, nodes, said = MIXED[case]
    used = {name for n in nodes for name in n.input}
    parameters = {name: array for name, array in PARAMETERS.items() if name in used}
    graph = Graph(nodes, parameters=parameters, opset=opset)
    with pytest.raises(InputError) as caught:
        importer.run(graph.save(tmp_path))
    assert caught.value.what == said
    assert caught.value.fix
    with pytest.raises(Exception, match=r"[Tt]ype"):
        load(graph.proto())


@pytest.mark.parametrize(
    ("opset", "op", "kind"),
    [(12, "Relu", BFLOAT), (21, "Elu", BFLOAT), (13, "Relu", INT64), (8, "Max", INT64)],
)
def test_a_type_is_refused_in_opsets_that_do_not_have_it_yet(opset, op, kind, tmp_path):
    graph = Graph([node(op, "x", "y")], opset=opset, input_type=kind)
    with pytest.raises(InputError, match=f"operator '{op}' takes no .* in opset {opset}"):
        importer.run(graph.save(tmp_path))


@pytest.mark.parametrize("kind", [HALF, FLOAT, DOUBLE, BFLOAT])
def test_one_type_throughout_is_read(kind, tmp_path):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    parameters = {"W": W.astype(dtype), "b": np.ones(2).astype(dtype)}
    nodes = [node("Gemm", "x W b", "g"), node("Elu", "g", "y")]
    graph = Graph(nodes, parameters=parameters, opset=22, input_type=kind)
    assert [n.op for n in importer.run(graph.save(tmp_path)).nodes] == ["dense", "elu"]


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


LAYERS = Graph(
    [node("Gemm", "x W b", "h", "gemm"), node("Relu", "h", "y", "relu")],
    shape=("N", 3),
    parameters={"W": W.astype("f4"), "b": np.ones(2, "f4")},
)
CONTRADICTED = {
    "an output's width": (value("y", FLOAT, [1, 7]), "'y' is declared as FLOAT [1, 7]", "[1, 2]"),
    "an output's batch": (value("y", FLOAT, [4, 2]), "'y' is declared as FLOAT [4, 2]", "[1, 2]"),
    "an output's rank": (value("y", FLOAT, [2]), "'y' is declared as FLOAT [2]", "[1, 2]"),
    "an output without axes": (value("y", FLOAT, []), "'y' is declared as FLOAT []", "[1, 2]"),
    "an output's type": (value("y", DOUBLE, [1, 2]), "'y' is declared as DOUBLE [1, 2]", "FLOAT"),
    "an output's type alone": (value("y", INT64, None), "'y' is declared as INT64", "FLOAT"),
    "a tensor's width": (value("h", FLOAT, ["N", 3]), "'h' is declared as FLOAT [N, 3]", "[1, 2]"),
    "a tensor's type": (value("h", HALF, None), "'h' is declared as FLOAT16", "FLOAT [1, 2]"),
    "a parameter's shape": (value("W", FLOAT, [2, 3]), "'W' is declared as FLOAT [2, 3]", "[3, 2]"),
    "a parameter's type": (value("W", DOUBLE, [3, 2]), "'W' is declared as DOUBLE [3, 2]", "FLOAT"),
}


@pytest.mark.parametrize("case", CONTRADICTED)
def test_a_declaration_that_the_graph_contradicts_is_named_with_what_it_is(case, tmp_path):
    declared, said, computed = CONTRADICTED[case]
    with pytest.raises(InputError) as caught:
        importer.run(LAYERS.but(declared=[declared]).save(tmp_path))
    assert caught.value.what.startswith(f"{said}, and the model makes it")
    assert computed in caught.value.what.partition("makes it")[2]
    assert repr(declared.name) in str(caught.value.where)


@pytest.mark.parametrize(
    "declared",
    [
        value("y", FLOAT, ["N", 2]),
        value("y", FLOAT, [None, 2]),
        value("y", FLOAT, ["anything", "else"]),
        value("y", FLOAT, [1, 2]),
        value("y", FLOAT, [0, 2]),
        value("y", FLOAT, None),
        value("h", FLOAT, ["N", "width"]),
        value("W", FLOAT, [3, 2]),
        value("nowhere", DOUBLE, [9]),
    ],
)
def test_an_open_extent_contradicts_nothing(declared, tmp_path):
    assert importer.run(LAYERS.but(declared=[declared]).save(tmp_path)).nodes


def test_a_listed_parameter_of_another_shape_is_refused(tmp_path):
    model = LAYERS.but(listed=True, shape=(1, 3)).proto()
    next(v for v in model.graph.input if v.name == "W").CopyFrom(value("W", FLOAT, [5, 5]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"'W' is declared as FLOAT \[5, 5\], and the model"):
        importer.run(path)


TAIL = [node("MatMul", "x W", "d"), node("Softmax", "d", "s"), node("ArgMax", "s", "a", axis=1)]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (value("s", FLOAT, [1, 5]), r"FLOAT \[1, 5\], and the model makes it FLOAT \[1, 2\]"),
        (value("a", FLOAT, [1, 1]), r"FLOAT \[1, 1\], and the model makes it INT64 \[1, 1\]"),
        (value("a", INT64, [1]), r"INT64 \[1\], and the model makes it INT64 \[1, 1\]"),
        (value("a", INT64, [1, 1]), None),
    ],
)
def test_what_is_cut_is_held_to_its_declaration_as_well(declared, said, tmp_path):
    graph = Graph(TAIL, ("N", 3), ("a",), {"W": W.astype("f4")}, declared=[declared])
    path = graph.save(tmp_path)
    if said is None:
        assert importer.run(path).cut == ("Softmax 's'", "ArgMax 'a'")
        return
    with pytest.raises(InputError, match=said):
        importer.run(path)


def zipped(key, kind):
    """A declared sequence of tables, as scikit-learn's converter writes it."""
    number = helper.make_tensor_type_proto(kind, None)
    return helper.make_sequence_type_proto(helper.make_map_type_proto(key, number))


@pytest.mark.parametrize(
    ("declared", "accepted"),
    [
        (zipped(TensorProto.STRING, FLOAT), True),
        (zipped(INT64, FLOAT), False),
        (zipped(TensorProto.STRING, DOUBLE), False),
        (helper.make_tensor_type_proto(FLOAT, [1, 3]), False),
    ],
)
def test_a_table_of_scores_is_held_to_its_declaration(declared, accepted, tmp_path):
    said = [helper.make_value_info("output_probability", declared)]
    path = EXPORTERS["scikit_learn"](perceptron()).but(declared=said).save(tmp_path)
    if accepted:
        assert importer.run(path).cut
        return
    with pytest.raises(InputError, match="'output_probability' is declared as"):
        importer.run(path)


@pytest.mark.parametrize("version", [0, 2, 999])
def test_formats_out_of_range_are_refused(version, tmp_path):
    model = LAYERS.proto()
    model.ir_version = version
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=f"the file's format is version {version} of ONNX's"):
        importer.run(path)


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        ({"": 13}, "operator 'Scaler' does not exist in the opsets that the model imports"),
        ({"": 13, "ai.onnx.ml": 99}, "the model uses opset 99 of ai.onnx.ml"),
        ({"": 13, "ai.onnx.ml": 1}, None),
        ({"ai.onnx": 13, "ai.onnx.ml": 3}, None),
    ],
)
def test_the_opset_of_every_domain_counts(imports, said, tmp_path):
    scaler = node("Scaler", "x", "y", domain="ai.onnx.ml", offset=[1.0], scale=[2.0])
    model = Graph([scaler]).proto()
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, v) for d, v in imports.items())
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    if said is None:
        assert importer.run(path).nodes
        return
    with pytest.raises(InputError, match=said):
        importer.run(path)


def test_infinite_numbers_that_nothing_uses_are_no_matter(tmp_path):
    """A limit of a Clip may be infinite; a weight may not."""
    bad = numpy_helper.from_array(np.array([np.inf], "f4"))
    nodes = [node("Constant", "", "unused", value=bad), node("Relu", "x", "y")]
    assert importer.run(Graph(nodes).save(tmp_path)).nodes
