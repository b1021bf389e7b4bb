"""What is enclosed inside f and g over a box: one `LayerRanges` a layer."""

from dataclasses import dataclass

from qdeploy.proof.dyadic import Interval


@dataclass(frozen=True, slots=True)
class Signal:
    """Behind the input or an activation: the network's a, the program's b, and e = b - a."""

    a: Interval
    b: Interval
    e: Interval

    def some(self, boxes: slice) -> "Signal":
        """Return the enclosures over some boxes."""
        return Signal(self.a.some(boxes), self.b.some(boxes), self.e.some(boxes))

    def row(self, index: int) -> "Signal":
        """Return the enclosures over one box."""
        return Signal(self.a.row(index), self.b.row(index), self.e.row(index))


@dataclass(frozen=True, slots=True)
class LayerRanges:
    """What happens in one layer.

    `sums` are the program's sums, and `before` the error of rounding them to the codes that an
    activation looks up (none: zero). Before the activation stand y and, of the program, z, with
    d = z - y; behind it they differ by `delta`, and by the error r of what the program emits.
    """

    sums: Interval
    before: Interval
    y: Interval
    z: Interval
    d: Interval
    delta: Interval
    r: Interval
    out: Signal

    def some(self, boxes: slice) -> "LayerRanges":
        """Return the enclosures over some boxes."""
        return LayerRanges(
            self.sums.some(boxes),
            self.before.some(boxes),
            self.y.some(boxes),
            self.z.some(boxes),
            self.d.some(boxes),
            self.delta.some(boxes),
            self.r.some(boxes),
            self.out.some(boxes),
        )

    def row(self, index: int) -> "LayerRanges":
        """Return the enclosures over one box."""
        return LayerRanges(
            self.sums.row(index),
            self.before.row(index),
            self.y.row(index),
            self.z.row(index),
            self.d.row(index),
            self.delta.row(index),
            self.r.row(index),
            self.out.row(index),
        )


@dataclass(frozen=True, slots=True)
class Ranges:
    """Enclosures for a whole pair over boxes [boxes, n], or over one box after `row`."""

    input: Signal
    layers: tuple[LayerRanges, ...]

    def signal(self, layer: int) -> Signal:
        """Return what enters `layer`."""
        return self.input if layer == 0 else self.layers[layer - 1].out

    def some(self, boxes: slice) -> "Ranges":
        """Return the enclosures over some boxes."""
        return Ranges(self.input.some(boxes), tuple(layer.some(boxes) for layer in self.layers))

    def row(self, index: int) -> "Ranges":
        """Return the enclosures over one box."""
        return Ranges(self.input.row(index), tuple(layer.row(index) for layer in self.layers))
