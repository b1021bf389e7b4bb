"""Where intermediate tensors live: few static buffers, reused as soon as nobody reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qdeploy.ir import FixedNetwork


@dataclass(frozen=True, slots=True)
class Buffer:
    """A static array of `size` codes of `bits` bits.

    A buffer never changes its element type: C's aliasing rules then hold under any optimiser.
    """

    name: str
    bits: int
    size: int

    @property
    def ram_bytes(self) -> int:
        """Bytes of RAM."""
        return self.size * self.bits // 8


@dataclass(frozen=True, slots=True)
class Plan:
    """The buffers of a program, and the C expression every tensor is found at."""

    buffers: tuple[Buffer, ...]
    places: Mapping[str, str]


@dataclass(slots=True)
class _Shelf:
    """The buffers handed out so far, by number, and which of them are free."""

    bits: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    free: set[int] = field(default_factory=set)

    def take(self, bits: int, size: int) -> int:
        """Return the free buffer of this type that has to grow least, or a fresh one."""
        fitting = [n for n in sorted(self.free) if self.bits[n] == bits]
        if not fitting:
            self.bits.append(bits)
            self.sizes.append(size)
            return len(self.sizes) - 1
        best = min(fitting, key=lambda n: (max(size - self.sizes[n], 0), self.sizes[n]))
        self.free.remove(best)
        self.sizes[best] = max(self.sizes[best], size)
        return best


def plan(program: FixedNetwork, prefix: str = "") -> Plan:
    """Place every tensor: the input at `in`, the output at `out`, all others in buffers.

    The buffers' names begin with the prefix.

    A node never writes to a buffer it reads from.
    """
    caller = {program.output.id: "out", program.input.id: "in"}
    last = _last_reader(program)
    shelf = _Shelf()
    held: dict[str, int] = {}
    for index, node in enumerate(program.nodes):
        tensor = program.tensor(node.output)
        if tensor.id not in caller:
            held[tensor.id] = shelf.take(tensor.format.container_bits, tensor.tensor.size)
        finished = {t for t in (*node.inputs, node.output) if t in held and last[t] == index}
        shelf.free |= {held[t] for t in finished}
    names = [f"{prefix}buffer_{number}" for number in range(len(shelf.sizes))]
    places = caller | {tensor: names[number] for tensor, number in held.items()}
    rows = zip(names, shelf.bits, shelf.sizes, strict=True)
    return Plan(tuple(Buffer(*row) for row in rows), places)


def _last_reader(program: FixedNetwork) -> dict[str, int]:
    last = {node.output: index for index, node in enumerate(program.nodes)}
    for index, node in enumerate(program.nodes):
        last |= dict.fromkeys(node.inputs, index)
    return last
