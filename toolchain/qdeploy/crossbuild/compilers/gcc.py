"""GCC: `arm-none-eabi-gcc` for Cortex-M, `gcc` for the host."""

import shutil

from qdeploy.crossbuild._host import host_toolchain
from qdeploy.crossbuild._process import first_line
from qdeploy.crossbuild._protocol import LANGUAGE, Toolchain, cpu_flags
from qdeploy.diagnostics import MissingToolError

_OPTIMISE = "-O2"


class Gcc:
    """See the module."""

    def targets(self, cpu: str) -> bool:
        """Everything."""
        return bool(cpu)

    def find(self, cpu: str) -> Toolchain | None:
        """From PATH."""
        if cpu == "host":
            return host_toolchain("gcc", "gcc", _OPTIMISE)
        program = shutil.which("arm-none-eabi-gcc")
        if program is None:
            return None
        flags = (*cpu_flags(cpu), *LANGUAGE, _OPTIMISE)
        link = ("-nostdlib", "-Wl,-n,--gc-sections,-Map=image.map", "-T", "link.ld")
        return Toolchain(
            name="gcc",
            version=first_line(program, "-dumpfullversion"),
            driver=(program,),
            headers=(),
            link=(program, *cpu_flags(cpu), *link, "-o", "image.elf"),
            flags=flags,
        )

    def missing(self, cpu: str) -> MissingToolError:
        """The Debian package."""
        program, package = (
            ("gcc", "gcc") if cpu == "host" else ("arm-none-eabi-gcc", "gcc-arm-none-eabi")
        )
        return MissingToolError(f"{program} is not installed", fix=f"apt install {package}")


COMPILER = Gcc()
