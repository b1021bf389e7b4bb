"""Which compilers there are, and the one to use."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import qdeploy.crossbuild.compilers
from qdeploy.crossbuild._protocol import Compiler, Toolchain
from qdeploy.diagnostics import UsageError
from qdeploy.registry import discover

_ANY_CORE = "cortex-m4"


@dataclass(frozen=True, slots=True)
class CompilerStatus:
    """Whether a compiler can be used, for `qdeploy doctor`."""

    name: str
    target: str
    """`arm` or `host`."""
    version: str | None
    """None where it is missing."""
    fix: str
    """What to install."""


@cache
def known_compilers() -> Mapping[str, Compiler]:
    """Every compiler, by name."""
    return discover(qdeploy.crossbuild.compilers, "COMPILER", Compiler)  # type: ignore[type-abstract]


def status() -> tuple[CompilerStatus, ...]:
    """Every compiler for every kind of target."""
    rows = []
    for target, cpu in (("arm", _ANY_CORE), ("host", "host")):
        for name, compiler in known_compilers().items():
            if compiler.targets(cpu):
                found = compiler.find(cpu)
                version = None if found is None else found.version
                rows.append(CompilerStatus(name, target, version, compiler.missing(cpu).fix))
    return tuple(rows)


def toolchain(cpu: str, name: str | None) -> Toolchain:
    """Return the named compiler's toolchain, or that of the first one installed.

    Raises:
        UsageError: no such compiler, or not for this core.
        MissingToolError: it is not installed.
    """
    able = {n: c for n, c in known_compilers().items() if c.targets(cpu)}
    if name is not None and name not in able:
        raise UsageError(
            f"no compiler {name!r} builds for {cpu}", fix=f"choose one of {', '.join(able)}"
        )
    wanted = able if name is None else {name: able[name]}
    for compiler in wanted.values():
        found = compiler.find(cpu)
        if found is not None:
            return found
    raise next(iter(wanted.values())).missing(cpu)
