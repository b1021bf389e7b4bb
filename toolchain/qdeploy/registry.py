"""Plug-ins found by folder: one module a member, one constant that satisfies its Protocol."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import TypeVar

T = TypeVar("T")


def discover(package: ModuleType, constant: str, kind: type[T]) -> Mapping[str, T]:
    """Return `{module name: module.<constant>}` for every public module of `package`, sorted.

    Modules whose name starts with an underscore are private to the package and are skipped.

    Raises:
        TypeError: a public module lacks the constant, or it does not satisfy `kind`.
    """
    found: dict[str, T] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{name}")
        plugin = getattr(module, constant, None)
        if not isinstance(plugin, kind):
            raise TypeError(
                f"{module.__name__} must define {constant}: {kind.__name__}, found "
                f"{type(plugin).__name__}; define it, or rename the module to _{name} "
                "if it is no plug-in"
            )
        found[name] = plugin
    return MappingProxyType(found)
