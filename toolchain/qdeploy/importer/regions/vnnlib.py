"""The input constraints of a VNN-LIB property as boxes; constraints on outputs are left out.

Leaving a constraint out can only enlarge the region, so what is proven for the boxes holds for
the property's inputs. Strict inequalities are read as non-strict for the same reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from pathlib import Path
from typing import TypeAlias

from qdeploy.diagnostics import InputError, Where
from qdeploy.importer.regions.numbers import REGION_FILE, check_sides, decimal
from qdeploy.ir import Box
from qdeploy.reading import read_text

MAX_REGIONS = 256
_MAX_DEPTH = 16
_TOKEN = re.compile(r"[()]|[^\s()]+")
_VARIABLE = re.compile(r"([XY])_(\d{1,6})", re.ASCII)
_FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "=": "=", "==": "=="}

Expression: TypeAlias = "str | list[Expression]"


@dataclass(frozen=True, slots=True)
class _Limits:
    """lo <= X_i and X_i <= hi for the inputs that are mentioned."""

    lo: dict[int, Fraction]
    hi: dict[int, Fraction]

    def both(self, other: "_Limits") -> "_Limits":
        """Return the intersection."""
        return _merged([self, other])

    @property
    def is_empty(self) -> bool:
        """Whether no input satisfies it."""
        return any(index in self.hi and low > self.hi[index] for index, low in self.lo.items())


_FREE = _Limits({}, {})


def read(path: Path, n_inputs: int) -> tuple[Box, ...]:
    """Return one box for each alternative the property's inputs have."""
    where = Where(path.name)
    groups: list[list[_Limits]] = []
    declared: set[int] = set()
    left_out = False
    for statement in _parsed(read_text(path, REGION_FILE), where):
        match statement:
            case ["declare-const", str(name), "Real"]:
                declared |= _input_index(name, where)
            case ["assert", condition]:
                left_out |= _mentions_output(condition)
                groups.append(_alternatives(condition, where))
            case _:
                raise _unreadable(statement, where)
    _check_inputs(declared, n_inputs, where)
    possible = [a for a in _conjunction(groups, where) if not a.is_empty]
    if not possible:
        raise InputError(
            "no input satisfies the constraints", where=where, fix="check the bounds on X"
        )
    note = " (constraints on outputs left out)" if left_out else ""
    return tuple(
        _box(limits, n_inputs, where, f"{path.name}{_ordinal(i, len(possible))}{note}")
        for i, limits in enumerate(possible)
    )


def _ordinal(index: int, count: int) -> str:
    return f"[{index}]" if count > 1 else ""


def _parsed(text: str, where: Where) -> list[Expression]:
    """Return the parenthesised expressions of the file; `;` starts a comment."""
    stack: list[list[Expression]] = [[]]
    for token in _tokens(text):
        if token == "(":
            stack.append([])
        elif token != ")":
            stack[-1].append(token)
        elif len(stack) > 1:
            done = stack.pop()
            stack[-1].append(done)
        else:
            raise _unbalanced(where)
        if len(stack) > _MAX_DEPTH:
            raise InputError(
                f"the constraints are nested more than {_MAX_DEPTH} deep",
                where=where,
                fix="write the property without nested conditions",
            )
    if len(stack) != 1:
        raise _unbalanced(where)
    return stack[0]


