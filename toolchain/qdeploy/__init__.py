"""qdeploy: trained networks as fixed-point firmware, with a proven bound on the deviation.

    import qdeploy

    built = qdeploy.build("pendulum.onnx", inputs="box.json", output="out")
    print(built["answer"], built["certificate"]["linf"])
    device = qdeploy.load("out")
    print(device.run([0.1, -0.5]), device.bound)

The functions take the options of the commands of the same names, with underscores, and return what
`--json` prints. Whatever is wrong with a file, an option or a tool is a `QdeployError` that says
where, and how to fix it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from qdeploy.diagnostics import (
    ExhaustedError,
    InputError,
    MissingToolError,
    QdeployError,
    RefusedError,
    StoppedError,
    UsageError,
)

if TYPE_CHECKING:
    from qdeploy.checking import verify
    from qdeploy.pipeline import Loaded, build, certify, compare, inspect, load, validate

__version__ = "0.1.0"

__all__ = [
    "ExhaustedError",
    "InputError",
    "Loaded",
    "MissingToolError",
    "QdeployError",
    "RefusedError",
    "StoppedError",
    "UsageError",
    "__version__",
    "build",
    "certify",
    "compare",
    "inspect",
    "load",
    "validate",
    "verify",
]

_PLACES = {
    **dict.fromkeys(
        ("Loaded", "build", "certify", "compare", "inspect", "load", "validate"),
        "qdeploy.pipeline",
    ),
    "verify": "qdeploy.checking",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever is offered under that name
    """Load what a function needs when it is first used: `verify` must not import a solver."""
    if name not in _PLACES:
        raise AttributeError(f"module 'qdeploy' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
