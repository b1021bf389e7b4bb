"""Softmax, LogSoftmax and ArgMax at the end: cut, so that the values before them come out.

What exporters put after them to make labels and probabilities is cut along, see `follow`.
"""

from qdeploy.importer.operation import Family, Operation, Translation
from qdeploy.importer.values import Constant, Signal, Tail, Value

_FOLLOWERS = frozenset(
    {
        "ArgMax",
        "Cast",
        "Concat",
        "Dropout",
        "Flatten",
        "Identity",
        "LogSoftmax",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "ai.onnx.ml::ArrayFeatureExtractor",
        "ai.onnx.ml::Binarizer",
        "ai.onnx.ml::ZipMap",
    }
)


def _cut(op: Operation) -> Value:
    value = op.operand(0)
    if isinstance(value, Constant):
        raise op.refusal(
            f"operator {op.op_type!r} works on a constant", "simplify the model before the export"
        )
    return Tail(value, (op.step,))


def joined(op: Operation) -> Tail:
    """Return the tail that joins one tensor with affine maps of it, as p with 1 - p."""
    parts = [op.operand(i) for i in range(len(op.operands))]
    signals = [v for v in parts if isinstance(v, Signal)]
    plain = [v for v in signals if v.pending.is_identity]
    if (
        len(signals) < len(parts)
        or not plain
        or any(v.layer is not plain[0].layer for v in signals)
    ):
        raise op.refusal(
            f"operator {op.op_type!r} joins several tensors that depend on the network's input",
            "export a network in which every layer reads the one before it",
        )
    trail = dict.fromkeys(step for signal in signals for step in signal.trail)
    return Tail(plain[0], (*trail, op.step))


def follow(op: Operation, operator: str) -> Tail:
    """Return the tail that `op`, which reads a tail, makes longer."""
    tails = [v for v in op.operands if isinstance(v, Tail)]
    head = tails[0]
    if operator not in _FOLLOWERS:
        raise op.refusal(
            f"operator {head.steps[0].op_type!r} is supported only at the end of a network, "
            f"and operator {op.op_type!r} uses what it computes",
            f"end the network before node {head.steps[0].name!r}, or use Sigmoid or Relu inside it",
        )
    mixed = any(isinstance(v, Signal) for v in op.operands)
    if mixed or not all(t.before.same_values(head.before) for t in tails):
        raise op.refusal(
            f"operator {op.op_type!r} joins the end of the network with another part of it",
            "export a network whose outputs come from one tensor",
        )
    seen = dict.fromkeys(step for tail in tails for step in tail.steps)
    return Tail(head.before, (*seen, op.step))


FAMILY = Family(
    {
        "ArgMax": Translation(_cut, (1, 1), frozenset({"axis", "keepdims", "select_last_index"})),
        "LogSoftmax": Translation(_cut, (1, 1), frozenset({"axis"})),
        "Softmax": Translation(_cut, (1, 1), frozenset({"axis"})),
    }
)
