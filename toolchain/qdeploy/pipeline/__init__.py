"""The stages in order: an ONNX file in, a validated and certified build out."""

from qdeploy.pipeline.api import build, certify, compare, inspect, load, validate
from qdeploy.pipeline.loaded import Loaded
from qdeploy.pipeline.options import DEFAULT_VECTORS, Options
from qdeploy.pipeline.similarity import Compared, CompareOptions, run_compare
from qdeploy.pipeline.stages import Built, Certified, run_build, run_certify
from qdeploy.pipeline.stopwatch import Stopwatch

__all__ = [
    "DEFAULT_VECTORS",
    "Built",
    "Certified",
    "CompareOptions",
    "Compared",
    "Loaded",
    "Options",
    "Stopwatch",
    "build",
    "certify",
    "compare",
    "inspect",
    "load",
    "run_build",
    "run_certify",
    "run_compare",
    "validate",
]
