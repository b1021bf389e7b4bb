"""Which neurons and weights go, and what becomes of what they emitted."""

from fractions import Fraction

import numpy as np
import pytest
from qdeploy import ops, reduce
from qdeploy.diagnostics import InputError, UsageError
from qdeploy.ir import Box
from qdeploy.reduce import Amount, PruneRequest
from support.networks import Act, build_network, random_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))


def two_layers(entering, leaving, bias=None, activation="relu"):
    """One input, one hidden layer, one output."""
    bias = np.zeros(len(entering)) if bias is None else np.array(bias, dtype=float)
    layers = (np.array(entering, dtype=float)[:, None], bias), activation
    return build_network(1, [*layers, (np.array([leaving], dtype=float), np.zeros(1))])


def without(network, what, number, regions=(UNIT_BOX,)):
    share = isinstance(number, Fraction)
    return reduce.run(network, PruneRequest(what, Amount(Fraction(number), share), regions))


@pytest.mark.parametrize(
    ("entering", "leaving", "count", "kept"),
    [
        ([3, 1, 2], [1, 1, 1], 1, (0, 2)),
        ([3, 1, 2], [1, 9, 1], 1, (0, 1)),
        ([3, 1, 2], [1, 1, 1], 2, (0,)),
        ([2, 2, 2], [1, 1, 1], 1, (1, 2)),
        ([0, 1, 1], [5, 1, 1], 1, (1, 2)),
        ([-3, 1, -2], [-1, -1, 1], 1, (0, 2)),
    ],
)
def test_the_neurons_of_least_norm_go(entering, leaving, count, kept):
    assert without(two_layers(entering, leaving), "neurons", count).kept == (kept,)


def test_scaling_a_neuron_here_and_back_there_does_not_matter():
    plain = two_layers([3, 1, 2], [1, 1, 1])
    scaled = two_layers([3 / 8, 8, 2], [8, 1 / 8, 1])
    assert without(plain, "neurons", 1).kept == without(scaled, "neurons", 1).kept


def test_layers_are_compared_and_keep_a_neuron_each():
    weak = (np.full((3, 1), 0.01), np.zeros(3)), "relu"
    strong = (np.ones((3, 3)), np.zeros(3)), "relu"
    network = build_network(1, [*weak, *strong, (np.ones((1, 3)), np.zeros(1))])
    assert without(network, "neurons", 2).kept == ((2,), (0, 1, 2))
    assert without(network, "neurons", 4).kept == ((2,), (2,))
    with pytest.raises(UsageError, match="asks for 5 hidden neurons less") as told:
        without(network, "neurons", 5)
    assert "at most 4 can go" in told.value.fix


@pytest.mark.parametrize("activation", ["relu", "tanh", Act("clip", {"hi": 0.5})])
def test_a_neuron_that_never_moves_is_folded_away(activation):
    network = two_layers([0, 1], [2.5, 1], bias=[0.75, 0], activation=activation)
    smaller = without(network, "neurons", 1).network
    x = np.linspace(-1, 1, 21)[:, None]
    assert np.allclose(ops.evaluate(smaller, x), ops.evaluate(network, x), atol=1e-3)


def test_what_is_folded_is_the_middle_of_what_was_emitted():
    network = two_layers([1, 1, 5], [2, 1, 1], bias=[1, 3, 0])
    smaller = without(network, "neurons", 1).network
    # The second one emits 2 to 4.
    assert smaller.nodes[-1].parameters["bias"].tolist() == [3]
    elsewhere = (Box((Fraction(4),), (Fraction(4),)),)
    assert without(network, "neurons", 1, elsewhere).network.nodes[-1].parameters[
        "bias"
    ].tolist() == [7]


def test_slopes_go_with_their_neurons():
    network = two_layers(
        [3, 1, 2], [1, 1, 1], activation=Act("leaky_relu", {"slope": [0.1, 0.2, 0.3]})
    )
    smaller = without(network, "neurons", 1).network
    assert smaller.nodes[1].parameters["slope"].tolist() == [Fraction(0.1), Fraction(0.3)]


@pytest.mark.parametrize(
    ("amount", "left"),
    [
        (1, [3, 0, 2, -5]),
        (2, [3, 0, 0, -5]),
        (Fraction(3, 4), [0, 0, 0, -5]),
        (Fraction(1), [0, 0, 0, 0]),
        (Fraction(1, 5), [3, 1, 2, -5]),
    ],
)
def test_the_least_weights_become_zero(amount, left):
    network = two_layers([3, 1], [2, -5])
    nodes = without(network, "weights", amount).network.nodes
    weights = [n.parameters["weight"].ravel().tolist() for n in nodes if n.op == "dense"]
    assert weights[0] + weights[1] == left


def test_more_points_than_regions_and_more_regions_than_points_are_fine():
    network = random_network(3)
    size = network.inputs[0].size
    boxes = tuple(Box((Fraction(k, 64),) * size, (Fraction(k + 1, 64),) * size) for k in range(200))
    for regions in (boxes[:1], boxes):
        reduction = without(network, "neurons", 1, regions)
        assert (
            sum(map(len, reduction.kept)) == reduce.known_reducers()["neurons"].total(network) - 1
        )


def test_a_network_without_weights_cannot_be_pruned():
    with pytest.raises(InputError, match="without weights cannot be pruned"):
        without(build_network(2, ["relu"]), "weights", Fraction(1, 2))


def test_what_is_folded_leaves_biases_with_few_bits():
    network = random_network(9)
    size = network.inputs[0].size
    boxes = (Box((Fraction(-1),) * size, (Fraction(1),) * size),)
    smaller = without(network, "neurons", Fraction(1, 2), boxes).network
    for node in smaller.nodes:
        for array in node.parameters.values():
            assert max(v.denominator for v in array.ravel()).bit_length() < 200
