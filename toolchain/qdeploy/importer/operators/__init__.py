"""The ONNX operators that are read: one module a family, found by folder.

To read one more operator, add a function and its entry in the `FAMILY` of the module it fits.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import qdeploy.importer.operators
from qdeploy.importer.operation import Family, Translation
from qdeploy.registry import discover


@cache
def translations() -> Mapping[str, Translation]:
    """Every operator that is read, by its ONNX name (`domain::Name` outside the default domain)."""
    families = discover(qdeploy.importer.operators, "FAMILY", Family)
    merged: dict[str, Translation] = {}
    for family in families.values():
        merged.update(family.translations)
    return MappingProxyType(dict(sorted(merged.items())))
