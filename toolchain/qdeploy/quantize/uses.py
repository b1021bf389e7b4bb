"""What becomes of a dense layer's sums: which activation reads them, and which becomes a clamp."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from qdeploy.ir import Network, Node
from qdeploy.ops import Activation, Smooth, known_ops

CLAMPS = frozenset({"relu", "clip"})


@dataclass(frozen=True, slots=True)
class Use:
    """The relu or clip that is folded into a dense layer's clamp, and what reads the result."""

    clamp: Node | None = None
    reader: Node | None = None
    """The activation that alone reads it; None: a dense layer, several nodes, or the output."""

    @property
    def smooth(self) -> Smooth | None:
        """The curve of the reader, where that becomes a table."""
        curve = None if self.reader is None else smooth_curve(self.reader)
        return curve if isinstance(curve, Smooth) else None

    @property
    def looked_up(self) -> bool:
        """Whether the reader is something else than a clamp."""
        return self.reader is not None and self.reader.op not in CLAMPS

    def clamped(self, lo: Fraction, hi: Fraction) -> tuple[Fraction, Fraction]:
        """Return the range [lo, hi] after the clamp."""
        low, high = limits(self.clamp)
        if low is not None:
            lo, hi = max(lo, low), max(hi, low)
        return (lo, hi) if high is None else (min(lo, high), min(hi, high))

    def held(self, lo: Fraction, hi: Fraction) -> tuple[Fraction, Fraction]:
        """Return what the layer's format should hold for sums in [lo, hi].

        A leaky ReLU writes the format it reads, so its values count as well.
        """
        lo, hi = self.clamped(lo, hi)
        if self.reader is None or self.reader.op != "leaky_relu":
            return lo, hi
        slopes = self.reader.parameters["slope"].tolist()
        leaked = [s * v for s in slopes for v in (min(lo, Fraction(0)), min(hi, Fraction(0)))]
        return min(lo, *leaked), max(hi, *leaked)


def limits(clamp: Node | None) -> tuple[Fraction | None, Fraction | None]:
    """Return the least and greatest value that a relu or clip lets through."""
    if clamp is None:
        return None, None
    if clamp.op == "relu":
        return Fraction(0), None
    low, high = (clamp.parameters.get(end) for end in ("lo", "hi"))
    return None if low is None else low[0], None if high is None else high[0]


def smooth_curve(node: Node) -> Smooth | None:
    """Return the curve of a node that becomes a table."""
    op = known_ops().get(node.op)
    curve = op.curve(node) if isinstance(op, Activation) else None
    return curve if isinstance(curve, Smooth) else None


def dense_uses(network: Network) -> Mapping[str, Use]:
    """Return the use of every dense node, by name."""
    readers: dict[str, list[Node | None]] = {t.id: [] for t in network.tensors}
    for tensor in network.outputs:
        readers[tensor.id].append(None)
    for node in network.nodes:
        for source in node.inputs:
            readers[source].append(node)
    return {node.name: _use(node, readers) for node in network.nodes if node.op == "dense"}


def _use(node: Node, readers: Mapping[str, list[Node | None]]) -> Use:
    clamp = _only(readers[node.output])
    if clamp is None or clamp.op not in CLAMPS:
        return Use(None, _activation(clamp))
    return Use(clamp, _activation(_only(readers[clamp.output])))


def _only(readers: list[Node | None]) -> Node | None:
    """Return the single reader; of a value that several read, nothing may be folded."""
    return readers[0] if len(readers) == 1 else None


def _activation(node: Node | None) -> Node | None:
    return None if node is None or node.op == "dense" else node
