"""The C library of an integer program: tables and calls, printed; kernels, picked.

Everything a template prints is computed here and is a function of the program alone, so equal
programs give equal bytes. No text of the user's model reaches a file: what is printed are
numbers, formats, and names checked to be C identifiers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qdeploy.diagnostics import InputError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.generate._buffers import Buffer, plan
from qdeploy.generate._environment import render
from qdeploy.ir import FixedNetwork, FixedNode, FixedTensor, SourceTree, program_digest
from qdeploy.ir.network import IDENTIFIER
from qdeploy.ops import Kernel, known_ops
from qdeploy.resources import folder

ABI = 1
"""QD_ABI of firmware/include/qd_model.h, the runtime these tables are written for."""

_LARGEST_SIZE = 65_535
_ENCODING = {
    Rounding.NEAREST: ("floor(v * 2^{fb} + 1/2)", "floor(ldexp(v, QD_MODEL_IN_FB) + 0.5)"),
    Rounding.FLOOR: ("floor(v * 2^{fb})", "floor(ldexp(v, QD_MODEL_IN_FB))"),
    Rounding.TRUNC: ("v * 2^{fb} cut towards zero", "trunc(ldexp(v, QD_MODEL_IN_FB))"),
}


@dataclass(frozen=True, slots=True)
class Port:
    """The input or the output of a model, as model.h describes it."""

    ctype: str
    code_bytes: int
    size: int
    format: QFormat
    span: str
    """The range of values, exactly, in words."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One call of `qd_model_run`, and the tables it passes."""

    name: str
    op: str
    source: str
    """C expression of its input."""
    target: str
    kernel: Kernel
    values: Mapping[str, object]
    """What the operator computed for `templates/ops/<op>.c.j2`."""

    @property
    def template(self) -> str:
        """The operator's two macros, `tables` and `call`."""
        return f"ops/{self.op}.c.j2"


@dataclass(frozen=True, slots=True)
class Model:
    """Everything `model.c.j2` and `model.h.j2` print."""

    abi: int
    digest: str
    input: Port
    output: Port
    encoding: str
    """How a real input becomes a code, in words."""
    encoding_c: str
    """The same as a C expression."""
    layers: tuple[Layer, ...]
    kernels: tuple[Kernel, ...]
    headers: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    ram_bytes: int
    table_bytes: int


def library(program: FixedNetwork) -> SourceTree:
    """Return the files of a drop-in C99 library, by path relative to its folder.

    Raises:
        InputError: the program is more than the runtime can hold.
    """
    model = _model(program)
    sources = {"model.c", *(f"{kernel.name}.c" for kernel in model.kernels)}
    files = {
        "model.c": render("model.c.j2", model=model),
        "model.h": render("model.h.j2", model=model),
        "CMakeLists.txt": render("CMakeLists.txt.j2", sources=sorted(sources)),
    }
    for kernel in model.kernels:
        files[f"{kernel.name}.c"] = render("kernel.c.j2", kernel=kernel)
    return SourceTree(files | _runtime(model))


def _runtime(model: Model) -> dict[str, bytes]:
    bodies = {kernel.body for kernel in model.kernels}
    names = {"qd_model.h", "qd_fixed.h", *model.headers, *bodies}
    include = folder("firmware") / "include"
    return {name: (include / name).read_bytes() for name in names}


def _model(program: FixedNetwork) -> Model:
    _check(program)
    placed = plan(program)
    layers = tuple(_layer(node, program, placed.places) for node in program.nodes)
    kernels = {layer.kernel.name: layer.kernel for layer in layers}
    words, expression = _ENCODING[program.input.rounding]
    return Model(
        abi=ABI,
        digest=program_digest(program),
        input=_port(program.input),
        output=_port(program.output),
        encoding=words.format(fb=program.input.format.fb),
        encoding_c=expression,
        layers=layers,
        kernels=tuple(kernels[name] for name in sorted(kernels)),
        headers=tuple(sorted({kernel.header for kernel in kernels.values()})),
        buffers=placed.buffers,
        ram_bytes=sum(buffer.ram_bytes for buffer in placed.buffers),
        table_bytes=sum(_table_bytes(layer) for layer in layers),
    )


def _check(program: FixedNetwork) -> None:
    if not program.nodes:
        raise InputError(
            "the network computes nothing: its output is its input",
            fix="export a network with at least one layer",
        )
    names = [node.name for node in program.nodes]
    unfit = [name for name in names if IDENTIFIER.fullmatch(name) is None]
    if unfit or len(set(names)) != len(names):
        raise InputError(
            f"node names {unfit or names} are not distinct C identifiers",
            fix="quantise the model again; this program was altered after that",
        )
    for tensor in program.tensors:
        if tensor.tensor.size > _LARGEST_SIZE:
            raise InputError(
                f"tensor {tensor.id} has {tensor.tensor.size} elements; "
                f"the runtime indexes at most {_LARGEST_SIZE}",
                fix="use a network with smaller layers",
            )


def _layer(node: FixedNode, program: FixedNetwork, places: Mapping[str, str]) -> Layer:
    values = known_ops()[node.op].c_values(node, program)
    kernel = values["kernel"]
    if not isinstance(kernel, Kernel):
        raise TypeError(f"operator {node.op} must name its Kernel under c_values()['kernel']")
    return Layer(
        name=node.name,
        op=node.op,
        source=places[node.inputs[0]],
        target=places[node.output],
        kernel=kernel,
        values=MappingProxyType(dict(values)),
    )


def _table_bytes(layer: Layer) -> int:
    size = layer.values["table_bytes"]
    if not isinstance(size, int):
        raise TypeError(f"operator {layer.op} must state c_values()['table_bytes']")
    return size


def _port(tensor: FixedTensor) -> Port:
    fmt = tensor.format
    return Port(
        ctype=f"int{fmt.container_bits}_t",
        code_bytes=fmt.container_bits // 8,
        size=tensor.tensor.size,
        format=fmt,
        span=f"[-2^{fmt.ib - 1}, 2^{fmt.ib - 1} - 2^{-fmt.fb}]",
    )
