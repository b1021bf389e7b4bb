"""What a certificate may take: which methods, how many tries of the attack, how many processes.

Everything follows from the sizes of network and program, the number of regions, and the request:
neither from the clock nor from what is found. So equal requests are planned alike everywhere, and
what is left out can be said before the work begins.

The budget W (`--work`, or the time limit) is what the steps of the search take. Beside it the first
look at all regions by lines takes at most 2 W, that of each other method a quarter of W (or a tenth
of a second a region, if W allows that), both attacks a quarter each, and the explanation about W:
there is none where one look by lines takes more. The check takes about as long as what it checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qdeploy.certifier.methods import ON_REQUEST, known_methods
from qdeploy.diagnostics import ExhaustedError, InputError, Where
from qdeploy.ir import Box, FixedNetwork, Network
from qdeploy.proof import kernel
from qdeploy.proof.budget import LEAST_WORK, SECONDS_PER_OPERATION
from qdeploy.proof.pair import LARGEST_IDENTITY, layer_sizes
from qdeploy.proof.ranges import operations_through

DEFAULT_WORK = 5.0
DEFAULT_MEMORY = 2 << 30

_SHARE_OF_LINES = 2.0
"""Of a region's work, that enclosing it by lines may take: without them bounds are mostly poor."""
_SHARE_OF_A_LOOK = 0.25
"""Likewise, that another method may take to see whether it is of use."""
_SHORT_LOOK = 0.1
"""Seconds, up to which a look is taken anyway as far as the region's share allows."""
_SHARE_OF_AN_ATTACK = 0.25
_SECONDS_PER_PARAMETER = 1e-9
"""Of one try of the attack."""
_SECONDS_PER_NUMBER = 2e-8
"""Of one try of the attack, for every number that network and program make of an input."""
_SECONDS_PER_INPUT = 8e-8
"""Of one try of the attack, which moves them."""
_SECONDS_PER_ROUND = 6e-5
"""Of the attack, for every layer, however few inputs are tried together."""
_ROUNDS = 20
_FEWEST_TRIES = 32
_FEWEST_TRIES_OF_MANY = 1000
"""Evaluations of the attack on one of many regions, if the work suffices for them."""

_FEWEST_TOGETHER = 48
"""Regions below are worth a claim of their own."""
_LEAST_SHARE = 0.1
"""Seconds a region that leave nothing for a search of its own."""
_REGIONS_AT_ONCE = 256

_BYTES_AT_ALL = 90 << 20
"""Of a process, its libraries included."""
_BYTES_PER_WEIGHT = 320
"""As a fraction, as codes, and as integers on the grid of a proof, in matrices and their parts."""
_BYTES_PER_FINE_WEIGHT = 600
"""More, on a grid of Python's integers."""
_BYTES_PER_NUMBER = 80 << 10
"""Of what many boxes are enclosed with at once."""
_MOST_BYTES_OF_WORK = 300 << 20
"""Of what is calculated with at once, however large the network: it is cut into tiles."""


