"""A build that runs on arrays: the integer program of a build folder, and what is proven of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdeploy.diagnostics import UsageError
from qdeploy.fixedpoint import encode
from qdeploy.ir import FixedNetwork, Network
from qdeploy.ir.printing import float_up
from qdeploy.ops import execute
from qdeploy.pipeline.stored import Parts, proven_claim, read_parts
from qdeploy.pipeline.summary import describe_formats
from qdeploy.proof import check_operations
from qdeploy.report.values import RegionResult

Reals = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Region:
    """Inputs a bound holds for, and the bound."""

    name: str
    lo: Reals
    hi: Reals
    bound: float | None
    """On |device - network| of every output; None where the certificate was not checked."""
    per_output: tuple[float, ...] | None

    def holds(self, x: ArrayLike) -> bool:
        """Whether one input lies in the region."""
        point = np.asarray(x, dtype=np.float64)
        return bool(((self.lo <= point) & (point <= self.hi)).all())


@dataclass(frozen=True, slots=True)
class Loaded:
    """The integer program of a build; `run` computes what the device computes, bit for bit."""

    network: Network
    """The trained network, over the reals."""
    program: FixedNetwork
    """The program that runs on the device."""
    regions: tuple[Region, ...]
    """For which inputs something is proven; a box's ends belong to it."""
    bound: float | None
    """On |device - network| over all regions; None where the certificate was not checked."""

    @property
    def formats(self) -> list[dict[str, Any]]:
        """The formats of all tensors and stored arrays, as in build.json."""
        return describe_formats(self.program)

    def run(self, x: ArrayLike) -> Reals:
        """Return what the device answers, as real values.

        Args:
            x: one input [inputs], or rows of them [n, inputs]. An input is rounded and saturated
                by the input format, as on the device.

        Returns:
            The outputs [outputs], or rows of them [n, outputs]: codes times the output's step.

        Raises:
            UsageError: it is no such array of finite numbers.
        """
        codes = self.run_codes(self.encode(x))
        return np.asarray(np.ldexp(codes.astype(np.float64), -self.program.output.format.fb))

    def encode(self, x: ArrayLike) -> Codes:
        """Return the input codes of one input [inputs], or of rows [n, inputs].

        Raises:
            UsageError: it is no such array of finite numbers.
        """
        rows = self._rows("x", x, "fiub")
        if not np.isfinite(rows).all():
            raise UsageError(
                "x holds something that is no finite number", fix="leave such rows out"
            )
        source = self.program.input
        return encode(rows.astype(np.float64), source.format, source.rounding)

    def run_codes(self, codes: ArrayLike) -> Codes:
        """Return the output codes for input codes [inputs], or for rows of them [n, inputs].

        Raises:
            UsageError: it is no such array of integers, or one is no code of the input format.
        """
        rows, fmt = self._rows("codes", codes, "iu"), self.program.input.format
        if rows.size and not (fmt.raw_min <= rows.min() and rows.max() <= fmt.raw_max):
            raise UsageError(
                f"codes of the format {fmt} lie in {fmt.raw_min} .. {fmt.raw_max}",
                fix="make them with encode()",
            )
        answers = execute(self.program, np.atleast_2d(rows).astype(np.int64))
        return answers if rows.ndim > 1 else answers[0]

    def _rows(self, name: str, given: ArrayLike, kinds: str) -> NDArray[Any]:
        """Return an array of the right kind and shape."""
        size = self.program.input.tensor.size
        try:
            array = np.asarray(given)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{name} is no array: {error}", fix=_shape(size)) from error
        if array.dtype.kind not in kinds:
            what = "numbers" if "f" in kinds else "integers"
            raise UsageError(
                f"{name} is no array of {what}, but of {array.dtype.name}", fix=_shape(size)
            )
        if array.ndim not in (1, 2) or array.shape[-1] != size:
            raise UsageError(f"{name} has the shape {list(array.shape)}", fix=_shape(size))
        return array


def _shape(size: int) -> str:
    return f"give an array of {size} numbers, or of rows of so many"


def load_build(folder: Path, operations: int | None) -> Loaded:
    """Read a build folder, and check its certificate in so many operations; None: do not.

    Raises:
        InputError: it is no build of ours, or damaged.
        RefusedError: a file is not what the certificate names, or does not check.
        UsageError: so many operations are none.
    """
    if operations is not None:
        check_operations(operations)
    parts = read_parts(folder)
    program = parts.statement.certificate.program
    if operations is None:
        return Loaded(parts.network, program, _unproven(parts), None)
    statement = proven_claim(parts, operations).statement
    regions = tuple(map(_region, statement.regions))
    bound = None if statement.bound is None else float_up(statement.bound.linf)
    return Loaded(parts.network, program, regions, bound)


def _unproven(parts: Parts) -> tuple[Region, ...]:
    boxes = [claim.box for claim in parts.statement.certificate.regions]
    return tuple(Region(b.name, _side(b.lo), _side(b.hi), None, None) for b in boxes)


def _region(result: RegionResult) -> Region:
    box, bound = result.box, result.bound
    if bound is None:
        return Region(box.name, _side(box.lo), _side(box.hi), None, None)
    per_output = tuple(map(float_up, bound.per_output))
    return Region(box.name, _side(box.lo), _side(box.hi), float_up(bound.linf), per_output)


def _side(corner: Any) -> Reals:  # noqa: ANN401  Fractions that are doubles
    side = np.array([float(v) for v in corner])
    side.flags.writeable = False
    return side


__all__ = ["Loaded", "Region", "load_build"]
