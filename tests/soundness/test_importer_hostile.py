"""A hostile or damaged model file is refused in one error: no traceback, no long run, no leak."""

import contextlib
import hashlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import StringStringEntryProto, TensorProto, helper
from qdeploy import importer
from qdeploy.diagnostics import InputError
from qdeploy.importer import modelfile, tracing
from qdeploy.importer.modelfile import MAX_FILE_BYTES, MAX_NODES
from support.exporters import EXPORTERS, perceptron
from support.onnx_models import Graph, node

W = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


def refuse(model, folder, match):
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(InputError, match=match) as caught:
        importer.run(path)
    assert caught.value.where is not None
    assert caught.value.fix


@pytest.mark.parametrize(
    "content",
    [b"", b"not a model at all", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(range(256)), b"\x08\x07"],
)
def test_other_files_are_no_models(content, tmp_path):
    refuse(content, tmp_path, "this is no ONNX model")


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        importer.run(tmp_path / "absent.onnx")
    with pytest.raises(InputError, match="it is a folder, no file"):
        importer.run(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(InputError, match="it is a pipe, no file"):
        importer.run(tmp_path / "pipe.onnx")


def test_a_file_beyond_the_limit_is_not_parsed(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match=f"the model is larger than {MAX_FILE_BYTES} bytes"):
        importer.run(path)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damaged_bytes_never_end_in_a_traceback(data, tmp_path):
    name = data.draw(st.sampled_from(sorted(EXPORTERS)))
    content = bytearray(EXPORTERS[name](perceptron()).proto().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    kept = data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 1]))
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(content[:kept]))
    with contextlib.suppress(InputError):
        assert importer.run(path).nodes


def test_names_that_are_no_text_are_refused(tmp_path):
    content = Graph([node("Relu", "x", "y", "QQQQ")]).proto().SerializeToString()
    refuse(content.replace(b"QQQQ", b"\xff\xfe\xff\xfe"), tmp_path, "this is no ONNX model")


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path):
    path = Graph([node("Evil", "x", "y", "a\x1b[2J\nb")]).save(tmp_path)
    with pytest.raises(InputError) as caught:
        importer.run(path)
    assert str(caught.value.where) == "model.onnx: node 'a?[2J?b' (Evil)"


EVIL = "a\x1b[2J\u202e\nb"
SPOKEN = {
    "a tensor of another type": Graph(
        [helper.make_node("Add", ["x", EVIL], ["y"])], parameters={EVIL: np.ones(3)}
    ),
    "an attribute": Graph([helper.make_node("Relu", ["x"], ["y"], **{EVIL: 1})]),
    "an operator": Graph([helper.make_node(EVIL, ["x"], ["y"])]),
    "a domain": Graph([helper.make_node("Relu", ["x"], ["y"], domain=EVIL)]),
    "a parameter": Graph(
        [helper.make_node("Add", ["x", EVIL], ["y"])], parameters={EVIL: np.full(3, np.nan, "f4")}
    ),
    "a constant": Graph(
        [
            helper.make_node("Constant", [], [EVIL], value_floats=[float("inf")]),
            helper.make_node("Add", ["x", EVIL], ["y"]),
        ]
    ),
    "a declaration": Graph(
        [node("Relu", "x", "y")],
        declared=[helper.make_tensor_value_info("y", TensorProto.FLOAT, [EVIL, 9])],
    ),
    "an output": Graph([helper.make_node("Relu", ["k"], [EVIL])], outputs=(EVIL,)),
    "an open axis": Graph([node("Relu", "x", "y")], shape=(1, EVIL)),
    "a missing tensor": Graph([helper.make_node("Add", ["x", EVIL], ["y"])]),
    "a tail": Graph(
        [
            helper.make_node("Softmax", ["x"], [EVIL], EVIL),
            helper.make_node("Mul", [EVIL, EVIL], ["y"], EVIL),
        ]
    ),
}


@pytest.mark.parametrize("case", SPOKEN)
def test_no_message_brings_control_characters_of_a_file(case, tmp_path):
    path = SPOKEN[case].save(tmp_path, "m\x1b[2J.onnx")
    with pytest.raises(InputError) as caught:
        importer.run(path)
    assert str(caught.value).replace("\n", "").isprintable()
    assert len(str(caught.value).splitlines()) == 3


def test_nothing_a_network_says_of_its_model_has_control_characters(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "k"], ["d"], EVIL),
        helper.make_node("Mul", ["d", "two"], [EVIL], EVIL),
        helper.make_node("Softmax", [EVIL], ["s"], EVIL),
    ]
    parameters = {"k": W, "two": np.array(2, "f4")}
    model = Graph(nodes, outputs=("s",), parameters=parameters).proto()
    model.producer_name = EVIL
    path = tmp_path / "m\x1b[2J.onnx"
    path.write_bytes(model.SerializeToString())
    network = importer.run(path)
    said = [*network.cut, *network.notes, network.told_cut, network.name, network.source.producer]
    said += [t.source for t in network.tensors] + [n.source for n in network.nodes]
    said.append(network.source.name)
    assert all(words.isprintable() for words in said)


