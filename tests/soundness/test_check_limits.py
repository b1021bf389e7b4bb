"""What a certificate may ask of a check: no grid, cone or leaf that only costs time and memory."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, Derived, QuantizeRequest, exact
from qdeploy.proof import kernel, tree
from qdeploy.proof.budget import Budget
from qdeploy.proof.certificate import ConePart, Part, SplitPart
from qdeploy.proof.pair import MismatchError, Pairs, align
from qdeploy.proof.rounded import sum_of_squares
from support.networks import paper_network

UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))
SPEND = CertifyRequest(work=0.0, attack_budget=100)


@pytest.fixture(scope="module")
def certified():
    network = paper_network(1, 2)
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=8, work=0.0))
    return network, certifier.run(network, program, (UNIT_BOX,), SPEND)


def with_part(certificate, part):
    (claim,) = certificate.regions
    return replace(certificate, regions=(replace(claim, parts=(*claim.parts, part)),))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (SplitPart(1024, kernel.ONE_LEAF), "a grid of 2\\^-1024 is finer than 2\\^-128"),
        (ConePart(True, (), None), "a cone without duals proves nothing"),
    ],
)
def test_what_only_costs_is_refused(certified, data, says):
    network, certificate = certified
    method = "split" if isinstance(data, SplitPart) else "sdp"
    changed = with_part(certificate, Part(method, (Decimal(0),), Decimal(0), data))
    with pytest.raises(RefusedError, match=says):
        proof.check(network, changed)


def test_every_grid_is_paid_for_before_it_is_made(certified):
    network, certificate = certified
    budget = Budget()
    pairs = Pairs(network, certificate.program, budget)
    spent = []
    for grid in (None, 30, 31, 30, None):
        pairs.on(grid)
        spent.append(budget.spent)
    assert spent[0] < spent[1] < spent[2] == spent[3] == spent[4]
    with pytest.raises(RefusedError, match="grid 2\\^-32"):
        Pairs(network, certificate.program, Budget(1)).on(32)


def test_a_grid_that_is_named_is_no_finer_than_searches_use(certified):
    network, certificate = certified
    assert align(network, certificate.program, 128).grid == 128
    with pytest.raises(MismatchError, match="finer"):
        align(network, certificate.program, 129)


def test_only_the_latest_values_of_an_array_are_kept():
    kept: Derived[int] = Derived(most=2)
    array = exact([Fraction(1, 3)])
    made = []

    def value(key: int) -> int:
        return kept.get(array, key, lambda: made.append(key) or key)

    assert [value(key) for key in (1, 2, 1, 3, 1, 3)] == [1, 2, 1, 3, 1, 3]
    assert made == [1, 2, 3, 1]


def test_exact_leaves_of_many_codes_are_run_few_at_a_time(certified, monkeypatch):
    """However they are cut, the worst code of each leaf decides, wherever it stands."""
    network, certificate = certified
    pair = align(network, certificate.program, 30)
    edges = np.linspace(-1, 1, 9)
    lo, hi = (np.array([[int(v * 2**30)] for v in side]) for side in (edges[:-1], edges[1:]))
    leaves = tree.Leaves(tree.Interval(lo, hi), np.ones(8, dtype=bool))
    whole = tree.leaf_bounds(pair, certificate.program, leaves)
    monkeypatch.setattr(tree, "_batch", lambda pair: 3)
    monkeypatch.setattr(tree, "LARGEST_CELL_CORNERS", 40)
    assert (tree.leaf_bounds(pair, certificate.program, leaves) == whole).all()
    monkeypatch.setattr(tree, "LARGEST_CELL_CORNERS", 3)
    with pytest.raises(tree.TreeError, match="is too large"):
        tree.leaf_bounds(pair, certificate.program, leaves)


def test_a_search_runs_no_more_codes_than_a_check_would(certified, monkeypatch):
    """Boxes of few codes, but of many inputs, are bounded by lines."""
    network, certificate = certified
    program = certificate.program
    tiny = Box((Fraction(1, 8),), (Fraction(1, 8) + program.input.format.step * 8,))
    spend = CertifyRequest(work=0.05, attack_budget=100, methods=frozenset({"split"}))
    monkeypatch.setattr(tree, "LARGEST_CELL_CORNERS", 3)
    found = certifier.run(network, program, (tiny,), spend)
    assert proof.check(network, found)


def test_squares_are_summed_without_rounding():
    rng = np.random.default_rng(0)
    for _ in range(50):
        digits = rng.integers(1, 10**12, size=7)
        values = [
            Decimal(int(d)).scaleb(int(e))
            for d, e in zip(digits, rng.integers(-300, 300, 7), strict=True)
        ]
        assert sum_of_squares(values) == sum(Fraction(v) ** 2 for v in values)
