"""A build folder's content: which files it has, and how they are read back."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.importer.files import files as importer_files
from qdeploy.ir import Firmware, SourceTree, Vectors
from qdeploy.pipeline.claims import Claim
from qdeploy.pipeline.summary import describe_making
from qdeploy.report import certificate_page, report_page
from qdeploy.report.values import Material

VECTORS = "vectors.npz"


def files(
    material: Material, claim: Claim, library: SourceTree, vectors: Vectors
) -> dict[str, bytes]:
    """Return every file of the folder except build.json and the copy of the model."""
    found = {f"library/{name}": content for name, content in library.files.items()}
    found["certificate.json"] = claim.content
    found["certificate.html"] = certificate_page(material)
    found["report.html"] = report_page(material)
    found[VECTORS] = vectors_bytes(vectors)
    if material.firmware is not None:
        found.update(firmware_files(material.firmware))
    return found


def firmware_files(firmware: Firmware) -> dict[str, bytes]:
    """Return the image in every form that the board has, and how it came about."""
    forms = {
        "elf": firmware.elf,
        "hex": firmware.hex,
        "bin": firmware.bin,
        "map": firmware.map,
        "json": json_bytes(describe_making(firmware)),
    }
    return {f"firmware/firmware.{form}": content for form, content in forms.items() if content}


def vectors_bytes(vectors: Vectors) -> bytes:
    """Return vectors.npz; numpy dates its members 1980, so equal vectors give equal bytes."""
    stream = io.BytesIO()
    np.savez(stream, x=vectors.x, codes=vectors.codes, expected=vectors.expected)
    return stream.getvalue()


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of every file, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def json_bytes(data: Mapping[str, Any]) -> bytes:
    """Return JSON as it is stored: sorted keys, two spaces, one final newline, no NaN."""
    return (json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")


def model_files(path: Path) -> dict[str, bytes]:
    """Return a copy of the model, so that the folder can be validated and verified on its own."""
    return {f"model/{name}": content for name, content in importer_files(path).items()}