@pytest.mark.parametrize(
    ("dims", "match"),
    [
        ([1 << 40, 1 << 40], "axes and [0-9]+ elements"),
        ([-1, 3], "axes and -3 elements"),
        ([3, 3], "holds 24 bytes, its shape asks for 36"),
        ([1] * 2000, "has 2000 axes and too many elements"),
        ([0, 2], "holds 24 bytes, its shape asks for 0"),
    ],
)
def test_tensors_whose_shape_lies_are_refused(dims, match, tmp_path):
    model = Graph([node("MatMul", "x k", "y")], parameters={"k": W}).proto()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    refuse(model, tmp_path, match)


@pytest.mark.parametrize("data_type", [TensorProto.COMPLEX64, TensorProto.FLOAT8E4M3FN, 77])
def test_element_types_that_are_no_reals_are_refused(data_type, tmp_path):
    model = Graph([node("MatMul", "x k", "y")], parameters={"k": W}).proto()
    model.graph.initializer[0].data_type = data_type
    refuse(model, tmp_path, "tensor 'k' has elements of type")


def test_numbers_outside_their_type_are_refused(tmp_path):
    tensor = TensorProto(dims=[1], data_type=TensorProto.INT8, int32_data=[300], name="k")
    model = Graph([node("Reshape", "x k", "y")]).proto()
    model.graph.initializer.append(tensor)
    refuse(model, tmp_path, "tensor 'k' holds a number outside its type")


def test_too_many_nodes_are_refused(tmp_path):
    nodes = [node("Relu", f"t{i}", f"t{i + 1}") for i in range(MAX_NODES + 1)]
    refuse(Graph(nodes).proto(), tmp_path, f"the graph has {MAX_NODES + 1} nodes")


@pytest.mark.parametrize("field", [1, 5, 11, 13])
def test_a_file_of_many_tiny_parts_is_not_decoded(field, tmp_path, monkeypatch):
    """Two bytes each would become two hundred: nodes, initializers, inputs, value infos."""
    monkeypatch.setattr(modelfile, "MAX_PARTS", 1000)
    plain = Graph([node("Relu", "x", "y")]).proto().SerializeToString()
    tail = bytes([field << 3 | 2, 0]) * 1001
    content = plain + bytes([7 << 3 | 2]) + varint(len(tail)) + tail
    refuse(content, tmp_path, "the model has more than 1000 parts")


def test_a_long_chain_is_read_without_recursion(tmp_path):
    nodes = [node("Relu", "x" if i == 0 else f"t{i}", f"t{i + 1}") for i in range(5000)]
    network = importer.run(Graph(nodes, outputs=("t5000",)).save(tmp_path))
    assert len(network.nodes) == 5000


@pytest.mark.parametrize("on_signal", [False, True])
def test_constants_that_multiply_without_end_are_refused(on_signal, tmp_path):
    """Squaring doubles the digits at every node: a hundred nodes would fill any memory."""
    nodes = [
        node("Mul", f"{a} {a}", b) for a, b in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
    ]
    if on_signal:
        nodes = [node("Mul", f"t{i} a", f"t{i + 1}") for i in range(200)]
        nodes[0] = node("Mul", "x a", "t1")
    nodes.append(node("Mul", "x n" if not on_signal else "t200 a", "y"))
    parameters = {"a": np.array([1 / 3], dtype=np.float64)}
    graph = Graph(nodes, parameters=parameters, input_type=TensorProto.DOUBLE)
    refuse(graph.proto(), tmp_path, "a folded constant needs more than 4096 bits")


def test_folding_work_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "MAX_WORK", 1 << 16)
    big = np.ones((1 << 14,), dtype=np.float32)
    nodes = [node("Mul", f"a{i} big", f"a{i + 1}") for i in range(1, 300)]
    nodes = [node("Mul", "big big", "a1"), *nodes, node("MatMul", "x a300", "y")]
    refuse(
        Graph(nodes, parameters={"big": big}).proto(),
        tmp_path,
        "folding the constants takes more than 65536 operations",
    )


def test_constants_that_are_read_without_end_are_refused(tmp_path, monkeypatch):
    """Whether a cast loses a number is looked at: ten thousand casts would look for minutes."""
    monkeypatch.setattr(tracing, "MAX_LOOKED_AT", 1 << 20)
    big = np.ones((1 << 14,), dtype=np.float32)
    nodes = [node("Cast", f"a{i}", f"a{i + 1}", to=1) for i in range(100)]
    graph = Graph([*nodes, node("MatMul", "x a100", "y")], parameters={"a0": big})
    refuse(graph.proto(), tmp_path, "folding the constants takes more than")


