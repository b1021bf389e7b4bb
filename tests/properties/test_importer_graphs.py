"""Whatever accepted graph is read, the network computes the very same real numbers."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdeploy import importer, ops
from qdeploy.importer import schemas, tracing
from qdeploy.importer.operators import translations
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


def with_attribute(translation, **changed):
    """Return a translation that reads a default, or an attribute, wrongly."""
    return lambda op: translation(replace(op, attributes={**changed, **op.attributes}))


def without(translation, name):
    """Return a translation that overlooks an attribute."""
    kept = {name}
    return lambda op: translation(
        replace(op, attributes={k: v for k, v in op.attributes.items() if k not in kept})
    )


RIGHT = translations()
WRONG = {
    "a slope of 0.02 by default": {"LeakyRelu": with_attribute(RIGHT["LeakyRelu"], alpha=0.02)},
    "a HardSigmoid of slope 1/6": {
        "HardSigmoid": with_attribute(RIGHT["HardSigmoid"], alpha=1 / 6)
    },
    "an Elu of alpha 0.5": {"Elu": with_attribute(RIGHT["Elu"], alpha=0.5)},
    "a Gemm without its beta": {"Gemm": without(RIGHT["Gemm"], "beta")},
    "a Clip without its minimum": {"Clip": without(RIGHT["Clip"], "min")},
    "operands exchanged": {"Sub": lambda op: RIGHT["Sub"](replace(op, operands=op.operands[::-1]))},
    "a Tanh that is a Sigmoid": {"Tanh": RIGHT["Sigmoid"]},
    "a Min that is a Max": {"Min": RIGHT["Max"]},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_reading_is_noticed(name, monkeypatch):
    monkeypatch.setattr(tracing, "translations", lambda: {**RIGHT, **WRONG[name]})
    assert noticed(faults=0.0)


def test_types_that_nobody_compares_are_noticed(monkeypatch):
    def unequal(op, formal, operand, bound):
        bound.setdefault(formal.parameter, operand)

    monkeypatch.setattr(schemas, "_check_operand", unequal)
    assert "onnxruntime refuses" in noticed(faults=1.0)


def noticed(faults):
    """Return the first difference in a thousand graphs."""
    found = (judge_many(SEED, range(k, k + 50), faults).differences for k in range(0, 1000, 50))
    return next(filter(None, found), [""])[0]
