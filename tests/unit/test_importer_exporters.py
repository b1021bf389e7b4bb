"""The same network, however it was exported, is read as the same numbers."""

import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
from qdeploy import importer, ops
from qdeploy.ir import Network, exact
from support.exporters import EXPORTERS, perceptron
from support.models import shared_model
from support.onnx_models import exact_outputs, node

DENSE_MODELS = (
    "acasxu_2_1",
    "cartpole_tanh",
    "digits_mlp_dynamo",
    "digits_mlp_legacy",
    "hls4ml_jet_3layer",
    "mlperftiny_ad01",
    "single_pendulum",
)


def numbers(network: Network):
    """Everything of a network but the names a person gave."""
    nodes = [
        (n.name, n.op, n.inputs, n.output, {k: a.tolist() for k, a in n.parameters.items()})
        for n in network.nodes
    ]
    return nodes, [(t.id, t.shape) for t in network.tensors], network.inputs[0].id


def run_onnx(path, samples, tensor=None):
    """Run onnxruntime on flat samples, one at a time, up to `tensor`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    declared = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in declared.shape]
    rows = [x.astype(np.float32).reshape(shape) for x in samples]
    return np.array([session.run(None, {declared.name: x})[0].ravel() for x in rows])


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_exporter_gives_the_same_network(name, tmp_path):
    p = perceptron(n_out=1) if name == "scikit_learn_binary" else perceptron()
    plain = EXPORTERS["torch_legacy"](p)
    if name == "scikit_learn_binary":
        plain = plain.but(nodes=[*plain.nodes, node("Sigmoid", "y", "p")], outputs=("p",))
    expected = importer.run(plain.save(tmp_path))
    network = importer.run(EXPORTERS[name](p).save(tmp_path, "other.onnx"))
    assert numbers(network) == numbers(expected)


def test_the_parameters_are_those_that_were_stored(tmp_path):
    p = perceptron()
    first, _, last = importer.run(EXPORTERS["keras"](p).save(tmp_path)).nodes
    for layer, weight, bias in ((first, p.w1, p.b1), (last, p.w2, p.b2)):
        assert np.array_equal(layer.parameters["weight"], exact(weight))
        assert np.array_equal(layer.parameters["bias"], exact(bias))


@pytest.mark.parametrize("name", ["torch_legacy", "torch_dynamo", "matlab", "column", "vector"])
def test_onnxruntime_agrees(name, tmp_path):
    path = EXPORTERS[name](perceptron()).save(tmp_path)
    samples = np.random.default_rng(1).uniform(-2, 2, (20, 4))
    ours = ops.evaluate(importer.run(path), samples.astype(np.float32).astype(np.float64))
    assert np.allclose(ours, run_onnx(path, samples), rtol=0, atol=1e-5)


def test_a_cut_tail_is_said_aloud(tmp_path):
    network = importer.run(EXPORTERS["keras"](perceptron()).save(tmp_path))
    assert network.cut == ("Softmax 'y'",)
    assert network.told_cut == (
        "Softmax 'y': the outputs are the values of 'logits' before that, "
        "and what the model makes of them is not covered"
    )


def test_the_labels_and_probabilities_of_a_classifier_are_cut_together(tmp_path):
    network = importer.run(EXPORTERS["scikit_learn"](perceptron()).save(tmp_path))
    assert network.cut[:3] == ("Softmax 'Relu1'", "ArgMax 'ArgMax'", "ArrayFeatureExtractor 'Pick'")
    assert [t.source for t in network.outputs] == ["add_result1"]


def test_names_of_the_user_are_kept_beside_ours(tmp_path):
    network = importer.run(EXPORTERS["torch_legacy"](perceptron()).save(tmp_path, "a b.onnx"))
    assert network.name == "a_b"
    assert network.source.name == "a b.onnx"
    assert [n.source for n in network.nodes] == [
        "Gemm '/fc1/Gemm'",
        "Relu '/Relu'",
        "Gemm '/fc2/Gemm'",
    ]
    assert [t.source for t in network.tensors] == ["x", "h", "r", "y"]


def test_the_digest_is_that_of_the_file(tmp_path):
    path = EXPORTERS["torch_legacy"](perceptron()).save(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert importer.run(path).source.sha256 == digest


@pytest.mark.parametrize("name", DENSE_MODELS)
def test_development_networks_compute_what_onnxruntime_computes(name, tmp_path):
    path = shared_model(name)
    network = importer.run(path)
    samples = np.load(path.with_suffix(".samples.npz"), allow_pickle=False)["x"][:10]
    rows = samples.reshape(len(samples), -1)
    ours = ops.evaluate(network, rows.astype(np.float64))
    theirs = run_onnx(path, rows)
    if network.cut:
        powers = np.exp(ours - ours.max(axis=1, keepdims=True))
        ours = powers / powers.sum(axis=1, keepdims=True)
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["acasxu_2_1", "digits_mlp_dynamo", "single_pendulum"])
def test_development_networks_are_read_exactly(name):
    path = shared_model(name)
    x = np.load(path.with_suffix(".samples.npz"), allow_pickle=False)["x"][0].ravel()
    ours = ops.evaluate_exact(importer.run(path), exact(x[None]))
    assert np.array_equal(ours[0], exact_outputs(onnx.load(path), x))


def test_two_exports_of_the_digits_classifier_are_one_network():
    legacy, dynamo = (importer.run(shared_model(f"digits_mlp_{e}")) for e in ("legacy", "dynamo"))
    assert numbers(legacy) == numbers(dynamo)
