"""Every activation there is, with parameters that it draws itself: found by folder, listed nowhere.

What a test promises of activations it promises of all of these, so of a new file as well.
"""

import numpy as np
from qdeploy import ops
from qdeploy.ir import Node

NEURONS = 3


def drawn(op, tries):
    """Return nodes of `op` with different parameters: as many as `tries` draws give."""
    found = {}
    for seed in range(tries):
        parameters = ops.known_ops()[op].draw(np.random.default_rng((seed, 21)), NEURONS)
        known_by = repr({name: array.tolist() for name, array in parameters.items()})
        found[known_by] = Node("n", op, ("a",), "b", parameters)
    return list(found.values())


def curve_of(node):
    return ops.known_ops()[node.op].curve(node)


def steepness(node):
    """Return the largest magnitude of a slope, rounded up."""
    curve = curve_of(node)
    if isinstance(curve, ops.Smooth):
        return curve.steepest(0) + 1
    return -(-abs(curve.slopes).max() // 1)


ACTIVATIONS = tuple(name for name, op in ops.known_ops().items() if isinstance(op, ops.Activation))
SMOOTH = tuple(op for op in ACTIVATIONS if isinstance(curve_of(drawn(op, 1)[0]), ops.Smooth))
PIECEWISE = tuple(op for op in ACTIVATIONS if op not in SMOOTH)


def named(tries, some=ACTIVATIONS):
    """Return drawn nodes of every activation, by a name for reports."""
    return {f"{op} {k}": node for op in some for k, node in enumerate(drawn(op, tries))}