@dataclass(frozen=True, slots=True)
class CertifyRequest:
    """How much to spend on a certificate."""

    work: float | None = None
    """Predicted seconds, on one core of the reference machine, that methods beyond the linear
    bounds may take in all. None: 5, or whatever the time limit allows."""
    time_limit: float | None = None
    """Seconds by the clock after which the best certificate so far is taken."""
    attack_budget: int = 50_000
    """Evaluations spent on looking for large deviations at most, shared by the regions."""
    seed: int = 0
    methods: frozenset[str] | None = None
    """Which of those that are not free may be tried; None: all."""
    memory: int = DEFAULT_MEMORY
    """Bytes that all processes together may take."""

    @property
    def given(self) -> float:
        """Seconds of one core that are to be spent, whichever limit says so."""
        timed = self.time_limit is not None
        work = DEFAULT_WORK if self.work is None and not timed else self.work
        return min(limit for limit in (work, self.time_limit) if limit is not None)

    @property
    def for_pieces(self) -> float:
        """Of these, what may be spent on formats that take a proof by pieces of the regions."""
        cutting = self.methods is None or self.methods & {"split", "tuned"}
        return self.given if cutting else 0.0

    @property
    def allowance(self) -> float:
        """Seconds of one core that looks and attacks are planned by."""
        return max(self.given, LEAST_WORK)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done about every region, and what is left out."""

    together: bool
    """Whether all regions are bounded together, as none could have a search of its own."""
    methods: frozenset[str]
    """That look at a region and may take steps, where each has a search of its own."""
    tries: int
    """Of the attack, for each region."""
    look: float
    """Predicted seconds of one enclosure by lines."""
    opening: float
    """Predicted seconds of all first looks at one region."""
    attack: float
    """Predicted seconds of the attack on one region."""
    jobs: int
    explained: bool
    """Whether the shares of the bound are worked out."""
    relaxed: float
    """Predicted seconds that the attack with free roundings may take, for each region."""
    notes: tuple[str, ...]
    """What is left out, in words, and what would bring it back."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Of a network, as the proof sees it."""

    widths: tuple[int, ...]
    """Of the input and of every layer."""
    weights: int
    """Entries of all matrices; an activation that stands alone has a square one."""
    parameters: int
    numbers: int
    """Inputs and neurons, of network and program."""
    nodes: int

    @staticmethod
    def of(network: Network, program: FixedNetwork | None) -> "_Sizes":
        """Count; a program that is not there yet has as many numbers as the network."""
        widths, weights = layer_sizes(network)
        own = [t.size for t in network.tensors]
        codes = own if program is None else [t.tensor.size for t in program.tensors]
        numbers = sum(own) + sum(codes)
        return _Sizes(widths, weights, network.parameter_count, numbers, len(network.nodes))

    @property
    def look(self) -> float:
        """Seconds of enclosing one region by lines."""
        return SECONDS_PER_OPERATION * kernel.analysis_work(self.widths, self.weights)

    @property
    def quick_look(self) -> float:
        """Seconds of enclosing one region by lines in 64-bit integers."""
        return SECONDS_PER_OPERATION * operations_through(self.widths)

    @property
    def look_of_many(self) -> float:
        """Seconds of enclosing one region by lines, of many that are enclosed together."""
        together = operations_through(self.widths, _REGIONS_AT_ONCE) / _REGIONS_AT_ONCE
        return SECONDS_PER_OPERATION * together

    def tries(self, seconds: float) -> int:
        """Return how many evaluations of the attack fit; 0: not even the fewest."""
        left = seconds - self.nodes * _SECONDS_PER_ROUND * _ROUNDS
        return max(int(left / self._try), 0)

    def attack_seconds(self, tries: int) -> float:
        """Return what an attack takes."""
        return tries * self._try + self.nodes * _SECONDS_PER_ROUND * _ROUNDS

    @property
    def _try(self) -> float:
        own = _SECONDS_PER_PARAMETER * self.parameters + _SECONDS_PER_NUMBER * self.numbers
        return own + _SECONDS_PER_INPUT * self.widths[0]

    @property
    def process_bytes(self) -> int:
        """What one process needs that searches."""
        fine = kernel.affords_fine_grid(operations_through(self.widths), self.weights)
        per_weight = _BYTES_PER_WEIGHT + (_BYTES_PER_FINE_WEIGHT if fine else 0)
        work = min(self.numbers * _BYTES_PER_NUMBER, _MOST_BYTES_OF_WORK)
        return _BYTES_AT_ALL + self.weights * per_weight + work


def check_size(network: Network, memory: int) -> None:
    """Refuse a network that is too large to be bounded, before anything is done with it.

    Raises:
        InputError: an activation that stands alone is too wide.
        ExhaustedError: the memory does not suffice.
    """
    before = None
    for node in network.nodes:
        size = network.tensor(node.output).size
        if node.op != "dense" and before != "dense" and size > LARGEST_IDENTITY:
            raise InputError(
                f"an activation of {size} neurons with no dense layer before it is too wide to be "
                "bounded",
                where=Where(network.source.name, node.source or node.name),
                fix=f"such an activation may have {LARGEST_IDENTITY} neurons",
            )
        before = node.op
    _jobs(_Sizes.of(network, None), memory, 1)


