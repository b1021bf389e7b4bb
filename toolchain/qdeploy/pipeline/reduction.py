"""Which network runs on the device: the imported one, a pruned one, or another model's.

Whichever it is, the bound is proven against the imported one.
"""

from dataclasses import dataclass
from pathlib import Path

from qdeploy import certifier, importer, proof, reduce
from qdeploy.diagnostics import InputError, Where
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.pipeline.options import Options, read_prune
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.reduce import PruneRequest
from qdeploy.report.values import Reduced, Size


@dataclass(frozen=True, slots=True)
class Choice:
    """What is quantised, and how it stands beside the imported network."""

    network: Network
    places: proof.Places | None
    """None: both have equal layers."""
    reduced: Reduced | None
    """For people; None: it is the imported network."""


def choose_network(
    options: Options, network: Network, regions: tuple[Box, ...], watch: Stopwatch
) -> Choice:
    """Return the network that runs on the device.

    Raises:
        UsageError: more is to be pruned than there is.
        InputError: the models do not fit each other.
    """
    asked = read_prune(options)
    if asked is not None:
        with watch.stage("reduce"):
            return _pruned(options, network, PruneRequest(*asked, regions))
    if options.deploy is not None:
        with watch.stage("reduce"):
            return _deployed(options, network, options.deploy)
    return Choice(network, None, None)


def _pruned(options: Options, network: Network, request: PruneRequest) -> Choice:
    reduction = reduce.run(network, request)
    smaller = reduction.kept != _in_order(network)
    told = _told(options.prune or "", network, reduction.network, reduction.kept)
    return Choice(reduction.network, reduction.kept if smaller else None, told)


def _deployed(options: Options, network: Network, path: Path) -> Choice:
    deployed = importer.run(path)
    try:
        places = certifier.place(network, deployed)
    except proof.MismatchError as problem:
        raise _unlike(options, problem) from problem
    rows = _in_order(deployed) if places is None else places
    return Choice(deployed, places, _told("", network, deployed, rows))


def check_alike(options: Options, network: Network, fixed: FixedNetwork, choice: Choice) -> None:
    """Refuse a program that no proof can set beside the network, before anything is made of it.

    Raises:
        InputError: says how they differ.
    """
    if choice.reduced is None:
        return
    try:
        wide = proof.side_by_side(network, fixed, choice.places)
        if options.deploy is not None:
            proof.align(*wide, proof.coarse_grid(wide[1]))
    except proof.MismatchError as problem:
        raise _unlike(options, problem) from problem


def _unlike(options: Options, problem: proof.MismatchError) -> InputError:
    if options.deploy is None:
        return InputError(
            f"the pruned network cannot be proven close to the model: {problem}",
            where=Where(str(options.model)),
            fix="leave --prune out",
        )
    return InputError(
        f"{options.deploy.name} cannot run in the place of {options.model.name}: {problem}",
        where=Where(str(options.deploy)),
        fix="deploy a chain of dense layers with as many inputs and outputs, whose activations "
        "are those of the model, layer by layer; qdeploy compare takes more",
    )


def _in_order(network: Network) -> proof.Places:
    dense = [node for node in network.nodes if node.op == "dense"]
    return tuple(tuple(range(len(node.parameters["bias"]))) for node in dense[:-1])


def _told(
    request: str, network: Network, runs: Network, rows: tuple[tuple[int, ...], ...]
) -> Reduced:
    return Reduced(request, runs, rows, Size.of(network), Size.of(runs))
