"""The clang and LLD inside the `ziglang` wheel: a cross compiler that PyPI alone provides.

The wheel's program is a bundle; its first argument says which tool to be. That of the clang
driver is not documented, so the version is asked for before the tool is relied on.
"""

import importlib.util
import platform
from functools import cache
from pathlib import Path

from qdeploy.crossbuild._process import ToolFailedError, first_line
from qdeploy.crossbuild._protocol import LANGUAGE, Toolchain, cpu_flags, link_script
from qdeploy.diagnostics import MissingToolError, install

_OPTIMISE = "-Os"
"""As fast as GCC's -O2 here, and as small; clang's own -O2 unrolls to three times the size."""


class Clang:
    """See the module."""

    def targets(self, cpu: str) -> bool:
        """Everything."""
        return bool(cpu)

    def find(self, cpu: str) -> Toolchain | None:
        """From the installed wheel."""
        bundle = _bundle()
        if bundle is None:
            return None
        version = _version(bundle)
        if version is None:
            return None
        target, link = _host() if cpu == "host" else _firmware(cpu)
        flags = (*target, *LANGUAGE, _OPTIMISE)
        headers = ("-nostdlibinc", "-isystem", str(bundle.parent / "lib" / "include"))
        return Toolchain(
            name="clang",
            version=version,
            driver=(str(bundle), "clang"),
            headers=headers,
            link=(str(bundle), "ld.lld", *link),
            flags=flags,
        )

    def missing(self, cpu: str) -> MissingToolError:
        """The extra of our own package."""
        del cpu
        return MissingToolError(
            "the clang of the ziglang package is not installed", fix=install("run")
        )


def _firmware(cpu: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return ("--target=arm-none-eabi", *cpu_flags(cpu)), link_script()


def _host() -> tuple[tuple[str, ...], tuple[str, ...]]:
    target = f"--target={platform.machine()}-linux-gnu"
    link = ("-shared", "--build-id=none", "-Map=image.map", "-o", "image.elf")
    return (target, "-fPIC"), link


@cache
def _bundle() -> Path | None:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "zig"
    return program if program.is_file() else None


@cache
def _version(bundle: Path) -> str | None:
    try:
        return first_line(str(bundle), "clang", "--version").removeprefix("clang version ")
    except ToolFailedError:
        return None


COMPILER = Clang()
