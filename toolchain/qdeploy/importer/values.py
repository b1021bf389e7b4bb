"""What flows along the edges of the user's graph while it is read.

Four kinds of value, each immutable:

* `Constant` does not depend on the input;
* `Signal` does, and is an affine map away from the layers found so far;
* `Tail` is what a cut Softmax or ArgMax made of a signal;
* `Magnitude` is half of a Softsign that is written out as x / (1 + |x|).

Layers hang below each other (`below`), so a value carries the whole path that leads to it. Their
matrices are only referred to here; `emit` multiplies them out once, for the path that is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod
from operator import add, mul
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qdeploy.ir import FractionArray, exact


class Kind(StrEnum):
    """What the elements of a constant are."""

    REAL = "floating-point"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A stored or computed array; `array` keeps the stored type, so nothing is rounded."""

    name: str
    kind: Kind
    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its ONNX shape."""
        return self.array.shape


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """v -> scale * v + shift, element by element; None stands for all ones or all zeros."""

    scale: FractionArray | None = None
    shift: FractionArray | None = None

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.scale is None and self.shift is None

    def then(self, following: "Affine") -> "Affine":
        """Return the map that applies this one first."""
        moved = None if self.shift is None else _combine(mul, self.shift, following.scale)
        scale = _combine(mul, self.scale, following.scale)
        shift = _combine(add, moved, following.shift)
        return Affine(_unless_all(1, scale), _unless_all(0, shift))


UNCHANGED = Affine()


def _combine(
    operation: Callable[[Any, Any], Any], left: FractionArray | None, right: FractionArray | None
) -> FractionArray | None:
    if left is None or right is None:
        return right if left is None else left
    return np.asarray(operation(left, right), dtype=object)


def _unless_all(value: int, array: FractionArray | None) -> FractionArray | None:
    return None if array is None or all(v == value for v in array.flat) else array


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the user's graph, as it is named back to the user."""

    op_type: str
    name: str

    def __str__(self) -> str:
        return f"{self.op_type} {self.name!r}"


@dataclass(frozen=True, slots=True, eq=False)
class DenseDraft:
    """y = after(weight @ before(x)); `weight` None is the identity matrix."""

    n_in: int
    n_out: int
    weight: NDArray[Any] | None
    before: Affine
    after: Affine
    below: "Draft | None"
    tensor: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ActivationDraft:
    """One of `qdeploy.ops` on every element for itself."""

    op: str
    parameters: Mapping[str, FractionArray]
    n_out: int
    below: "Draft | None"
    tensor: str
    steps: tuple[Step, ...]


Draft: TypeAlias = DenseDraft | ActivationDraft


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A tensor that depends on the input: `pending` applied to the output of `layer`.

    `layer` None is the input. `shape` is the ONNX shape with the batch axis at 1, so the data is
    one vector in C order, whatever the shape.
    """

    shape: tuple[int, ...]
    tensor: str
    layer: Draft | None = None
    pending: Affine = UNCHANGED
    trail: tuple[Step, ...] = ()
    """The nodes that made `pending`."""
    real: bool = True
    """False for an integer input that no Cast has turned into a floating-point one."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def same_values(self, other: "Signal") -> bool:
        """Whether both are one tensor, shapes aside."""
        return self.layer is other.layer and self.pending is other.pending


class Content(StrEnum):
    """What a cut node made of the values before it."""

    SCORES = "the scores of all classes"
    LABEL = "the class that won"
    TABLE = "a table of scores by class"


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """What the cut nodes `steps` computed from `before`: nothing that `before` does not decide.

    `shape` has one axis of all classes for scores; a table has none.
    """

    before: Signal
    steps: tuple[Step, ...]
    content: Content
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Magnitude:
    """|of| + shift, element by element; None stands for no shift."""

    of: Signal
    shift: FractionArray | None = None


Value: TypeAlias = Constant | Signal | Tail | Magnitude


def with_affine(signal: Signal, following: Affine, step: Step) -> Signal:
    """Apply an elementwise map after `signal`."""
    pending = signal.pending.then(following)
    return replace(signal, pending=pending, trail=(*signal.trail, step))


def settle(signal: Signal) -> Draft | None:
    """Return the layer whose output is `signal`, its pending map made part of a layer.

    A map directly after a dense layer joins that layer, which makes MatMul + Add the same as
    Gemm; elsewhere it becomes a dense layer with a diagonal matrix.
    """
    layer = signal.layer
    if signal.pending.is_identity:
        return layer
    if isinstance(layer, DenseDraft):
        after = layer.after.then(signal.pending)
        steps = (*layer.steps, *signal.trail)
        return replace(layer, after=after, tensor=signal.tensor, steps=steps)
    size = signal.size
    return DenseDraft(
        size, size, None, UNCHANGED, signal.pending, layer, signal.tensor, signal.trail
    )


def through_dense(
    signal: Signal, weight: NDArray[Any], after: Affine, step: Step, tensor: str
) -> DenseDraft:
    """Return the dense layer `after(weight @ signal)`; it absorbs what is pending if it may."""
    n_out, n_in = weight.shape
    if isinstance(signal.layer, DenseDraft):
        below = settle(signal)
        return DenseDraft(n_in, n_out, weight, UNCHANGED, after, below, tensor, (step,))
    steps = (*signal.trail, step)
    return DenseDraft(n_in, n_out, weight, signal.pending, after, signal.layer, tensor, steps)


def constant_of(values: FractionArray, name: str) -> Constant:
    """Wrap computed Fractions."""
    return Constant(name, Kind.REAL, exact(values))
