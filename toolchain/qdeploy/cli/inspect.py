"""`qdeploy inspect`: what the importer sees in a model."""

from pathlib import Path

import click

from qdeploy import importer
from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.cli._cut import cut_lines
from qdeploy.cli._text import model_line
from qdeploy.ir import Network
from qdeploy.ir.printing import text_down, text_up
from qdeploy.pipeline.inspection import Layer, inspect_data, inspect_layers


@click.command(
    "inspect",
    short_help="Show a model's layers, parameters and ranges.",
    epilog="Example: qdeploy inspect pendulum.onnx",
)
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx")
@json_option
def command(model: Path) -> Answer:
    """Show the layers, parameters and ranges of MODEL.onnx, and what was folded or cut."""
    network = importer.run(model)
    return Answer(inspect_data(network), _text(network))


def _text(network: Network) -> str:
    layers = inspect_layers(network)
    facts = [("model", model_line(network)), ("sha256", network.source.sha256)]
    facts += cut_lines(network)
    facts += [("note", note) for note in network.notes]
    parts = [network.name, columns(facts, "  "), _layer_table(layers)]
    parameters = _parameter_table(layers)
    return "\n\n".join(parts + ([parameters] if parameters else []))


def _layer_table(layers: tuple[Layer, ...]) -> str:
    rows = [("layer", "operator", "outputs", "multiplications", "in the model")]
    rows += [
        (layer.name, layer.op, str(layer.output_size), str(layer.multiplications), layer.source)
        for layer in layers
    ]
    return columns(rows, "  ")


def _parameter_table(layers: tuple[Layer, ...]) -> str:
    parameters = [p for layer in layers for p in layer.parameters]
    if not parameters:
        return ""
    rows = [("parameter", "shape", "smallest", "largest", "IB", "zeros")]
    rows += [
        (
            f"{p.layer}.{p.name}",
            "x".join(map(str, p.shape)),
            text_down(p.lo),
            text_up(p.hi),
            str(p.ib),
            str(p.zeros),
        )
        for p in parameters
    ]
    return columns(rows, "  ")


COMMAND = command
