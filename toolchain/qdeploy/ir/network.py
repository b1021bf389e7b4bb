"""The trained network between stages: an immutable, fully shaped graph over the reals.

Invariants, checked once in `Network.__post_init__` and relied on everywhere else:

* nodes are in topological order, every tensor has one producer (a node or a graph input);
* every tensor id is a valid C identifier and unique;
* parameters are exact: read-only object arrays of `fractions.Fraction`;
* shapes carry no batch dimension.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FractionArray = NDArray[np.object_]
"""A read-only object array whose every element is a `fractions.Fraction`."""

LARGEST_TENSOR = 1 << 24
"""Elements; far beyond any device, and small enough to allocate."""

MOST_LISTED = 12
"""Names that are spelled out in a sentence."""

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def exact(values: Any) -> FractionArray:  # noqa: ANN401  any numeric array, nested list or Fractions
    """Return `values` (finite floats, integers or Fractions) as a read-only exact array.

    Floats are dyadic rationals, so nothing is rounded.
    """
    source = np.asarray(values)
    flat = [v if isinstance(v, Fraction) else Fraction(v) for v in source.ravel().tolist()]
    column = np.empty(len(flat), dtype=object)
    column[:] = flat
    array = column.reshape(source.shape)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value on an edge: `id` names it in generated C, `source` in the user's model."""

    id: str
    shape: tuple[int, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if IDENTIFIER.fullmatch(self.id) is None:
            raise ValueError(f"tensor id {self.id!r} is no C identifier")
        if any(extent < 1 for extent in self.shape):
            raise ValueError(f"tensor {self.id} has an empty shape {self.shape}")
        if self.size > LARGEST_TENSOR:
            raise ValueError(f"tensor {self.id} has more than {LARGEST_TENSOR} elements")

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of `qdeploy.ops`: named parameters are exact, `inputs`/`output` tensor ids.

    `dense`: weight [n_out, n_in], bias [n_out]; y = weight @ x + bias. `clip`: lo [1], hi [1] or
    one of them, lo < hi. `leaky_relu`: slope [1] or [n], any. `elu`: alpha [1], not negative.
    `relu`, `tanh`, `sigmoid`, `softsign`: no parameters.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    parameters: Mapping[str, FractionArray] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        for name, array in self.parameters.items():
            if array.dtype != object or array.flags.writeable:
                raise ValueError(f"{self.name}.{name} is no read-only exact array")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Which file a network was read from."""

    name: str
    sha256: str
    producer: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """A trained network over the reals; see the module's invariants."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    source: ModelSource
    notes: tuple[str, ...] = ()
    """What the importer folded, in words for the user."""
    cut: tuple[str, ...] = ()
    """The model's nodes behind `outputs` that are no part of the network, in words."""
    _by_id: Mapping[str, Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {t.id: t for t in self.tensors})
        check_graph(
            [t.id for t in self.tensors],
            [t.id for t in self.inputs],
            [t.id for t in self.outputs],
            [(n.name, n.inputs, n.output) for n in self.nodes],
        )

    def tensor(self, tensor_id: str) -> Tensor:
        """Return the tensor called `tensor_id`."""
        return self._by_id[tensor_id]

    @property
    def told_cut(self) -> str:
        """What was cut and what the outputs therefore are; empty where nothing was."""
        if not self.cut:
            return ""
        before = ", ".join(repr(t.source) for t in self.outputs)
        return (
            f"{listed(self.cut)}: the outputs are the values of {before} before that, "
            "and what the model makes of them is not covered"
        )

    @property
    def parameter_count(self) -> int:
        """Number of stored parameters."""
        return sum(a.size for n in self.nodes for a in n.parameters.values())


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def check_graph(
    tensors: Iterable[str],
    inputs: Iterable[str],
    outputs: Iterable[str],
    nodes: Iterable[tuple[str, tuple[str, ...], str]],
) -> None:
    """Raise ValueError unless this is a DAG in topological order with single producers."""
    declared = list(tensors)
    if len(set(declared)) != len(declared):
        raise ValueError("two tensors share an id")
    known = set(inputs)
    for name, sources, output in nodes:
        if not set(sources) <= known:
            raise ValueError(f"node {name} reads {set(sources) - known} before it is produced")
        if output in known:
            raise ValueError(f"tensor {output} is produced twice")
        known.add(output)
    if known != set(declared):
        raise ValueError(f"tensors and producers differ: {known ^ set(declared)}")
    if not set(outputs) <= known:
        raise ValueError("an output is never produced")
