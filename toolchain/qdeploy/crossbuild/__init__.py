"""Sources to an image: compile, link, measure. Equal sources give an equal image anywhere."""

from qdeploy.crossbuild._build import run
from qdeploy.crossbuild._select import CompilerStatus, known_compilers, status

__all__ = ["CompilerStatus", "known_compilers", "run", "status"]
