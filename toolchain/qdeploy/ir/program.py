"""The exact integer program a device runs: codes, formats, shifts and clamps.

`FixedNetwork` has the same graph shape as `Network`; its semantics are integer semantics
(docs/SPEC.md, "Arithmetic"). Arrays are read-only int64.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir.network import Tensor, check_graph


@dataclass(frozen=True, slots=True)
class FixedArray:
    """Stored codes (weights, biases): value = raw * 2**-format.fb."""

    raw: NDArray[np.int64]
    format: QFormat

    def __post_init__(self) -> None:
        frozen = np.array(self.raw, dtype=np.int64)
        frozen.flags.writeable = False
        object.__setattr__(self, "raw", frozen)
        if frozen.size and not (
            self.format.raw_min <= int(frozen.min()) and int(frozen.max()) <= self.format.raw_max
        ):
            raise ValueError(f"codes do not fit {self.format}")


@dataclass(frozen=True, slots=True)
class FixedTensor:
    """A tensor of codes, and the rounding that made them."""

    tensor: Tensor
    format: QFormat
    rounding: Rounding

    @property
    def id(self) -> str:
        """The tensor's id."""
        return self.tensor.id


@dataclass(frozen=True, slots=True)
class Accumulator:
    """Width (32 or 64) proven to hold every intermediate sum, and the proven bound on |sum|."""

    bits: int
    fb: int
    bound: int

    def __post_init__(self) -> None:
        if self.bits not in (32, 64):
            raise ValueError("an accumulator has 32 or 64 bits")
        if not 0 <= self.bound < 1 << (self.bits - 1):
            raise ValueError(f"|sum| <= {self.bound} does not fit int{self.bits}")


@dataclass(frozen=True, slots=True)
class FixedNode:
    """One operator over codes.

    `dense`: arrays weight [n_out, n_in] and bias [n_out] (bias.format.fb == accumulator.fb ==
    weight fb + input fb); the output is clip(round_shift(acc, shift, rounding of the output
    tensor), clamp_lo, clamp_hi) with shift = accumulator.fb - output fb (negative: to the left).
    `relu`: output = max(input, 0), input and output formats equal; no accumulator.
    `clip`: output = clip(input, clamp_lo, clamp_hi), formats and roundings equal.
    `leaky_relu`: array slope [n] or [1], at most 16 bits, fb >= 0; output = input where it is not
    negative, else clip(round_shift(input * slope, slope fb, rounding of the output tensor), ends
    of the format); formats equal.
    `tanh`, `sigmoid`, `softsign`, `elu`: array values [2**(bits - s) + 1], integer shift s, bits
    <= 16 those of the input; with c = input - raw_min, k = c >> s, m = c & (2**s - 1) and g =
    values fb - output fb >= 0, output = clip(round_shift(values[k] * 2**s + (values[k + 1] -
    values[k]) * m, s + g, rounding of the output tensor), ends of the output format).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    arrays: Mapping[str, FixedArray] = field(default_factory=dict)
    integers: Mapping[str, int] = field(default_factory=dict)
    """`dense`: shift, clamp_lo, clamp_hi; `clip`: clamp_lo, clamp_hi; tables: shift."""
    accumulator: Accumulator | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", MappingProxyType(dict(self.arrays)))
        object.__setattr__(self, "integers", MappingProxyType(dict(self.integers)))


@dataclass(frozen=True, slots=True)
class FixedNetwork:
    """The integer program: what Python executes, C implements and the proof is about."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: tuple[FixedTensor, ...]
    nodes: tuple[FixedNode, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What the quantiser chose that is worth a word to the user; no part of the program."""
    _by_id: Mapping[str, FixedTensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {t.id: t for t in self.tensors})
        check_graph(
            [t.id for t in self.tensors],
            self.inputs,
            self.outputs,
            [(n.name, n.inputs, n.output) for n in self.nodes],
        )

    def tensor(self, tensor_id: str) -> FixedTensor:
        """Return the tensor called `tensor_id`."""
        return self._by_id[tensor_id]

    @property
    def input(self) -> FixedTensor:
        """The only input; programs of this version have one."""
        return self.tensor(self.inputs[0])

    @property
    def output(self) -> FixedTensor:
        """The only output; programs of this version have one."""
        return self.tensor(self.outputs[0])
