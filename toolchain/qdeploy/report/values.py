"""What a report tells: plain values, every number exact until it is printed.

`Statement` is the certificate in words and numbers. Its bounds come from `proof`; this module
only carries them, so that pages, terminal and build.json cannot disagree.
"""

from dataclasses import dataclass
from fractions import Fraction

from qdeploy.ir import Box, Firmware, FixedNetwork, Network, Verdict
from qdeploy.ops import known_ops


@dataclass(frozen=True, slots=True)
class Bound:
    """A proven bound on |device - network|, over one region."""

    linf: Fraction
    l2: Fraction
    per_output: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The largest deviation a search found, evaluated exactly at a real input of the region."""

    linf: Fraction
    per_output: tuple[Fraction, ...]
    x: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class RegionResult:
    """One region: what is proven there (None: nothing in time) and what was found there."""

    box: Box
    bound: Bound | None
    found: Found
    relaxed: float | None = None
    """What a search found where every rounding is free within its interval; None: not searched."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What is known about the decisions of device and network, region by region."""

    kind: str
    statuses: tuple[str, ...]
    """`unchanged` (proven), `attacked` (by an input that is decided differently) or `open`."""
    winners: tuple[int | None, ...]
    """The output that wins all over an unchanged region."""
    points: tuple[tuple[Fraction, ...] | None, ...]
    """The input that is decided differently in an attacked region."""
    pairs: tuple[tuple[Fraction, ...], ...] | None
    """For i < j, a proven bound on how far the difference of outputs i and j is off."""

    def count(self, status: str) -> int:
        """Return in how many regions this is known."""
        return self.statuses.count(status)

    @property
    def margin(self) -> Fraction | None:
        """Where the network's winner leads by more, the device decides alike; None: not stated."""
        return None if self.pairs is None else max(max(row) for row in self.pairs)


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything a certificate says, for people and for build.json."""

    regions: tuple[RegionResult, ...]
    methods: tuple[str, ...]
    assumptions: tuple[str, ...]
    certificate_sha256: str
    decided: Decided | None = None

    @property
    def bound(self) -> Bound | None:
        """The bound over all regions together; None unless every region has one."""
        bounds = [r.bound for r in self.regions if r.bound is not None]
        if len(bounds) < len(self.regions):
            return None
        return Bound(
            max(b.linf for b in bounds),
            max(b.l2 for b in bounds),
            tuple(map(max, zip(*(b.per_output for b in bounds), strict=True))),
        )

    @property
    def found(self) -> Found:
        """The worst deviation found anywhere, and the worst of each output."""
        worst = max((r.found for r in self.regions), key=lambda f: f.linf)
        columns = zip(*(r.found.per_output for r in self.regions), strict=True)
        return Found(worst.linf, tuple(map(max, columns)), worst.x)

    @property
    def relaxed(self) -> float | None:
        """The worst of the regions' `relaxed`; None unless every region has one."""
        known = [r.relaxed for r in self.regions if r.relaxed is not None]
        return max(known) if len(known) == len(self.regions) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """A share of the bound, and what it is due to."""

    layer: str
    """A node of the program, `input`, or empty for what belongs to no layer."""
    source: str
    share: float
    """Of 1."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the bound on the worst output comes from, largest share first: told, not proven."""

    region: int
    output: int
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is."""

    neurons: int
    """Of hidden layers."""
    parameters: int
    zeros: int
    """Weights that are zero."""
    macs: int

    @staticmethod
    def of(network: Network) -> "Size":
        """Count."""
        weights = [n.parameters["weight"] for n in network.nodes if n.op == "dense"]
        return Size(
            sum(len(weight) for weight in weights[:-1]),
            network.parameter_count,
            sum(int((weight == 0).sum()) for weight in weights),
            sum(known_ops()[n.op].multiplications(n) for n in network.nodes),
        )


@dataclass(frozen=True, slots=True)
class Reduced:
    """A smaller network that runs on the device in the place of the imported one."""

    request: str
    """What --prune asked for; empty: another model file was given."""
    network: Network
    rows: tuple[tuple[int, ...], ...]
    """Per hidden layer: the row of the imported network that each neuron is, or stands beside."""
    before: Size
    after: Size


@dataclass(frozen=True, slots=True)
class Material:
    """All that a build knows when its report is written."""

    qdeploy: str
    network: Network
    fixed: FixedNetwork
    program_digest: str
    statement: Statement
    firmware: Firmware | None = None
    verdict: Verdict | None = None
    origins: Origins | None = None
    reduced: Reduced | None = None
    interrupted: bool = False
    """Whether a person ended the search, so that the bound is the best until then."""
    warnings: tuple[str, ...] = ()
    """What is odd about the program or its bound, and what would help."""
