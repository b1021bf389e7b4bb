"""What is enclosed inside f and g over a box: one `LayerRanges` a layer."""

from dataclasses import dataclass

from qdeploy.proof.dyadic import Interval


@dataclass(frozen=True, slots=True)
class Signal:
    """Behind the input or an activation: the network's a, the program's b, and e = b - a."""

    a: Interval
    b: Interval
    e: Interval


@dataclass(frozen=True, slots=True)
class LayerRanges:
    """Before an activation: y, z and d = z - y; the rounding error r; and what comes out."""

    y: Interval
    z: Interval
    d: Interval
    r: Interval
    out: Signal


@dataclass(frozen=True, slots=True)
class Ranges:
    """Enclosures for a whole pair over one box."""

    input: Signal
    layers: tuple[LayerRanges, ...]

    def signal(self, layer: int) -> Signal:
        """Return what enters `layer`."""
        return self.input if layer == 0 else self.layers[layer - 1].out
