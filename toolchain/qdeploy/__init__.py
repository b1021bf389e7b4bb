"""qdeploy: trained networks as fixed-point firmware, with a proven bound on the deviation."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdeploy.pipeline import build

__version__ = "0.1.0"

__all__ = ["__version__", "build"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever the pipeline offers under that name
    """Load the pipeline when it is first asked for: `verify` must not import a solver."""
    if name == "build":
        return importlib.import_module("qdeploy.pipeline").build
    raise AttributeError(f"module 'qdeploy' has no attribute {name!r}")
