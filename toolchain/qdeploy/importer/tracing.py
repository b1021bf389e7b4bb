"""Following the graph from its input to its outputs, node by node.

Only nodes an output needs are looked at. Work is bounded: every value has a limited size, and all
values together a limited number of elements, so a hostile file ends in an error, not a long run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from qdeploy.importer.advice import unsupported
from qdeploy.importer.declarations import check_declarations
from qdeploy.importer.elements import shown
from qdeploy.importer.modelfile import Declared, GraphNode, ModelFile, attributes
from qdeploy.importer.names import readable
from qdeploy.importer.operation import MAX_RANK, MAX_VECTOR, Operation
from qdeploy.importer.operators import translations
from qdeploy.importer.operators.tails import follow, may_follow, not_at_the_end
from qdeploy.importer.schemas import result_type
from qdeploy.importer.tensors import INTEGER_TYPES, REAL_TYPES, decode
from qdeploy.importer.values import Constant, Magnitude, Signal, Step, Tail, Value
from qdeploy.ir import FractionArray

MAX_WORK = 1 << 20
"""Elements computed while folding, all nodes together."""
MAX_LOOKED_AT = 1 << 28
"""Elements of constants that nodes read, all nodes together: seconds."""
MAX_NUMBER_BITS = 4096
"""Longest numerator or denominator of a folded constant."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """The tensor a network ends in, and the nodes that were cut after it."""

    output: Signal
    cut: tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What the tensors of the graph are, by name, as far as the nodes were followed."""

    values: dict[str, Value]
    types: dict[str, str]
    """See `qdeploy.importer.elements`."""


def trace(model: ModelFile) -> Traced:
    """Return what the outputs of `model` compute, as a path of layers.

    Raises:
        InputError: the graph does something that cannot be deployed, or contradicts itself.
    """
    known = _Known({}, {})
    _add_input(model, _only_input(model), known)
    work = looked_at = 0
    for node in live_nodes(model):
        value = _translate(model, node, known)
        work += _checked_work(model, node, value)
        looked_at += _constants_read(node, known)
        if work > MAX_WORK or looked_at > MAX_LOOKED_AT:
            raise model.refusal(
                f"folding the constants takes more than {MAX_WORK} operations",
                "simplify the model before the export",
            )
        known.values[node.outputs[0]] = value
    outputs = [_operand(model, known, name, None) for name in model.outputs]
    check_declarations(model, known.values, known.types)
    return _ending(model, outputs)


def _only_input(model: ModelFile) -> Declared:
    if len(model.inputs) == 1:
        return model.inputs[0]
    names = ", ".join(repr(readable(v.name)) for v in model.inputs[:5])
    raise model.refusal(
        f"the network has {len(model.inputs)} inputs" + (f": {names}" if names else ""),
        "export a network with one input tensor; join several before the export",
    )


def _add_input(model: ModelFile, declared: Declared, known: _Known) -> None:
    """Add the input with its batch axis, if it has one, at 1."""
    spot = f"input {readable(declared.name)!r}"
    real = declared.type in REAL_TYPES
    if not real and declared.type not in INTEGER_TYPES:
        raise model.refusal(
            f"the input has elements of type {shown(declared.type) or 'unknown'}",
            "export with a float32 input",
            spot,
        )
    shape = _input_shape(model, declared, spot)
    if not 1 <= len(shape) <= MAX_RANK or prod(shape) > MAX_VECTOR:
        raise model.refusal(
            f"the input has {len(shape)} axes and {prod(shape)} elements",
            f"1 to {MAX_RANK} axes and at most {MAX_VECTOR} elements are possible",
            spot,
        )
    known.values[declared.name] = Signal(shape, readable(declared.name), real=real)
    known.types[declared.name] = declared.type


def _input_shape(model: ModelFile, declared: Declared, spot: str) -> tuple[int, ...]:
    if declared.extents is None:
        raise model.refusal("the input has no shape", "export with a static input shape", spot)
    extents = list(declared.extents)
    if len(extents) > 1 and isinstance(extents[0], str):
        extents[0] = 1
    for position, extent in enumerate(extents):
        if isinstance(extent, str):
            raise model.refusal(
                f"axis {position} of the input has no fixed extent"
                + (f" ({extent!r})" if extent else ""),
                "only the first axis, the batch, may be open: export the others with numbers",
                spot,
            )
    return tuple(int(e) for e in extents)


def live_nodes(model: ModelFile) -> Iterator[GraphNode]:
    """Yield the nodes the outputs need, each after the nodes it reads from."""
    producers = {name: node for node in model.nodes for name in node.outputs if name}
    done: set[int] = set()
    open_nodes: set[int] = set()
    stack = [producers[name] for name in reversed(model.outputs) if name in producers]
    while stack:
        node = stack[-1]
        waiting = [
            producers[name]
            for name in node.inputs
            if name in producers and id(producers[name]) not in done
        ]
        if id(node) in done or not waiting:
            stack.pop()
            if id(node) not in done:
                done.add(id(node))
                yield node
            continue
        if id(node) in open_nodes:
            raise model.refusal(
                f"the graph runs in a circle through node {node.name!r}",
                "check the model with onnx.checker and export it anew",
            )
        open_nodes.add(id(node))
        stack.extend(waiting)


