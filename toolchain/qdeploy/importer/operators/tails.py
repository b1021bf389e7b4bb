"""What ends a classifier: cut, so that the values before it come out.

A tail begins with a Softmax, LogSoftmax or ArgMax over all classes, or with the Concat of p and
1 - p, p being a Sigmoid's one number. What exporters put behind to make labels and probabilities
is cut along, see `follow`. Whatever else would lose a part of the outputs is refused.
"""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType

from qdeploy.diagnostics import InputError
from qdeploy.importer.elements import shown
from qdeploy.importer.operation import Family, Operation, Translation
from qdeploy.importer.values import (
    ActivationDraft,
    Constant,
    Content,
    Signal,
    Tail,
    Value,
)

_SOFTMAX_IS_FLAT = 13
"""Before this opset Softmax goes over all axes from the given one on, by default from 1 on."""

_NUMBERS = frozenset({"tensor(float)", "tensor(double)"})
_LABELS = _NUMBERS | {"tensor(int32)", "tensor(int64)", "tensor(string)"}
_KEPT: Mapping[Content, frozenset[str]] = MappingProxyType(
    {Content.SCORES: _NUMBERS, Content.LABEL: _LABELS, Content.TABLE: frozenset()}
)
"""The types to which a Cast loses nothing."""


def _softmax(op: Operation) -> Value:
    value = _signal(op)
    rank = len(value.shape)
    if op.opset < _SOFTMAX_IS_FLAT:
        first = op.axis(op.integer("axis", 1), rank)
        across = prod(value.shape[first:])
    else:
        across = value.shape[op.axis(op.integer("axis", -1), rank)]
    _require_all_classes(op, value.shape, across)
    return Tail(value, (op.step,), Content.SCORES, value.shape)


def _arg_max(op: Operation) -> Value:
    value = _signal(op)
    return Tail(value, (op.step,), Content.LABEL, _shape_of_label(op, value.shape))


