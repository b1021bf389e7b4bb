"""A compiler of this computer, which makes a shared object of the library."""

import shutil

from qdeploy.crossbuild._process import first_line
from qdeploy.crossbuild._protocol import LANGUAGE, Toolchain


def host_toolchain(name: str, program: str, optimise: str) -> Toolchain | None:
    """Return the toolchain of a driver on PATH that both compiles and links."""
    path = shutil.which(program)
    if path is None:
        return None
    flags = (*LANGUAGE, "-fPIC", optimise)
    return Toolchain(
        name=name,
        version=first_line(path, "-dumpfullversion", "-dumpversion"),
        driver=(path,),
        headers=(),
        link=(path, "-shared", "-Wl,-Map=image.map,--build-id=none", "-o", "image.elf"),
        flags=flags,
    )
