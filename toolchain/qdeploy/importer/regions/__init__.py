"""Input regions as the user writes them (`read_regions`), read exactly and enclosed outward.

Every decimal is taken for the number it spells, never for the double next to it.
"""

from pathlib import Path

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.regions import boxfile, samples, vnnlib
from qdeploy.importer.regions.numbers import RANGE, decimal
from qdeploy.ir import Box

_FIX = (
    "write LO:HI (for example -1:1), the path of a .json, .toml or .vnnlib file, "
    "or data:SAMPLES.npz[:RADIUS]"
)


def read_regions(spec: str, n_inputs: int) -> tuple[Box, ...]:
    """Return the boxes `spec` stands for, each with `n_inputs` sides.

    Raises:
        InputError: it is no region, or not one of this network's inputs.
    """
    if spec.startswith(samples.PREFIX):
        return samples.read(spec, n_inputs)
    match = RANGE.fullmatch(spec.strip())
    if match is not None:
        return (_uniform(spec.strip(), match[1], match[2], n_inputs),)
    reader = {".json": boxfile.read, ".toml": boxfile.read, ".vnnlib": vnnlib.read}
    path = Path(spec)
    if path.suffix.lower() not in reader:
        raise InputError(f"{spec[:200]!r} is no input region", fix=_FIX)
    return reader[path.suffix.lower()](path, n_inputs)


def _uniform(spec: str, low: str, high: str, n_inputs: int) -> Box:
    where = Where(spec)
    lo, hi = decimal(low, where), decimal(high, where)
    if lo > hi:
        raise InputError(
            f"the lower end {low} is above the upper end {high}",
            where=where,
            fix="write the smaller number first",
        )
    return Box.enclosing((lo,) * n_inputs, (hi,) * n_inputs, spec)


__all__ = ["read_regions"]
