"""C sources from an integer program: deterministic bytes, data only."""

from qdeploy.generate.firmware import firmware
from qdeploy.generate.library import ABI, Names, library

__all__ = ["ABI", "Names", "firmware", "library"]
