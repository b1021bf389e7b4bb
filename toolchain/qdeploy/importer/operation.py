"""One node of the user's graph with its operands resolved, and how it is refused.

Accessors check what they return: whoever translates an operator asks for a signal, a constant
or an attribute of a kind, and the user reads which node, operator and attribute did not have it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.values import Constant, Kind, Magnitude, Signal, Step, Tail, Value

MAX_RANK = 8
MAX_VECTOR = 65_535
"""Sizes are 16-bit numbers on the device (qd_model.h)."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An attribute of a type no supported operator has (a graph, a type, a sparse tensor)."""

    type_name: str


Attribute: TypeAlias = (
    int | float | bytes | tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...] | Constant
) | Unreadable


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """A node with its operands; an absent optional operand is None."""

    file: str
    op_type: str
    name: str
    opset: int
    attributes: Mapping[str, Attribute]
    operands: tuple[Value | None, ...]
    output: str

    @property
    def step(self) -> Step:
        """How results remember this node."""
        return Step(self.op_type, self.name)

    def refusal(self, what: str, fix: str) -> InputError:
        """Return the error that says `what` about this node."""
        where = Where(self.file, f"node {self.name!r} ({self.op_type})")
        return InputError(what, where=where, fix=fix)

    def has(self, index: int) -> bool:
        """Whether operand `index` is given."""
        return index < len(self.operands) and self.operands[index] is not None

    def operand(self, index: int) -> Signal | Constant:
        """Return operand `index`, which must be given."""
        value = self.operands[index] if index < len(self.operands) else None
        if value is None or isinstance(value, Tail):
            raise self.refusal(
                f"operator {self.op_type!r} lacks its input number {index}", "export the model anew"
            )
        if isinstance(value, Magnitude):
            raise self.half_a_softsign()
        if isinstance(value, Signal) and not value.real:
            raise self.refusal(
                f"operator {self.op_type!r} works on integers",
                "export the model with a floating-point input, or a Cast right after the input",
            )
        return value

    def half_a_softsign(self) -> InputError:
        """Return the error for a magnitude that is not on its way to become a Softsign."""
        return self.refusal(
            f"operator {self.op_type!r} works on the magnitude of a tensor",
            "Abs is only read as part of a Softsign: x / (c + |x|), with c > 0 and one tensor x",
        )

    def constant(self, index: int, role: str) -> Constant:
        """Return operand `index`, which must not depend on the network's input."""
        value = self.operand(index)
        if isinstance(value, Signal):
            raise self.refusal(
                f"{role} of operator {self.op_type!r} depends on the network's input",
                f"export with {role} stored as an initializer or Constant",
            )
        return value

    def reals(self, index: int, role: str) -> Constant:
        """Return operand `index`, a floating-point constant."""
        return self.real(self.constant(index, role), role)

    def real(self, constant: Constant, role: str) -> Constant:
        """Return `constant` if its elements are floating-point numbers."""
        if constant.kind is not Kind.REAL:
            raise self.refusal(
                f"{role} of operator {self.op_type!r}, {constant.name!r}, is {constant.kind.value}",
                "export it as float32",
            )
        return constant

    def integers(self, index: int, role: str) -> tuple[int, ...]:
        """Return operand `index`, a list of integers no longer than a shape can be."""
        constant = self.constant(index, role)
        if constant.kind is not Kind.INTEGER or constant.array.size > MAX_RANK:
            raise self.refusal(
                f"{role} of operator {self.op_type!r}, {constant.name!r}, "
                f"is no list of at most {MAX_RANK} integers",
                "export the model with static shapes",
            )
        return tuple(int(v) for v in constant.array.ravel())

    def integer(self, name: str, default: int | None = None) -> int:
        """Return the attribute `name`."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.bad_attribute(name, "an integer")
        return value

    def fraction(self, name: str, default: float) -> Fraction:
        """Return the attribute `name`, a finite number, exactly."""
        value = self.attributes.get(name, default)
        if not isinstance(value, float) or not math.isfinite(value):
            raise self.bad_attribute(name, "a finite floating-point number")
        return Fraction(value)

    def integer_list(self, name: str) -> tuple[int, ...] | None:
        """Return the attribute `name`, None if it is not given."""
        value = self.attributes.get(name, ())
        if name not in self.attributes:
            return None
        if not isinstance(value, tuple) or not all(isinstance(v, int) for v in value):
            raise self.bad_attribute(name, "a list of integers")
        if len(value) > MAX_RANK:
            raise self.bad_attribute(name, f"at most {MAX_RANK} integers long")
        return tuple(int(v) for v in value)

    def bad_attribute(self, name: str, expected: str) -> InputError:
        """Return the error for an attribute that is missing or of the wrong kind."""
        state = "is not" if name in self.attributes else "is missing; it must be"
        return self.refusal(
            f"attribute {name!r} of operator {self.op_type!r} {state} {expected}",
            "export the model anew with a current exporter",
        )

    def axis(self, axis: int, rank: int) -> int:
        """Return `axis` counted from the front."""
        if not -rank <= axis < rank:
            raise self.refusal(
                f"axis {axis} of operator {self.op_type!r} is outside a tensor with {rank} axes",
                "export the model anew",
            )
        return axis % rank


@dataclass(frozen=True, slots=True)
class Translation:
    """How one ONNX operator is read: what it may be given, and what it then means."""

    apply: Callable[[Operation], Value]
    operands: tuple[int, int]
    """Fewest and most inputs."""
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Family:
    """The ONNX operators one module of `importer.operators` reads."""

    translations: Mapping[str, Translation]
