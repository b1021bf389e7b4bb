"""Whatever accepted graph is read, the network computes the very same real numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdeploy import importer, ops
from support.importer_fuzz import Tally, judge, judge_many
from support.onnx_graphs import ANYTHING, dense_graphs
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
@given(graph=dense_graphs(ANYTHING))
def test_onnxruntime_computes_the_same_up_to_its_rounding(graph, tmp_path):
    """A few of the graphs below, but of a kind that Hypothesis makes small where one is wrong."""
    assert not list(judge(graph.proto(), tmp_path / "model.onnx", Tally()))


CHUNK = 250
SEED = 8


@pytest.mark.parametrize("chunk", range(20))
def test_what_is_accepted_onnxruntime_runs_and_finds_the_same(chunk):
    """5000 graphs, three in ten with a fault that some tool might make.

    Most are accepted, and of those most are run; so agreement is no matter of refusing.
    """
    tally = judge_many(SEED, range(CHUNK * chunk, CHUNK * (chunk + 1)))
    assert tally.differences == []
    assert tally.models == CHUNK
    assert tally.accepted > 0.6 * CHUNK
    assert tally.compared > 0.5 * CHUNK
    assert tally.faulty > 0.2 * CHUNK


def test_without_a_fault_nearly_everything_is_accepted():
    """What is refused then is an end that must not be cut, or a graph without any layer."""
    tally = judge_many(SEED + 1, range(CHUNK), faults=0.0)
    assert tally.accepted > 0.9 * CHUNK
    expected = ("goes over", "joins several tensors", "the output is the input")
    assert [r for r in tally.reasons if not any(words in r for words in expected)] == []