def _shape_of_label(op: Operation, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of ArgMax's result; one class wins over all others."""
    axis = op.axis(op.integer("axis", 0), len(shape))
    _require_all_classes(op, shape, shape[axis])
    kept = (1,) if op.flag("keepdims", default=1) else ()
    return (*shape[:axis], *kept, *shape[axis + 1 :])


def _signal(op: Operation) -> Signal:
    value = op.operand(0)
    if isinstance(value, Constant):
        raise op.refusal(
            f"operator {op.op_type!r} works on a constant", "simplify the model before the export"
        )
    return value


def _require_all_classes(op: Operation, shape: tuple[int, ...], across: int) -> None:
    """Refuse what goes over another axis than that of the classes, or over one class alone."""
    if across == prod(shape) > 1:
        return
    what = f"goes over {across} of the {prod(shape)} elements of a tensor of shape {list(shape)}"
    if prod(shape) == 1:
        what = "goes over a single element, so its result is always the same"
    raise op.refusal(
        f"operator {op.op_type!r} {what}",
        "only where it goes over all classes, two or more, it can be cut at the end of a network: "
        f"correct its axis, or end the network before node {op.name!r}",
    )


def joined(op: Operation) -> Tail:
    """Return the tail that joins the one number p of a Sigmoid with 1 - p, in either order."""
    parts = [op.operand(i) for i in range(len(op.operands))]
    signals = [v for v in parts if isinstance(v, Signal)]
    p = next((v for v in signals if v.pending.is_identity), None)
    rest = [v for v in signals if v is not p]
    if p is None or len(parts) != 2 or len(rest) != 1 or not _is_complement(p, rest[0]):  # noqa: PLR2004  p and 1 - p
        raise op.refusal(
            f"operator {op.op_type!r} joins several tensors that depend on the network's input",
            "only p and 1 - p, p being the one output of a Sigmoid, are read as the end of a "
            "classifier; export a network in which every layer reads the one before it",
        )
    axis = op.axis(op.integer("axis"), len(p.shape))
    shape = (*p.shape[:axis], 2, *p.shape[axis + 1 :])
    return Tail(p, (*rest[0].trail, op.step), Content.SCORES, shape)


def _is_complement(p: Signal, other: Signal) -> bool:
    """Whether p is a Sigmoid's one number, and `other` is 1 - p in the same shape."""
    if not isinstance(p.layer, ActivationDraft) or p.layer.op != "sigmoid" or p.size != 1:
        return False
    scale, shift = other.pending.scale, other.pending.shift
    if other.layer is not p.layer or other.shape != p.shape or scale is None or shift is None:
        return False
    return bool(scale[0] == -1 and shift[0] == 1)


# --- what follows ----------------------------------------------------------------------------


def follow(op: Operation, operator: str, translation: Translation | None) -> Tail:
    """Return the tail that `op`, which reads a tail, makes longer; it must lose nothing."""
    tails = [v for v in op.operands if isinstance(v, Tail)]
    head = tails[0]
    if operator in _FOLLOWERS and len(tails) == 1:
        return _FOLLOWERS[operator](op, head)
    if operator in _PLUMBING and translation is not None and op.operands[0] is head:
        return _passed_on(op, head, translation)
    raise not_at_the_end(op)


def may_follow(operator: str) -> bool:
    """Whether some node of this operator may stand behind a tail."""
    return operator in _FOLLOWERS or operator in _PLUMBING


def not_at_the_end(op: Operation) -> InputError:
    """Return the error for a node that makes something else of what is to be cut."""
    first = next(v for v in op.operands if isinstance(v, Tail)).steps[0]
    return op.refusal(
        f"operator {first.op_type!r} is supported only at the end of a network, "
        f"and operator {op.op_type!r} uses what it computes",
        f"end the network before node {first.name!r}, or use Sigmoid or Relu inside it",
    )


def _longer(op: Operation, head: Tail, content: Content, shape: tuple[int, ...]) -> Tail:
    return Tail(head.before, (*head.steps, op.step), content, shape)


def _passed_on(op: Operation, head: Tail, translation: Translation) -> Tail:
    """Let a Reshape and its like move the axes of a tail as they would those of a signal."""
    if head.content is Content.TABLE:
        raise not_at_the_end(op)
    moved = translation(op.reading(Signal(head.shape, "")))
    if not isinstance(moved, Signal):
        raise not_at_the_end(op)
    return _longer(op, head, head.content, moved.shape)


def _cast(op: Operation, head: Tail) -> Tail:
    if op.result_type not in _KEPT[head.content]:
        raise op.refusal(
            f"operator 'Cast' makes {shown(op.result_type)} of {head.content.value}, "
            "which may lose a part of it",
            f"end the network before node {head.steps[0].name!r}, or cast to FLOAT",
        )
    return _longer(op, head, head.content, head.shape)


def _winner(op: Operation, head: Tail) -> Tail:
    if head.content is not Content.SCORES:
        raise not_at_the_end(op)
    return _longer(op, head, Content.LABEL, _shape_of_label(op, head.shape))


def _named(op: Operation, head: Tail) -> Tail:
    """Translate scikit-learn's list of classes, of which the winner's is taken."""
    classes = op.operands[0]
    if head.content is not Content.LABEL or not isinstance(classes, Constant):
        raise not_at_the_end(op)
    listed = classes.shape[-1:] == (prod(classes.shape),)
    _require_each_class(op, head, classes.shape[-1] if listed else 0)
    return _longer(op, head, Content.LABEL, (1, 1))


def _table(op: Operation, head: Tail) -> Tail:
    """Translate scikit-learn's table of probabilities by class."""
    if head.content is not Content.SCORES:
        raise not_at_the_end(op)
    named = [v for v in op.attributes.values() if isinstance(v, tuple)]
    _require_each_class(op, head, len(named[0]) if len(named) == 1 else 0)
    return _longer(op, head, Content.TABLE, ())


def _require_each_class(op: Operation, head: Tail, names: int) -> None:
    """Refuse a list of names that is not one name for each class."""
    classes = max(head.before.size, 2)
    if names != classes:
        raise op.refusal(
            f"operator {op.op_type!r} has {names} names for {classes} classes",
            "correct the list of classes and export anew",
        )


_FOLLOWERS: Mapping[str, Callable[[Operation, Tail], Tail]] = MappingProxyType(
    {
        "ArgMax": _winner,
        "Cast": _cast,
        "ai.onnx.ml::ArrayFeatureExtractor": _named,
        "ai.onnx.ml::ZipMap": _table,
    }
)
_PLUMBING = frozenset(
    {"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that hand on every element, in order."""

FAMILY = Family({"ArgMax": _arg_max, "LogSoftmax": _softmax, "Softmax": _softmax})
