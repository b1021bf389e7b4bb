"""The C library of an integer program: tables and calls, printed; kernels, picked.

Everything a template prints is computed here and is a function of the program alone, so equal
programs give equal bytes. No text of the user's model reaches a file: what is printed are
numbers, formats, and names checked to be C identifiers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from qdeploy.diagnostics import InputError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.generate._buffers import Buffer, plan
from qdeploy.generate._environment import render
from qdeploy.ir import FixedNetwork, FixedNode, FixedTensor, SourceTree, program_digest
from qdeploy.ir.naming import name_fault
from qdeploy.ir.network import IDENTIFIER
from qdeploy.ops import Kernel, known_ops
from qdeploy.resources import folder

ABI = 1
"""QD_ABI of firmware/include/qd_model.h, the runtime these tables are written for."""

_LARGEST_SIZE = 65_535
_ENCODING = {
    Rounding.NEAREST: ("floor(v * 2^{fb} + 1/2)", "floor(ldexp(v, {macro}_IN_FB) + 0.5)"),
    Rounding.FLOOR: ("floor(v * 2^{fb})", "floor(ldexp(v, {macro}_IN_FB))"),
    Rounding.TRUNC: ("v * 2^{fb} cut towards zero", "trunc(ldexp(v, {macro}_IN_FB))"),
}


def file_name(library: str | None) -> str:
    """Return what header and source of a library are called, without suffix."""
    return library or "model"


@dataclass(frozen=True, slots=True)
class Names:
    """What the files, macros and symbols of a library are called."""

    name: str | None
    """As the user chose it; None: `model`, and `qd_model` in C."""
    digest: str

    @property
    def file(self) -> str:
        """Of the header and the source, without suffix."""
        return file_name(self.name)

    @property
    def prefix(self) -> str:
        """Of function and types."""
        return self.name or "qd_model"

    @property
    def macro(self) -> str:
        """Of macros."""
        return self.prefix.upper()

    @property
    def kernel(self) -> str:
        """Of kernels."""
        return self.name or "qd"

    @property
    def static(self) -> str:
        """Of what no other file sees."""
        return f"{self.name}_" if self.name else ""

    @property
    def target(self) -> str:
        """For CMake."""
        return self.prefix

    @property
    def info(self) -> str:
        """The object that describes the model."""
        return f"{self.kernel}_model"

    @property
    def symbol(self) -> str:
        """What the linker knows that object by."""
        return f"{self.info}_{self.digest}"

    @property
    def run(self) -> str:
        """What the linker knows the function by."""
        return f"{self.prefix}_run_{self.digest}"

    @property
    def guard(self) -> str:
        """Of the header; another program's header of this name is no repetition of it."""
        return f"QD_GENERATED_{self.file}_{self.digest}_H"

    @property
    def indent(self) -> str:
        """Blanks up to the last branch of how an input becomes a code."""
        return " " * len(f"                    : code > {self.macro}_IN_MAX ")

    @property
    def meeting(self) -> str:
        """What a compiler is to say where two libraries have these names."""
        if self.name is None:
            return "two libraries without a name meet here: build each with a --name of its own"
        return (
            f"two libraries called {self.name} (or equal but for case) meet here: build one of "
            "them with another --name"
        )


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
    names: Names
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


def library(program: FixedNetwork, name: str | None = None) -> SourceTree:
    """Return the files of a drop-in C99 library, by path relative to its folder.

    With a name, nothing in it that others could see is called as in a library of another name.

    Raises:
        InputError: the program is more than the runtime can hold.
        ValueError: no library can have this name.
    """
    if name is not None and name_fault(name):
        raise ValueError(f"the name {name_fault(name)}")
    model = _model(program, name)
    names = model.names
    main = f"{names.file}.c"
    sources = {main, *(f"{kernel.name}.c" for kernel in model.kernels)}
    files = {
        main: render("model.c.j2", model=model, names=names),
        f"{names.file}.h": render("model.h.j2", model=model, names=names),
        "CMakeLists.txt": render("CMakeLists.txt.j2", sources=sorted(sources), names=names),
    }
    for kernel in model.kernels:
        files[f"{kernel.name}.c"] = render("kernel.c.j2", kernel=kernel)
    return SourceTree(files | _runtime(model))


def _runtime(model: Model) -> dict[str, bytes]:
    bodies = {kernel.body for kernel in model.kernels}
    names = {"qd_model.h", "qd_fixed.h", *model.headers, *bodies}
    include = folder("firmware") / "include"
    return {name: (include / name).read_bytes() for name in names}


def _model(program: FixedNetwork, name: str | None) -> Model:
    _check(program)
    names = Names(name, program_digest(program))
    placed = plan(program, names.static)
    layers = tuple(_layer(node, program, placed.places, names) for node in program.nodes)
    kernels = {layer.kernel.name: layer.kernel for layer in layers}
    words, expression = _ENCODING[program.input.rounding]
    return Model(
        abi=ABI,
        names=names,
        digest=names.digest,
        input=_port(program.input),
        output=_port(program.output),
        encoding=words.format(fb=program.input.format.fb),
        encoding_c=expression.format(macro=names.macro),
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


def _layer(
    node: FixedNode, program: FixedNetwork, places: Mapping[str, str], names: Names
) -> Layer:
    values = known_ops()[node.op].c_values(node, program)
    kernel = values["kernel"]
    if not isinstance(kernel, Kernel):
        raise TypeError(f"operator {node.op} must name its Kernel under c_values()['kernel']")
    kernel = replace(kernel, prefix=names.kernel)
    return Layer(
        name=f"{names.static}{node.name}",
        op=node.op,
        source=places[node.inputs[0]],
        target=places[node.output],
        kernel=kernel,
        values=MappingProxyType({**values, "kernel": kernel}),
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
