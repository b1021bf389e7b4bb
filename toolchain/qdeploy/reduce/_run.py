"""One reducer at work: what it is asked is possible, and what it answers is whole."""

from collections.abc import Mapping
from functools import cache

from qdeploy.diagnostics import InputError, UsageError, Where
from qdeploy.ir import Network
from qdeploy.ops import Activation, known_ops
from qdeploy.reduce import reducers
from qdeploy.reduce._protocol import PruneRequest, Reducer, Reduction
from qdeploy.registry import discover


@cache
def known_reducers() -> Mapping[str, Reducer]:
    """Every reducer, by name."""
    return discover(reducers, "REDUCER", Reducer)  # type: ignore[type-abstract]


def run(network: Network, request: PruneRequest) -> Reduction:
    """Return the network without what the request asks to remove.

    Raises:
        UsageError: there is less than that to remove.
        InputError: the network is no chain of dense layers.
    """
    _require_chain(network)
    reducer = known_reducers()[request.reducer]
    count, most = request.amount.of(reducer.total(network)), reducer.most(network)
    if count > most:
        raise UsageError(
            f"--prune {request.reducer} asks for {count} {reducer.things} less",
            where=Where(network.source.name),
            fix=f"at most {most} can go; every layer keeps one neuron",
        )
    return reducer.reduce(network, count, request.regions)


def _require_chain(network: Network) -> None:
    current = network.inputs[0].id
    if all(node.op != "dense" for node in network.nodes):
        raise InputError(
            "a network without weights cannot be pruned",
            where=Where(network.source.name),
            fix="leave --prune out",
        )
    for node in network.nodes:
        known = node.op == "dense" or isinstance(known_ops()[node.op], Activation)
        if node.inputs != (current,) or not known:
            raise InputError(
                f"operator {node.op!r} stands where only chains of dense layers can be pruned",
                where=Where(network.source.name, f"node {node.source or node.name!r}"),
                fix="leave --prune out",
            )
        current = node.output
