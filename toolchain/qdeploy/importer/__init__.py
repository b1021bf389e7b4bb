"""Reading what the user brings: ONNX networks (`run`) and input regions (`read_regions`).

The only stage that knows ONNX. What it accepts is listed in docs/importing.md; everything else,
damaged and hostile files included, ends in one InputError.
"""

from pathlib import Path

from qdeploy.importer.emit import network
from qdeploy.importer.modelfile import read
from qdeploy.importer.regions import read_regions
from qdeploy.importer.tracing import trace
from qdeploy.ir import Network


def run(path: Path) -> Network:
    """Return the network in the ONNX file `path`, exactly as stored, over the reals.

    Raises:
        InputError: the file is no model of the accepted kind; it says where and what would help.
    """
    model = read(path)
    return network(model, trace(model))


__all__ = ["read_regions", "run"]
