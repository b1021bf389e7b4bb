"""C sources from an integer program: deterministic bytes, data only."""

from qdeploy.generate.firmware import firmware
from qdeploy.generate.library import ABI, library
from qdeploy.generate.stored import check_stored

__all__ = ["ABI", "check_stored", "firmware", "library"]
