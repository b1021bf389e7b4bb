"""What a user asks of the quantiser: formats, rounding, and where ranges are to be proven."""

from dataclasses import dataclass
from enum import StrEnum

from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir.region import Box


class Activations(StrEnum):
    """How activation formats are chosen when the user names none."""

    AUTO = "auto"
    """`bits` wide, IB the smallest that proven ranges over the regions allow."""
    EXACT = "exact"
    """The format that loses no bit for inputs in the regions."""


class Ranges(StrEnum):
    """What automatic activation formats have to hold."""

    AUTO = "auto"
    """What is proven, unless that leaves hardly a step for what samples show, and the bound on the
    deviation is wider than the output."""
    PROVEN = "proven"
    """All that any input of the regions can reach, as far as it can be proven."""
    SAMPLED = "sampled"
    """Twice what inputs of the regions were seen to reach; what lies beyond saturates."""


@dataclass(frozen=True, slots=True)
class QuantizeRequest:
    """Formats by role; None means `bits` wide with the smallest IB that fits."""

    regions: tuple[Box, ...]
    """Boxes the formats are chosen for (hull); never empty."""
    bits: int = 16
    weights: QFormat | None = None
    biases: QFormat | None = None
    """None: biases are stored at the accumulator's FB, rounded there."""
    activations: QFormat | Activations = Activations.AUTO
    input_format: QFormat | None = None
    rounding: Rounding = Rounding.NEAREST
    """Inputs and activations."""
    quantizer: Rounding = Rounding.NEAREST
    """Weights and biases."""
    ranges: Ranges = Ranges.AUTO
    work: float = 5.0
    """Predicted seconds of the search for a proof; that of ranges takes 2.5 times as long at most,
    and a quarter for pieces of the regions."""
