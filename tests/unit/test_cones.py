"""Cones in rounds: as tight as all products at once, and a bound wherever they stop."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest, cones, rounds, semidefinite
from qdeploy.certifier.solvers import Products, known_solvers, minimise
from qdeploy.certifier.tasks import Scene, perform
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import sides
from support.enumeration import worst_deviation
from support.networks import build_network, paper_network

UNIT = Box((Fraction(-1),), (Fraction(1),))
WORK = 1e6
"""The search comes to its own end."""


def paper_program(network: Network) -> FixedNetwork:
    fmt = QFormat(13, 3)
    request = QuantizeRequest(
        (UNIT,),
        weights=fmt,
        biases=fmt,
        input_format=fmt,
        activations=Activations.EXACT,
        rounding=Rounding.TRUNC,
        quantizer=Rounding.TRUNC,
    )
    return quantize.run(network, request)


@pytest.mark.parametrize(("hidden", "seed"), [(1, 0), (1, 3), (2, 4)])
def test_without_splitting_truncated_networks_are_bounded_within_a_twentieth(
    hidden: int, seed: int
) -> None:
    """Without the sides of a truncated input told apart these are 1.19, 1.20 and 1.08."""
    network = paper_network(seed, hidden)
    program = paper_program(network)
    spend = CertifyRequest(work=4.0, attack_budget=500, methods=frozenset({"sdp"}))
    (proven,) = proof.check(network, certifier.run(network, program, (UNIT,), spend))
    (worst,) = worst_deviation(network, program, UNIT)
    assert worst <= Fraction(proven.linf) <= worst * Fraction(21, 20)


def test_rounds_are_as_tight_as_all_products_of_both_networks_at_once() -> None:
    network = paper_network(3, 1)
    facts = Scene(network, paper_program(network)).analysis(UNIT).cone(slacks=False)
    everything, offered = semidefinite.offer(facts), rounds.menu(facts)
    assert everything is not None
    assert offered is not None
    at_once = semidefinite.prove_side(everything, known_solvers()["clarabel"], 0, 1)
    assert at_once is not None
    objective, _, _ = sides.side_objective(facts, 0, 1)
    heights, pairs = [], rounds.opening(offered)
    while pairs:
        played = rounds.play(offered, objective, pairs)
        assert played.dual is not None
        heights.append(sides.side_bound(facts, sides.SignedDual(0, 1, played.dual)))
        pairs = played.following
    assert heights[-1] < heights[0]
    assert heights[-1] <= sides.side_bound(facts, at_once) * Fraction(1001, 1000)


def test_every_iterate_is_feasible() -> None:
    """S is semidefinite and no multiplier of an inequality is negative."""
    rng = np.random.default_rng(0)
    # Where only the constant is not 0 every product is positive, but for an equation's.
    vectors = rng.normal(size=(9, 5))
    vectors[:, 0] = 2.0
    vectors[7:, 0] = 0.0
    vectors[0] = np.eye(5)[0]
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    left, right = np.triu_indices(9, 1)
    half = rng.normal(size=(5, 5))
    slack = np.where((rng.random(len(left)) < 0.2) & (left != 7), 0.1, 0.0)
    equal = left == 7
    posed = Products(half + half.T, vectors, left, right, slack, equal)
    found = minimise(posed)
    s = found.tau * np.eye(5) - posed.target
    s[0, 0] += found.t
    for i, j, m, extra in zip(left, right, found.multipliers, slack, strict=True):
        outer = np.outer(vectors[i], vectors[j])
        s -= m * 0.5 * (outer + outer.T)
        s[0, 0] -= m * extra
    assert np.linalg.eigvalsh(s)[0] > -1e-12
    assert (found.multipliers[~equal] >= 0).all()
    assert found.tau >= 0
    # The moments beside it show that hardly less is possible.
    assert found.t + 5 * found.tau == pytest.approx(np.vdot(posed.target, found.x), rel=1e-3)


def two_outputs() -> tuple[Network, Box]:
    rng = np.random.default_rng(5)
    steps: list[object] = []
    for n_in, n_out in ((2, 3), (3, 2)):
        weight, bias = rng.normal(size=(n_out, n_in)), rng.normal(size=n_out)
        steps += [(weight.astype(np.float32), bias.astype(np.float32)), "relu"]
    return build_network(2, steps[:-1]), Box((Fraction(-1),) * 2, (Fraction(1),) * 2)


def test_a_step_costs_what_its_tasks_do_and_the_larger_side_goes_on() -> None:
    """Every output gets both sides, then only rounds that can lower its bound, then the norm."""
    network, box = two_outputs()
    scene = Scene(network, quantize.run(network, QuantizeRequest((box,), bits=6)))
    chosen = cones.plan(scene.analysis(box))
    assert chosen is not None
    pursuit, sizes, bounds = cones.Cones(box, chosen), [], []
    while (price := pursuit.price()) is not None:
        tasks = pursuit.tasks()
        assert price == sum(task.price for task in tasks) > 0
        pursuit.take([perform(scene, task) for task in tasks])
        sizes.append(len(tasks))
        standing = pursuit.standing()
        assert standing is not None
        bounds.append(standing.bounds)
    assert sizes[0] == 2
    assert max(sizes) == 2
    assert sizes[-1] == 1
    assert all((now <= before).all() for before, now in itertools.pairwise(bounds))
    assert np.isfinite(bounds[-1]).all()
    assert standing.part().l2 is not None
