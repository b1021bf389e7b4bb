"""Where the development networks lie, which are no part of this repository."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shared_model(name: str) -> Path:
    """Return the path of a development network's .onnx file; skip the test where there is none."""
    folder = Path(os.environ.get("QDEPLOY_MODELS", ROOT.parent / "shared" / "models"))
    path = folder / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"no development network {name}: set QDEPLOY_MODELS to their folder")
    return path
