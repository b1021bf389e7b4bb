"""What a certificate says, as values. Nothing in here is believed before `kernel.check`."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from qdeploy.ir import Box, FixedNetwork, listed
from qdeploy.proof.cone import Dual
from qdeploy.proof.placing import Places

ARITHMETIC = (
    "Python's integers, numpy's integer arithmetic and this checker are correct.",
    "Sums of integers below 2^53 in magnitude are exact in double precision (IEEE 754), in any "
    "order; verify --pure forms them in integers instead.",
)
"""What every check rests on."""


def assumptions(cut: Sequence[str]) -> tuple[str, ...]:
    """Return what a certificate rests on; of a cut it speaks where something was cut."""
    reference = (
        "The reference is the ONNX graph as stored, evaluated over the real numbers on its stored "
        "parameters."
    )
    return (reference, *told_cut(cut), *_ALWAYS)


def told_cut(cut: Sequence[str]) -> tuple[str, ...]:
    """Say that the nodes `cut` are no part of the reference; nothing where there are none."""
    if not cut:
        return ()
    return (
        f"Nodes at the end of the graph are cut and not covered: {listed(cut)}. "
        "The outputs are the values before them.",
    )


_ALWAYS = (
    "The statement covers every real input inside the stated regions and no other.",
    "The device receives the input as the stated input format encodes it (rounded, saturated).",
    "The device computes the embedded integer program; compiler, core and transport are trusted "
    "as far as validation by execution has shown.",
    "The importer reads the accepted operators as the ONNX standard defines them.",
    *ARITHMETIC,
)


@dataclass(frozen=True, slots=True)
class SignedDual:
    """Proof of one side: +deviation (sign 1) or -deviation (sign -1) of one output."""

    output: int
    sign: int
    dual: Dual


@dataclass(frozen=True, slots=True)
class InnerStage:
    """Proofs of ends of ranges inside one hidden layer, over a cone of the layers before it."""

    layer: int
    sides: tuple[SignedDual, ...]
    """`output` counts y of every neuron, then the program's sums, then sums - y."""


@dataclass(frozen=True, slots=True)
class ConePart:
    """Data of the semidefinite method."""

    slacks: bool
    sides: tuple[SignedDual, ...]
    """Both signs of an output, or neither: the other methods then bound it."""
    norm: Dual | None
    """Proof of the squared 2-norm, if there is one."""
    inner: tuple[InnerStage, ...] = ()
    """Ranges that are proven first, layer after layer, and used by all that follows."""

    @property
    def duals(self) -> tuple[Dual, ...]:
        """Everything that is to be proven."""
        inner = (side.dual for stage in self.inner for side in stage.sides)
        norm = () if self.norm is None else (self.norm,)
        return (*inner, *(side.dual for side in self.sides), *norm)


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Data of the splitting method."""

    grid: int
    """Enclosures are computed on the grid 2**-grid."""
    tree: bytes
    """See `qdeploy.proof.tree`."""


@dataclass(frozen=True, slots=True)
class TunedPart:
    """Data of back-substitution with tuned slopes."""

    grid: int
    """Enclosures are computed on the grid 2**-grid."""
    tree: bytes
    """How the region is cut, all leaves being linear; see `qdeploy.proof.tree`."""
    leaves: tuple[tuple[Sequence[int], ...], ...]
    """Of every leaf the slopes of one bounding task after another; see `qdeploy.proof.tuned`."""


PartData = ConePart | SplitPart | TunedPart


@dataclass(frozen=True, slots=True)
class Part:
    """One method's bounds over a region; `data` for the methods that need some."""

    method: str
    per_output: tuple[Decimal | None, ...]
    l2: Decimal | None
    data: PartData | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """An input and the deviation it shows: what an attack found, exactly re-evaluated."""

    x: tuple[Fraction, ...]
    linf: Decimal
    """Rounded down."""


@dataclass(frozen=True, slots=True)
class RegionClaim:
    """What is claimed over one box, and by which parts."""

    box: Box
    per_output: tuple[Decimal, ...]
    linf: Decimal
    l2: Decimal
    parts: tuple[Part, ...]
    attack: Witness


class DecisionKind(StrEnum):
    """How a classifier's outputs become a decision; the lowest index wins a tie of codes."""

    ARGMAX = "argmax"
    ARGMIN = "argmin"


class DecisionStatus(StrEnum):
    """What is known about the decisions in one region."""

    UNCHANGED = "unchanged"
    """For every input of the region device and network decide alike, and for the same output."""
    ATTACKED = "attacked"
    """An input is known for which they differ, the network having one winner."""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Unchanged:
    """One output wins everywhere, in the network and on the device; how to cut to see it."""

    winner: int
    network: bytes
    """A tree over the region; see `qdeploy.proof.decision`."""
    device: bytes
    """A tree over the input codes of the region."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """An input of the region that is decided differently."""

    x: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class DecisionClaim:
    """What is claimed about decisions, region by region."""

    kind: DecisionKind
    grid: int
    """Enclosures are computed on the grid 2**-grid."""
    cases: tuple[Unchanged | Attacked | None, ...]
    """None: open."""
    pairs: tuple[tuple[Decimal, ...], ...] | None
    """For every region and i < j (0,1), (0,2), ... (1,2), ...: a bound on how far the difference
    of outputs i and j of the device lies from that of the network; None: not stated."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A claim about a model and a program, with everything needed to check it."""

    model_name: str
    model_sha256: str
    program: FixedNetwork
    regions: tuple[RegionClaim, ...]
    work: float | None = None
    """The budget of the search, in predicted seconds of one core, with which equal requests find
    this certificate again; None where the clock or a person ended the search. Proves nothing."""
    decision: DecisionClaim | None = None
    places: Places | None = None
    """Where the program's neurons stand beside the network's; None: both have equal layers."""
    cut: tuple[str, ...] = ()
    """The model's nodes behind the outputs: no part of what is claimed."""
    library_name: str | None = None
    """What the library is called that was generated from the program; None: it has no name."""