def test_a_node_of_many_inputs_is_refused(tmp_path):
    graph = Graph([node("Max", " ".join(["x"] * 9), "y")])
    refuse(graph.proto(), tmp_path, "operator 'Max' has 9 inputs instead of 1 to 8")


def test_one_stored_matrix_cannot_stand_for_many_gigabytes(tmp_path):
    square = np.ones((1000, 1000), dtype=np.float32)
    nodes = [node("MatMul", "x" if i == 0 else f"t{i}", f"t{i + 1}") for i in range(50)]
    for one in nodes:
        one.input.append("k")
    graph = Graph(nodes, shape=(1, 1000), outputs=("t50",), parameters={"k": square})
    refuse(graph.proto(), tmp_path, "the network has 50000000 weights")


def test_a_diagonal_matrix_beyond_the_limit_is_refused(tmp_path):
    nodes = [node("Relu", "x", "r"), node("Mul", "r k", "y")]
    graph = Graph(nodes, shape=(1, 60_000), parameters={"k": np.array([2], "f4")})
    refuse(graph.proto(), tmp_path, "the network has 3600000000 weights")


def external(folder, location, **entries):
    """A model whose only parameter lies in another file."""
    model = Graph([node("MatMul", "x k", "y")], parameters={"k": W}).proto()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.append(onnx_entry(key, str(value)))
    return model


def onnx_entry(key, value):
    return StringStringEntryProto(key=key, value=value)


def test_external_data_beside_the_model_is_read_and_hashed(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"head" + W.tobytes() + b"tail")
    model = external(tmp_path, "weights.bin", offset=4, length=W.nbytes)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    network = importer.run(path)
    assert network.nodes[0].parameters["weight"].tolist() == W.T.tolist()
    whole = path.read_bytes() + W.tobytes()
    assert network.source.sha256 == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hostname", "sub/../../secret", "link", "..", "./../secret"]
)
def test_external_data_outside_the_models_folder_is_not_read(location, tmp_path):
    (tmp_path / "secret").write_bytes(W.tobytes())
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "secret")
    refuse(external(folder, location), folder, "outside the model's folder")


@pytest.mark.parametrize(
    ("location", "entries", "match"),
    [
        ("absent.bin", {}, "the data file 'absent.bin' of tensor 'k' is missing"),
        ("", {}, "it names no file"),
        ("a\0b", {}, "it names no file"),
        ("pipe", {}, "the data file 'pipe' of tensor 'k' is missing"),
        ("short.bin", {}, "short.bin ends before its last byte"),
        ("whole.bin", {"offset": 10_000}, "whole.bin ends before its last byte"),
        ("whole.bin", {"offset": "-4"}, "its offset is '-4'"),
        ("whole.bin", {"offset": "9" * 40}, "its offset is '9999"),
        ("whole.bin", {"offset": "9" * 19}, "its offset is '9999"),
        ("n" * 300, {}, "is missing"),
        ("deep/" * 1500, {}, "is missing"),
        ("whole.bin", {"length": 8}, "its length is 8, its shape asks for 24"),
    ],
)
def test_damaged_external_data_is_refused(location, entries, match, tmp_path):
    (tmp_path / "whole.bin").write_bytes(W.tobytes())
    (tmp_path / "short.bin").write_bytes(W.tobytes()[:-1])
    os.mkfifo(tmp_path / "pipe")
    refuse(external(tmp_path, location, **entries), tmp_path, match)


def test_external_data_is_limited_before_it_is_read(tmp_path):
    (tmp_path / "whole.bin").write_bytes(W.tobytes())
    model = external(tmp_path, "whole.bin")
    first = model.graph.initializer[0]
    del first.dims[:]
    first.dims.extend([1 << 21])
    first.data_type = TensorProto.DOUBLE
    for i in range(5):
        model.graph.initializer.append(first)
        model.graph.initializer[-1].name = f"k{i}"
    with (tmp_path / "whole.bin").open("ab") as stream:
        stream.truncate(1 << 24)
    refuse(model, tmp_path, "the external tensors need more than")


def test_an_external_constant_node_is_refused(tmp_path):
    tensor = external(tmp_path, "whole.bin").graph.initializer[0]
    nodes = [node("Constant", "", "k", value=tensor), node("MatMul", "x k", "y")]
    refuse(Graph(nodes).proto(), tmp_path, "tensor 'k' lies in another file")


def nested(content, levels):
    """Wrap an encoded graph in `levels` of If nodes."""
    for _ in range(levels):
        for field in (6, 5, 1):
            content = bytes([field << 3 | 2]) + varint(len(content)) + content
    return content


def varint(value):
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def test_deeply_nested_files_are_refused(tmp_path):
    plain = Graph([node("Relu", "x", "y")]).proto().SerializeToString()
    graph = nested(b"", 2000)
    refuse(plain + bytes([7 << 3 | 2]) + varint(len(graph)) + graph, tmp_path, "no ONNX model")
