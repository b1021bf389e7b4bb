"""What a certificate says, as values. Nothing in here is believed before `kernel.check`."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from qdeploy.ir import Box, FixedNetwork
from qdeploy.proof.cone import Dual

ASSUMPTIONS = (
    "The reference is the ONNX graph as stored, evaluated over the real numbers on its stored "
    "parameters; values behind a cut Softmax, LogSoftmax or ArgMax tail are not covered.",
    "The statement covers every real input inside the stated regions and no other.",
    "The device receives the input as the stated input format encodes it (rounded, saturated).",
    "The device computes the embedded integer program; compiler, core and transport are trusted "
    "as far as validation by execution has shown.",
    "The importer reads the accepted operators as the ONNX standard defines them.",
    "Python's integers, numpy's integer arithmetic and this checker are correct.",
)


@dataclass(frozen=True, slots=True)
class SignedDual:
    """Proof of one side: +deviation (sign 1) or -deviation (sign -1) of one output."""

    output: int
    sign: int
    dual: Dual


@dataclass(frozen=True, slots=True)
class ConePart:
    """Data of the semidefinite method."""

    slacks: bool
    sides: tuple[SignedDual, ...]
    """Both signs of an output, or neither: the other methods then bound it."""
    norm: Dual | None
    """Proof of the squared 2-norm, if there is one."""


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Data of the splitting method."""

    grid: int
    """Enclosures are computed on the grid 2**-grid."""
    tree: bytes
    """See `qdeploy.proof.tree`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One method's bounds over a region; `data` for the methods that need some."""

    method: str
    per_output: tuple[Decimal | None, ...]
    l2: Decimal | None
    data: ConePart | SplitPart | None = None


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
