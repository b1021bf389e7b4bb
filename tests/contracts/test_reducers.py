"""Every reducer removes what it says, and the rows that are left are what it says they were."""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy.ir import Box
from qdeploy.reduce import Reducer, Reduction, known_reducers
from support.networks import random_network

REDUCERS = sorted(known_reducers())
SEEDS = [s for s in range(24) if any(n.op == "dense" for n in random_network(s).nodes)]


def unit_boxes(network):
    size = network.inputs[0].size
    return (
        Box((Fraction(-1),) * size, (Fraction(1),) * size),
        Box((Fraction(1, 2),) * size, (Fraction(1, 2),) * size),
    )


def dense(network):
    return [node for node in network.nodes if node.op == "dense"]


@pytest.fixture(params=SEEDS)
def network(request):
    return random_network(request.param, activated=request.param % 2 == 1)


@pytest.mark.parametrize("name", REDUCERS)
def test_a_reducer_satisfies_the_protocol(name):
    assert isinstance(known_reducers()[name], Reducer)
    assert known_reducers()[name].things


@pytest.mark.parametrize("name", REDUCERS)
def test_nothing_less_is_the_same_network(name, network):
    reducer = known_reducers()[name]
    same = reducer.reduce(network, 0, unit_boxes(network))
    assert same.kept == tuple(
        tuple(range(len(node.parameters["bias"]))) for node in dense(network)[:-1]
    )
    assert same.network.tensors == network.tensors
    for before, after in zip(network.nodes, same.network.nodes, strict=True):
        assert (before.name, before.op, before.inputs) == (after.name, after.op, after.inputs)
        for key, array in before.parameters.items():
            assert np.array_equal(array, after.parameters[key])


@pytest.mark.parametrize("name", REDUCERS)
@pytest.mark.parametrize("part", [Fraction(1, 3), Fraction(1)])
def test_what_is_left_was_there(name, part, network):
    reducer = known_reducers()[name]
    assert 0 <= reducer.most(network) <= reducer.total(network)
    reduction = reducer.reduce(network, int(part * reducer.most(network)), unit_boxes(network))
    assert isinstance(reduction, Reduction)
    assert (reduction.network.inputs, reduction.network.source) == (network.inputs, network.source)
    assert reduction.network.outputs == network.outputs
    layers = dense(reduction.network)
    ends = [range(network.inputs[0].size), *reduction.kept, range(network.outputs[0].size)]
    for index, (before, after) in enumerate(zip(dense(network), layers, strict=True)):
        columns, rows = list(ends[index]), list(ends[index + 1])
        assert rows == sorted(set(rows))
        assert rows
        was, is_ = before.parameters["weight"][np.ix_(rows, columns)], after.parameters["weight"]
        assert was.shape == is_.shape == (len(after.parameters["bias"]), len(columns))
        assert ((is_ == was) | (is_ == 0)).all()


@pytest.mark.parametrize("name", REDUCERS)
def test_equal_requests_give_equal_networks(name, network):
    reducer, regions = known_reducers()[name], unit_boxes(network)
    count = reducer.most(network) // 2
    first, second = (reducer.reduce(network, count, regions) for _ in range(2))
    assert first.kept == second.kept
    for a, b in zip(first.network.nodes, second.network.nodes, strict=True):
        assert all(np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters)
