"""The clang of the operating system, for the host."""

from qdeploy.crossbuild._host import host_toolchain
from qdeploy.crossbuild._protocol import Toolchain
from qdeploy.diagnostics import MissingToolError


class SystemClang:
    """See the module."""

    def targets(self, cpu: str) -> bool:
        """The host: its linker for Cortex-M is a package of its own."""
        return cpu == "host"

    def find(self, cpu: str) -> Toolchain | None:
        """From PATH."""
        del cpu
        return host_toolchain("system_clang", "clang", "-O2")

    def missing(self, cpu: str) -> MissingToolError:
        """The Debian package."""
        del cpu
        return MissingToolError("clang is not installed", fix="apt install clang")


COMPILER = SystemClang()
