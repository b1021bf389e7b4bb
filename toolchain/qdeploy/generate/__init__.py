"""C sources from an integer program: deterministic bytes, data only."""

from qdeploy.generate.library import ABI, library

__all__ = ["ABI", "library"]
