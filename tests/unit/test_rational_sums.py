"""Exact sums stay small in memory when every weight has its own denominator."""

import tracemalloc
from fractions import Fraction

import numpy as np
from qdeploy.ir import exact
from qdeploy.ops._sums import rational_sums


def test_many_different_denominators_need_no_common_one() -> None:
    primes = [n for n in range(3, 80_000) if all(n % d for d in range(2, int(n**0.5) + 1))]
    size = 60
    weight = exact([[Fraction(1, primes[i * size + j]) for j in range(size)] for i in range(size)])
    bias = exact([Fraction(0)] * size)
    x = exact([[Fraction(j) for j in range(size)]])
    tracemalloc.start()
    found = rational_sums(x, weight, bias)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0, 7] == sum(Fraction(j, primes[7 * size + j]) for j in range(size))
    assert peak < 20_000_000


def test_dyadic_weights_are_summed_exactly() -> None:
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(4, 6)), rng.normal(size=(3, 6))
    found = rational_sums(exact(x), exact(weight), exact(np.zeros(4)))
    true = [
        [sum(Fraction(a) * Fraction(b) for a, b in zip(r, w, strict=True)) for w in weight]
        for r in x
    ]
    assert found.tolist() == true
