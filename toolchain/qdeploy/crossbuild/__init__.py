"""Sources to an image: compile, link, measure. Equal sources give an equal image anywhere."""

from qdeploy.crossbuild._build import run
from qdeploy.crossbuild._image import Image, measure
from qdeploy.crossbuild._select import CompilerStatus, known_compilers, status

__all__ = ["CompilerStatus", "Image", "known_compilers", "measure", "run", "status"]