def make_plan(
    network: Network,
    program: FixedNetwork,
    regions: Sequence[Box],
    request: CertifyRequest,
    jobs: int = 1,
) -> Plan:
    """Plan the search for a certificate.

    Raises:
        ExhaustedError: the memory does not even suffice for intervals.
    """
    sizes = _Sizes.of(network, program)
    fitting = _jobs(sizes, request.memory, jobs)
    share = request.allowance / len(regions)
    methods, left_out = _methods(sizes, share, request)
    tries = _tries(sizes, share, len(regions), request)
    look = sizes.look
    together = _together(sizes, request.allowance, len(regions), crowded=bool(left_out))
    notes = _overlooked(request) if together else left_out
    if fitting < jobs:
        notes.append(f"{fitting} of {jobs} processes search: --memory has no room for more")
    opening = look * sum(known_methods()[name].looks for name in methods)
    explained = look <= request.allowance
    if not explained:
        notes.append(
            f"where the bound comes from is left out: it takes about {look:.2g} s, and --work "
            f"allows {request.allowance:.2g}"
        )
    return Plan(
        together=together,
        methods=methods,
        tries=tries,
        look=look,
        opening=opening,
        attack=sizes.attack_seconds(tries),
        jobs=fitting,
        explained=explained,
        relaxed=_SHARE_OF_AN_ATTACK * share,
        notes=tuple(notes),
    )


def _jobs(sizes: _Sizes, memory: int, jobs: int) -> int:
    """Return how many processes fit into memory.

    Raises:
        ExhaustedError: not even one.
    """
    needed = sizes.process_bytes
    if needed > memory:
        mebibytes = -(-needed >> 20)
        raise ExhaustedError(
            f"bounding this network takes about {mebibytes} MiB, --memory allows {memory >> 20}",
            fix=f"give --memory {mebibytes}M or more, on a machine that has it",
        )
    # One process alone computes everything itself; several work for one that waits.
    return max(1, min(jobs, memory // needed - 1))


def _together(sizes: _Sizes, work: float, regions: int, *, crowded: bool) -> bool:
    """Whether regions are so many that one look at all of them is what the work is for."""
    none_own = regions > _FEWEST_TOGETHER and work <= _LEAST_SHARE * regions
    if regions == 1 or not (none_own or crowded):
        return False
    return regions * sizes.look_of_many <= work


def _methods(
    sizes: _Sizes, share: float, request: CertifyRequest
) -> tuple[frozenset[str], list[str]]:
    """Return the methods whose looks fit into a region's share, and what is said of others."""
    wanted = request.methods
    chosen, notes = [], []
    for name, method in known_methods().items():
        asked = name not in ON_REQUEST if wanted is None else name in wanted
        if not (method.free or asked):
            continue
        price = method.looks * (sizes.look if method.free else sizes.quick_look)
        most = _SHARE_OF_LINES * share
        if not method.free:
            # Which methods go on should hardly depend on the work, which then only adds steps.
            most = max(_SHARE_OF_A_LOOK * share, min(_SHORT_LOOK, share))
        if price <= most:
            chosen.append(name)
        elif method.free or wanted is not None:
            notes.append(
                f"{_as_given(name)} bounds are left out: a look takes about {price:.2g} s a "
                f"region, and --work allows {most:.2g}"
            )
    return frozenset(chosen), notes


def _overlooked(request: CertifyRequest) -> list[str]:
    """Say which methods somebody named that do not bound all regions together."""
    named = (request.methods or frozenset()) - {"split"}
    return [
        f"{_as_given(name)} bounds are left out: --work leaves no region a search of its own, so "
        "all are bounded together, by lines"
        for name in sorted(named)
        if not known_methods()[name].free
    ]


def _as_given(name: str) -> str:
    """Return a method's name as --method has it."""
    return name.replace("_", "-")


def _tries(sizes: _Sizes, share: float, regions: int, request: CertifyRequest) -> int:
    """Return how many evaluations the attack on one region may take."""
    wanted = max(request.attack_budget // regions, _FEWEST_TRIES_OF_MANY)
    return max(_FEWEST_TRIES, min(wanted, sizes.tries(_SHARE_OF_AN_ATTACK * share)))
