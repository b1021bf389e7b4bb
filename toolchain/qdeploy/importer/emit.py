"""The traced path of layers as a Network: matrices multiplied out once, exactly; names given."""

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from qdeploy.diagnostics import InputError
from qdeploy.importer.modelfile import ModelFile
from qdeploy.importer.names import file_name, readable
from qdeploy.importer.shapes import MAX_ELEMENTS
from qdeploy.importer.tracing import MAX_NUMBER_BITS, Traced, longest_number
from qdeploy.importer.values import DenseDraft, Draft, Step, settle
from qdeploy.ir import FractionArray, ModelSource, Network, Node, Tensor, exact

_LAYERS = frozenset({"Gemm", "MatMul"})
_LONGEST_CUT = 200
"""Characters by which a cut node is named: as many as a certificate holds."""


def network(model: ModelFile, traced: Traced) -> Network:
    """Return the network `traced` stands for.

    Raises:
        InputError: it has no layer, or more parameters than can be deployed.
    """
    drafts = _path(settle(traced.output))
    _check_parameters(model, drafts)
    n_in = _input_size(drafts[0])
    tensors = [Tensor("input", (n_in,), readable(model.inputs[0].name))]
    nodes: list[Node] = []
    notes: list[str] = []
    count: Counter[str] = Counter()
    for draft in drafts:
        op = "dense" if isinstance(draft, DenseDraft) else draft.op
        count[op] += 1
        node = _node(model, draft, f"{op}_{count[op]}", tensors[-1].id)
        nodes.append(node)
        tensors.append(Tensor(node.output, (draft.n_out,), draft.tensor))
        if isinstance(draft, DenseDraft):
            notes.extend(_folding_note(node.name, draft.steps))
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", model.path.stem)[:100]
    source = ModelSource(file_name(model.path), model.sha256, model.producer)
    ends = (tensors[-1],)
    cut = tuple(str(step)[:_LONGEST_CUT] for step in traced.cut)
    return Network(
        name, (tensors[0],), ends, tuple(nodes), tuple(tensors), source, tuple(notes), cut
    )


def _path(top: Draft | None) -> list[Draft]:
    """Return the layers from the input up to `top`."""
    drafts: list[Draft] = []
    while top is not None:
        drafts.append(top)
        top = top.below
    return drafts[::-1]


def _input_size(first: Draft) -> int:
    return first.n_in if isinstance(first, DenseDraft) else first.n_out


def _check_parameters(model: ModelFile, drafts: list[Draft]) -> None:
    if not drafts:
        raise model.refusal(
            "the output is the input: there is no layer in between",
            "export a network with at least one dense layer",
        )
    count = sum(d.n_in * d.n_out for d in drafts if isinstance(d, DenseDraft))
    if count > MAX_ELEMENTS:
        raise model.refusal(
            f"the network has {count} weights",
            f"at most {MAX_ELEMENTS} are possible; an elementwise constant without a dense "
            "layer beside it becomes a diagonal matrix",
        )


def _node(model: ModelFile, draft: Draft, name: str, below: str) -> Node:
    source = ", ".join(str(step) for step in draft.steps)
    if not isinstance(draft, DenseDraft):
        return Node(name, draft.op, (below,), name, draft.parameters, source)
    weight, bias = _multiplied_out(draft)
    if max(longest_number(weight), longest_number(bias)) > MAX_NUMBER_BITS:
        raise _too_long(model, source)
    return Node(name, "dense", (below,), name, {"weight": weight, "bias": bias}, source)


def _too_long(model: ModelFile, source: str) -> InputError:
    return model.refusal(
        f"a folded weight needs more than {MAX_NUMBER_BITS} bits",
        "simplify the model before the export",
        source,
    )


def _multiplied_out(draft: DenseDraft) -> tuple[FractionArray, FractionArray]:
    """Return weight and bias of after(weight @ before(x)), as Fractions."""
    stored = np.eye(draft.n_in, dtype=np.int64) if draft.weight is None else draft.weight
    weight = exact(stored)
    bias = exact(np.zeros(draft.n_out, dtype=np.int64))
    if draft.before.shift is not None:
        bias = np.asarray(weight.dot(draft.before.shift), dtype=object)
    if draft.before.scale is not None:
        weight = np.asarray(weight * draft.before.scale, dtype=object)
    if draft.after.scale is not None:
        weight = np.asarray(weight * draft.after.scale[:, np.newaxis], dtype=object)
        bias = np.asarray(bias * draft.after.scale, dtype=object)
    if draft.after.shift is not None:
        bias = np.asarray(bias + draft.after.shift, dtype=object)
    for array in (weight, bias):
        array.flags.writeable = False
    return weight, bias


def _folding_note(name: str, steps: tuple[Step, ...]) -> Iterator[str]:
    """Say which elementwise nodes a layer absorbed; a bias after MatMul is not worth a word."""
    before = (None, *(step.op_type for step in steps))
    folded = [
        str(step)
        for previous, step in zip(before, steps, strict=False)
        if step.op_type not in _LAYERS and (previous, step.op_type) != ("MatMul", "Add")
    ]
    if folded:
        yield f"folded {', '.join(folded)} into {name}"
