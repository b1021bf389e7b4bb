"""C sources from an integer program: deterministic bytes, data only."""

from qdeploy.generate.firmware import firmware
from qdeploy.generate.library import ABI, library

__all__ = ["ABI", "firmware", "library"]
