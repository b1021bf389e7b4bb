"""Whatever accepted graph is read, the network computes the very same real numbers."""

from fractions import Fraction

import numpy as np
import onnxruntime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdeploy import importer, ops
from support.onnx_graphs import dense_graphs, smooth
from support.onnx_models import exact_outputs

_INPUTS = st.lists(
    st.floats(-4, 4, allow_nan=False, width=32) | st.sampled_from([0.0, 1.0, -1.0]),
    min_size=4,
    max_size=4,
)
_SETTINGS = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@_SETTINGS
@given(graph=dense_graphs(), numbers=_INPUTS)
def test_reading_a_graph_changes_no_value(graph, numbers, tmp_path):
    model = graph.proto()
    network = importer.run(graph.save(tmp_path))
    x = np.array(numbers[: network.inputs[0].size])
    exact = np.array([[Fraction(v) for v in x]], dtype=object)
    assert np.array_equal(ops.evaluate_exact(network, exact)[0], exact_outputs(model, x))


@settings(_SETTINGS, max_examples=100)
@given(graph=dense_graphs())
def test_networks_are_chains_of_layers_with_plain_names(graph, tmp_path):
    network = importer.run(graph.save(tmp_path))
    found = {n.op for n in network.nodes}
    assert found <= {"dense", "relu", "clip", "leaky_relu"}
    counted = {op: [n.name for n in network.nodes if n.op == op] for op in found}
    for op, names in counted.items():
        assert names == [f"{op}_{i + 1}" for i in range(len(names))]
    ids = ["input", *(n.output for n in network.nodes)]
    assert [n.inputs for n in network.nodes] == [(i,) for i in ids[:-1]]


@settings(_SETTINGS, max_examples=60)
@given(graph=dense_graphs())
def test_reading_twice_gives_equal_networks(graph, tmp_path):
    path = graph.save(tmp_path)
    first, second = importer.run(path), importer.run(path)
    assert first.source == second.source
    assert first.notes == second.notes
    for one, other in zip(first.nodes, second.nodes, strict=True):
        assert {k: v.tolist() for k, v in one.parameters.items()} == {
            k: v.tolist() for k, v in other.parameters.items()
        }


@settings(_SETTINGS, max_examples=100)
@given(graph=dense_graphs(types=("f4",), more=(smooth, smooth)), numbers=_INPUTS)
def test_onnxruntime_computes_the_same_up_to_its_rounding(graph, numbers, tmp_path):
    path = graph.save(tmp_path)
    network = importer.run(path)
    x = np.array(numbers[: network.inputs[0].size], dtype=np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    shape = [d if isinstance(d, int) else 1 for d in graph.shape]
    (theirs,) = session.run(None, {"x": x.reshape(shape)})
    ours = ops.evaluate(network, x.astype(np.float64)[None])[0]
    assert np.allclose(ours, theirs.ravel(), rtol=1e-3, atol=1e-3 * (1 + np.abs(ours).max()))
