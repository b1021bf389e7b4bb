"""The files a model consists of, so that a build folder can keep a copy that imports alike."""

import os
from pathlib import Path

import onnx

from qdeploy.importer import external


def files(path: Path) -> dict[str, bytes]:
    """Return the model file and its data files, by name relative to the model's folder.

    For a model that `run` has accepted: every data file lies inside that folder.
    """
    data = path.read_bytes()
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    locations = {
        entry.value
        for tensor in proto.graph.initializer
        if external.is_external(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    found = {path.name: data}
    for location in sorted(locations):
        found[os.path.normpath(location)] = (path.parent / location).read_bytes()
    return found
