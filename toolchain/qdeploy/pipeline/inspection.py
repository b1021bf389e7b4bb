"""What is in a model: its layers, parameters and ranges, for people and for JSON."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from qdeploy.fixedpoint import smallest_integer_bits
from qdeploy.ir import FractionArray, Network
from qdeploy.ir.printing import float_down, float_up
from qdeploy.ops import extremes, known_ops
from qdeploy.pipeline.summary import describe_model


@dataclass(frozen=True, slots=True)
class ParameterRange:
    """The values of one stored array, and the IB that holds them at any FB."""

    layer: str
    name: str
    shape: tuple[int, ...]
    lo: Fraction
    hi: Fraction
    ib: int
    zeros: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One node of the imported network."""

    name: str
    op: str
    source: str
    output_size: int
    multiplications: int
    parameters: tuple[ParameterRange, ...]


def inspect_layers(network: Network) -> tuple[Layer, ...]:
    """Return every layer in order."""
    return tuple(
        Layer(
            node.name,
            node.op,
            node.source,
            network.tensor(node.output).size,
            known_ops()[node.op].multiplications(node),
            tuple(_range(node.name, key, array) for key, array in sorted(node.parameters.items())),
        )
        for node in network.nodes
    )


def _range(layer: str, name: str, array: FractionArray) -> ParameterRange:
    lo, hi = extremes(array)
    zeros = int((array == 0).sum())
    return ParameterRange(layer, name, array.shape, lo, hi, smallest_integer_bits(lo, hi), zeros)


def inspect_data(network: Network) -> dict[str, Any]:
    """Return what `inspect --json` prints."""
    return {
        "model": describe_model(network),
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "source": layer.source,
                "outputs": layer.output_size,
                "macs": layer.multiplications,
                "parameters": [_parameter_data(p) for p in layer.parameters],
            }
            for layer in inspect_layers(network)
        ],
    }


def _parameter_data(parameter: ParameterRange) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "shape": list(parameter.shape),
        "min": float_down(parameter.lo),
        "max": float_up(parameter.hi),
        "ib": parameter.ib,
        "zeros": parameter.zeros,
    }