def _tokens(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from _TOKEN.findall(line.partition(";")[0])


def _unbalanced(where: Where) -> InputError:
    return InputError(
        "the parentheses do not match", where=where, fix="check that the file is complete"
    )


def _unreadable(expression: Expression, where: Where) -> InputError:
    return InputError(
        f"this is no bound on one input: {_spelled(expression)}",
        where=where,
        fix="write assertions like (assert (<= X_0 0.5)), joined by 'and' and 'or'",
    )


def _spelled(expression: Expression) -> str:
    if isinstance(expression, str):
        return expression[:60]
    return f"({' '.join(_spelled(e) for e in expression[:6])})"[:120]


def _input_index(name: str, where: Where) -> set[int]:
    match = _VARIABLE.fullmatch(name)
    if match is None:
        raise InputError(
            f"the variable {name[:60]!r} is neither an input X_i nor an output Y_i",
            where=where,
            fix="name the variables X_0, X_1, ... and Y_0, Y_1, ...",
        )
    return {int(match[2])} if match[1] == "X" else set()


def _check_inputs(declared: set[int], n_inputs: int, where: Where) -> None:
    if declared != set(range(n_inputs)):
        raise InputError(
            f"the property declares {len(declared)} inputs, the network has {n_inputs}",
            where=where,
            fix=f"declare X_0 to X_{n_inputs - 1}",
        )


def _mentions_output(expression: Expression) -> bool:
    if isinstance(expression, str):
        return expression.startswith("Y_")
    return any(_mentions_output(e) for e in expression)


def _mentions_input(expression: Expression) -> bool:
    if isinstance(expression, str):
        return expression.startswith("X_")
    return any(_mentions_input(e) for e in expression)


def _alternatives(condition: Expression, where: Where) -> list[_Limits]:
    """Return the limits one of which holds wherever `condition` holds."""
    if _mentions_output(condition) and not _mentions_input(condition):
        return [_FREE]
    match condition:
        case ["and", *parts]:
            return _conjunction([_alternatives(p, where) for p in parts], where)
        case ["or", *parts] if parts:
            return _few([limits for p in parts for limits in _alternatives(p, where)], where)
        case [str(relation), left, right] if relation in _FLIPPED:
            return [_bound(relation, left, right, condition, where)]
        case _:
            raise _unreadable(condition, where)


def _conjunction(groups: list[list[_Limits]], where: Where) -> list[_Limits]:
    """Return the intersections; what has no alternative is merged in one pass, at the end."""
    certain = _merged([group[0] for group in groups if len(group) == 1])
    combined = [_FREE]
    for group in groups:
        if len(group) > 1:
            pairs = islice(product(combined, group), MAX_REGIONS + 1)
            combined = _few([a.both(b) for a, b in pairs], where)
    check_sides(len(combined), max(len(certain.lo), 1), where)
    return [alternative.both(certain) for alternative in combined]


def _merged(parts: list[_Limits]) -> _Limits:
    lo: dict[int, Fraction] = {}
    hi: dict[int, Fraction] = {}
    for part in parts:
        for index, value in part.lo.items():
            lo[index] = max(value, lo.get(index, value))
        for index, value in part.hi.items():
            hi[index] = min(value, hi.get(index, value))
    return _Limits(lo, hi)


def _few(alternatives: list[_Limits], where: Where) -> list[_Limits]:
    if len(alternatives) > MAX_REGIONS:
        raise InputError(
            f"the constraints allow more than {MAX_REGIONS} boxes",
            where=where,
            fix="split the property into several files",
        )
    return alternatives


def _bound(
    relation: str, left: Expression, right: Expression, whole: Expression, where: Where
) -> _Limits:
    """Return the limits of `left relation right`, one of which is an input."""
    if isinstance(right, str) and right.startswith("X_"):
        left, right, relation = right, left, _FLIPPED[relation]
    if not (isinstance(left, str) and left.startswith("X_")):
        raise _unreadable(whole, where)
    (index,) = _input_index(left, where)
    value = _number(right, whole, where)
    lo = {} if relation.startswith("<") else {index: value}
    hi = {} if relation.startswith(">") else {index: value}
    return _Limits(lo, hi)


def _number(expression: Expression, whole: Expression, where: Where) -> Fraction:
    match expression:
        case str(text) if not text.startswith("X_"):
            return decimal(text, where)
        case ["-", str(text)]:
            return -decimal(text, where)
        case _:
            raise _unreadable(whole, where)


def _box(limits: _Limits, n_inputs: int, where: Where, name: str) -> Box:
    for index in range(n_inputs):
        for side, known in (("lower", limits.lo), ("upper", limits.hi)):
            if index not in known:
                raise InputError(
                    f"input X_{index} has no {side} bound",
                    where=where,
                    fix=f"add an assertion that bounds X_{index} from both sides",
                )
    inputs = range(n_inputs)
    return Box.enclosing(
        tuple(limits.lo[i] for i in inputs), tuple(limits.hi[i] for i in inputs), name
    )