def _operand(model: ModelFile, known: _Known, name: str, reader: GraphNode | None) -> Value | None:
    """Return the value called `name`; parameters are decoded when first read."""
    if not name and reader is not None:
        return None
    if name not in known.values and name in model.parameters:
        stored = model.parameters[name]
        known.values[name] = decode(stored, readable(name))
        known.types[name] = stored.type
    if name in known.values:
        return known.values[name]
    further = any(name in node.outputs for node in model.nodes)
    raise model.refusal(
        f"{readable(name)!r} is " + ("a further output of its node" if further else "never made"),
        "only the first output of a node can be used"
        if further
        else "check the model with onnx.checker and export it anew",
        reader.spot if reader else f"output {readable(name)!r}",
    )


def _translate(model: ModelFile, node: GraphNode, known: _Known) -> Value:
    operands = tuple(_operand(model, known, name, node) for name in node.inputs)
    domain, _, shown_type = node.operator.rpartition("::")
    bare = Operation(
        model.file,
        shown_type,
        node.name,
        model.opsets.get(domain, 0),
        node.inputs,
        operands,
        tuple(known.types.get(name, "") for name in node.inputs),
        readable(node.outputs[0]),
    )
    tail = any(isinstance(v, Tail) for v in operands)
    translation = translations().get(node.operator)
    if tail and not may_follow(node.operator):
        raise not_at_the_end(bare)
    if translation is None and not tail:
        raise unsupported(bare, node.operator)
    result = result_type(bare, node.operator, model.opsets, node.proto)
    known.types[node.outputs[0]] = result
    op = replace(bare, result_type=result, attributes=attributes(model, node))
    if tail or translation is None:
        return follow(op, node.operator, translation)
    return translation(op)


def _constants_read(node: GraphNode, known: _Known) -> int:
    """Return how many elements of constants the node may have looked at."""
    read = (known.values.get(name) for name in node.inputs)
    return sum(value.array.size for value in read if isinstance(value, Constant))


def _checked_work(model: ModelFile, node: GraphNode, value: Value) -> int:
    """Return the number of elements in `value`, within the limits of what can be stored."""
    if isinstance(value, Tail):
        return 1
    if isinstance(value, Signal) and value.size > MAX_VECTOR:
        raise model.refusal(
            f"a tensor of {value.size} elements is too large",
            f"at most {MAX_VECTOR} elements fit the 16-bit sizes of the device",
            node.spot,
        )
    arrays = _folded_arrays(value)
    if any(longest_number(array) > MAX_NUMBER_BITS for array in arrays):
        raise model.refusal(
            f"a folded constant needs more than {MAX_NUMBER_BITS} bits",
            "simplify the model before the export",
            node.spot,
        )
    return 1 + sum(array.size for array in arrays)


def _folded_arrays(value: Signal | Constant | Magnitude) -> list[FractionArray]:
    if isinstance(value, Magnitude):
        return [] if value.shift is None else [value.shift]
    if isinstance(value, Signal):
        return [a for a in (value.pending.scale, value.pending.shift) if a is not None]
    return [value.array] if value.array.dtype == object else []


def longest_number(array: FractionArray) -> int:
    """Return the bits of the longest numerator or denominator in `array`."""
    values: list[Fraction] = array.ravel().tolist()
    return max(
        (max(v.numerator.bit_length(), v.denominator.bit_length()) for v in values), default=0
    )


def _ending(model: ModelFile, outputs: list[Value | None]) -> Traced:
    ends: list[Signal] = []
    cut: dict[Step, None] = {}
    for name, value in zip(model.outputs, outputs, strict=True):
        if isinstance(value, Tail):
            cut.update(dict.fromkeys(value.steps))
        end = value.before if isinstance(value, Tail) else value
        if isinstance(end, Magnitude):
            raise model.refusal(
                f"the output {readable(name)!r} is a magnitude",
                "Abs is only read as part of a Softsign, x / (1 + |x|)",
            )
        if not isinstance(end, Signal):
            raise model.refusal(
                f"the output {readable(name)!r} does not depend on the input",
                "export the network's result as its output",
            )
        ends.append(end)
    if not all(end.same_values(ends[0]) for end in ends):
        raise model.refusal(
            f"the outputs {', '.join(repr(readable(n)) for n in model.outputs)} "
            "come from different tensors",
            "export a network with one output tensor",
        )
    return Traced(ends[0], tuple(cut))
