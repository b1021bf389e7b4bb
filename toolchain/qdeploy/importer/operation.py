"""One node of the user's graph with its operands resolved, and how it is refused.

Accessors check what they return: whoever translates an operator asks for a signal, a constant
or an attribute of a kind, and the user reads which node, operator and attribute did not have it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeAlias

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.elements import first_not_finite, fits, shown
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
    """Of the operator's own domain."""
    inputs: tuple[str, ...]
    """Names of the operands as the file has them; empty: left out."""
    operands: tuple[Value | None, ...]
    types: tuple[str, ...]
    """Of the operands, see `qdeploy.importer.elements`; empty: left out."""
    output: str
    result_type: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        """How results remember this node."""
        return Step(self.op_type, self.name)

    def refusal(self, what: str, fix: str) -> InputError:
        """Return the error that says `what` about this node."""
        where = Where(self.file, f"node {self.name!r} ({self.op_type})")
        return InputError(what, where=where, fix=fix)

    def reading(self, signal: Signal) -> "Operation":
        """Return the same node with another first operand."""
        return replace(self, operands=(signal, *self.operands[1:]))

    def has(self, index: int) -> bool:
        """Whether operand `index` is given."""
        return index < len(self.operands) and self.operands[index] is not None

    def value(self, index: int) -> Signal | Constant:
        """Return operand `index`, which must be given; a signal may be one of integers."""
        value = self.operands[index] if index < len(self.operands) else None
        if value is None or isinstance(value, Tail):
            raise self.refusal(
                f"operator {self.op_type!r} lacks its input number {index}", "export the model anew"
            )
        if isinstance(value, Magnitude):
            raise self.half_a_softsign()
        return value

    def operand(self, index: int) -> Signal | Constant:
        """Return operand `index`, which must be given, and no signal of integers."""
        value = self.value(index)
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
        """Return `constant` if its elements are finite floating-point numbers."""
        self.require_reals(constant, role)
        place = first_not_finite(constant.array)
        if place is not None:
            raise InputError(
                f"parameter {constant.name!r} contains {float(constant.array[place])} "
                f"at index {list(place)}",
                where=Where(self.file, f"tensor {constant.name!r}"),
                fix="train or export the model anew; every parameter must be a finite number",
            )
        return constant

    def representable(self, constant: Constant) -> Constant:
        """Return a constant that the node makes, if its type can hold what is in it."""
        if not fits(constant.array, self.result_type):
            raise self.refusal(
                f"operator {self.op_type!r} makes a constant that {shown(self.result_type)} cannot "
                "hold: a number becomes infinity or zero",
                "correct the constants and export anew",
            )
        return constant

    def require_reals(self, constant: Constant, role: str) -> None:
        """Refuse a constant whose elements are no floating-point numbers."""
        if constant.kind is not Kind.REAL:
            raise self.refusal(
                f"{role} of operator {self.op_type!r}, {constant.name!r}, is {constant.kind.value}",
                "export it as float32",
            )

    def integers(self, index: int, role: str, fewest_axes: int = 1) -> tuple[int, ...]:
        """Return operand `index`, a list of integers no longer than a shape can be."""
        constant = self.constant(index, role)
        listed = fewest_axes <= constant.array.ndim <= 1
        if constant.kind is not Kind.INTEGER or not listed or constant.array.size > MAX_RANK:
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

    def flag(self, name: str, *, default: int = 0) -> bool:
        """Return the attribute `name`, 0 or 1."""
        value = self.integer(name, default)
        if value not in (0, 1):
            raise self.bad_attribute(name, "0 or 1")
        return value == 1

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


Translation: TypeAlias = Callable[[Operation], Value]
"""How one ONNX operator is read; its node is one that the standard allows."""


@dataclass(frozen=True, slots=True)
class Family:
    """The ONNX operators one module of `importer.operators` reads."""

    translations: Mapping[str, Translation]
