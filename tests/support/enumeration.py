"""The true worst deviation of small one-input networks, by exact enumeration.

f is piecewise linear and the program is constant on every preimage of an input code, so the
deviation attains its supremum where a piece or a preimage ends; both are found with Fractions.
"""

from fractions import Fraction

import numpy as np
from qdeploy import ops
from qdeploy.fixedpoint import QFormat, Rounding, round_fraction
from qdeploy.ir import Box, FixedNetwork, Network, exact


def breakpoints(network: Network, lo: Fraction, hi: Fraction) -> list[Fraction]:
    """Return lo, hi and every x between them where some ReLU of the network changes side."""
    points = {lo, hi}
    for depth, node in enumerate(network.nodes):
        if node.op == "relu":
            points |= _sign_changes(_prefix(network, depth), sorted(points))
    return sorted(points)


def _prefix(network: Network, count: int) -> Network:
    nodes = network.nodes[:count]
    known = {network.inputs[0].id, *(n.output for n in nodes)}
    tensors = tuple(t for t in network.tensors if t.id in known)
    end = network.tensor(nodes[-1].output) if nodes else network.inputs[0]
    return Network("prefix", network.inputs, (end,), nodes, tensors, network.source)


def _sign_changes(prefix: Network, points: list[Fraction]) -> set[Fraction]:
    values = ops.evaluate_exact(prefix, exact([[p] for p in points]))
    found = set()
    for column in values.T:
        for i in range(len(points) - 1):
            left, right = column[i], column[i + 1]
            if left * right < 0:
                found.add(points[i] + (points[i + 1] - points[i]) * left / (left - right))
    return found


def input_cells(
    fmt: QFormat, mode: Rounding, lo: Fraction, hi: Fraction
) -> list[tuple[int, Fraction, Fraction]]:
    """Return (code, lower end, upper end) of every closed preimage of a code within [lo, hi]."""
    first = _encode(lo, fmt, mode)
    last = _encode(hi, fmt, mode)
    cells = []
    for code in range(first, last + 1):
        low, high = _preimage(code, fmt, mode)
        cells.append((code, max(lo, low), min(hi, high)))
    return [cell for cell in cells if cell[1] <= cell[2]]


def _encode(value: Fraction, fmt: QFormat, mode: Rounding) -> int:
    return min(max(round_fraction(value / fmt.step, mode), fmt.raw_min), fmt.raw_max)


def _preimage(code: int, fmt: QFormat, mode: Rounding) -> tuple[Fraction, Fraction]:
    below, above = {
        Rounding.NEAREST: (Fraction(1, 2), Fraction(1, 2)),
        Rounding.FLOOR: (Fraction(0), Fraction(1)),
        Rounding.TRUNC: (Fraction(int(code <= 0)), Fraction(int(code >= 0))),
    }[mode]
    far = Fraction(1 << 200)
    low = -far if code == fmt.raw_min else (code - below) * fmt.step
    high = far if code == fmt.raw_max else (code + above) * fmt.step
    return low, high


def worst_deviation(network: Network, program: FixedNetwork, box: Box) -> list[Fraction]:
    """Return sup |f(x) - g(x)| over a one-input box, per output, exactly."""
    lo, hi = box.lo[0], box.hi[0]
    cells = input_cells(program.input.format, program.input.rounding, lo, hi)
    kinks = breakpoints(network, lo, hi)
    device = ops.execute(program, np.array([[c] for c, _, _ in cells], dtype=np.int64))
    step = program.output.format.step
    worst = [Fraction(0)] * device.shape[1]
    for row, (_, low, high) in zip(device, cells, strict=True):
        ends = [low, high, *(k for k in kinks if low < k < high)]
        values = ops.evaluate_exact(network, exact([[x] for x in ends]))
        for output, code in enumerate(row):
            found = max(abs(int(code) * step - v) for v in values[:, output])
            worst[output] = max(worst[output], found)
    return worst
