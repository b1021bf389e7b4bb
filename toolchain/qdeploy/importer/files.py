"""The files a model consists of, so that a build folder can keep a copy that imports alike."""

import os
from pathlib import Path

import onnx

from qdeploy.importer import external
from qdeploy.importer.modelfile import MODEL
from qdeploy.importer.names import file_name
from qdeploy.reading import Kind, read_bytes

_DATA = Kind(
    "the model's data file",
    4 * external.MAX_EXTERNAL_BYTES,
    "export the model with a data file of its own",
)


def files(path: Path) -> dict[str, bytes]:
    """Return the model file and its data files, by name relative to the model's folder.

    For a model that `run` has accepted: every data file lies inside that folder.
    """
    data = read_bytes(path, MODEL)
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    locations = {
        entry.value
        for tensor in proto.graph.initializer
        if external.is_external(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    found = {file_name(path): data}
    for location in sorted(locations):
        found[os.path.normpath(location)] = read_bytes(path.parent / location, _DATA)
    return found
