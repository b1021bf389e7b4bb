"""The exact check: from a network and a certificate to a `Proven`, or a refusal that says why.

Everything is recomputed from the network, the program, the boxes and the multipliers. A stated
number must equal the recomputed one; it may be neither smaller nor larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np

from qdeploy import ops
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, FixedNetwork, Network, exact
from qdeploy.proof import cone, decision, paper, tree, tuned
from qdeploy.proof.budget import DEFAULT_OPERATIONS, Budget
from qdeploy.proof.certificate import (
    Attacked,
    Certificate,
    ConePart,
    DecisionStatus,
    InnerStage,
    Part,
    PartData,
    RegionClaim,
    SignedDual,
    SplitPart,
    TunedPart,
    Witness,
)
from qdeploy.proof.cone import Cone, Dual, DualError
from qdeploy.proof.dyadic import NARROW_GRIDS, Interval, Raw, two_to, widest
from qdeploy.proof.enclosure import Ranges
from qdeploy.proof.pair import (
    MismatchError,
    Pair,
    Pairs,
    layer_sizes,
    outputs_at,
    sharp_grid,
)
from qdeploy.proof.placing import side_by_side
from qdeploy.proof.ranges import (
    analyse,
    analysis_operations,
    boxes_on_grid,
    operations_through,
    recursion_bound,
    reference_error,
    step_operations,
)
from qdeploy.proof.rounded import (
    decimal_above,
    decimal_below,
    quotient_above,
    root_above,
    sum_of_squares,
)
from qdeploy.proof.sides import LARGEST_CONE, require_size, side_bound, tightened
from qdeploy.proof.tree import TreeError
from qdeploy.proof.tuned import TuningError

LARGEST_ANALYSIS = 30_000_000_000
"""Operations of one analysis with linear bounds; minutes."""
LARGEST_FINE_ANALYSIS = 20_000_000
"""Operations beyond which 64-bit integers have to do: half a second or so."""
LARGEST_FINE_WEIGHTS = 100_000
"""Weights beyond which they have to: Python's integers take ten times the memory."""
_FINE_FACTOR = 20
"""How much slower Python's integers are."""
_FINE_FACTOR_OF_STEPS = 3
"""Likewise of what is done once for many of them."""
_OPERATIONS_PER_WEIGHT = 40
"""Of looking at a network by intervals, or of putting it on a grid."""
_OPERATIONS_PER_NEURON = 100_000
"""Of evaluating a network without rounding: an enclosed exponential."""
_OPERATIONS_PER_PRODUCT = 50
"""Of Python's integers, as in the product of a factor with itself."""
_BATCH = 64
"""Regions that are analysed together."""
_BATCH_NUMBERS = 1 << 18
"""Neurons times regions that are analysed together."""
LARGEST_PROOFS = 10_000_000_000
"""Sum of the cubes of the factors of one part, of 370 with 300 rows each; half an hour or more."""
LARGEST_REGIONS = 4096
_POINTS = 64
"""Inputs evaluated together without rounding."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A bound this kernel has proven over one box. No other module makes one."""

    box: Box
    per_output: tuple[Decimal, ...]
    linf: Decimal
    l2: Decimal
    decision: DecisionStatus | None = None
    """None where the certificate says nothing about decisions."""


class Batch:
    """Some regions of one pair, enclosed together when that is first needed."""

    def __init__(self, pair: Pair, boxes: Sequence[Box]) -> None:
        self.pair = pair
        self.boxes = tuple(boxes)

    @cached_property
    def intervals(self) -> Ranges:
        """Interval enclosures, [regions, n]."""
        return analyse(self.pair, boxes_on_grid(self.boxes, self.pair.grid), use_linear=False)

    @cached_property
    def tight(self) -> Ranges:
        """Enclosures tightened by linear back-substitution, [regions, n]."""
        return analyse(self.pair, boxes_on_grid(self.boxes, self.pair.grid), use_linear=True)


class Analysis:
    """Everything the methods share about one pair over one box, computed when first needed."""

    def __init__(self, pairs: Pairs, batch: Batch, index: int) -> None:
        self.pairs = pairs
        self.pair = batch.pair
        self.box = batch.boxes[index]
        self._batch = batch
        self._own = slice(index, index + 1)
        self._cones: dict[tuple[bool, tuple[InnerStage, ...]], Cone] = {}

    @property
    def network(self) -> Network:
        """The trained network."""
        return self.pairs.network

    @property
    def program(self) -> FixedNetwork:
        """The integer program."""
        return self.pairs.program

    @cached_property
    def intervals(self) -> Ranges:
        """Interval enclosures, [1, n]."""
        return self._batch.intervals.some(self._own)

    @cached_property
    def tight(self) -> Ranges:
        """Enclosures tightened by linear back-substitution, [1, n]."""
        return self._batch.tight.some(self._own)

    @cached_property
    def reference(self) -> Raw:
        """Error per output of having the network's parameters on the proof's grid."""
        return np.asarray(reference_error(self.pair, self.intervals)[0])

    @cached_property
    def paper_cone(self) -> Cone:
        """The paper's facts; enclosures by intervals only scale its variables."""
        return paper.build(self.pair, self.intervals.row(0))

    def cone_size(self, *, slacks: bool) -> int:
        """Return what `cone` would have for components, without building it."""
        return cone.count_variables(self.pair, self.tight.row(0), slacks=slacks)

    def cone(self, *, slacks: bool, inner: tuple[InnerStage, ...] = ()) -> Cone:
        """Return the semidefinite facts, with the ranges that stages prove first.

        Raises:
            DualError: a stage proves nothing.
        """
        key = slacks, inner
        if key not in self._cones:
            ranges = self.tightened(inner, slacks=slacks).row(0)
            require_size(cone.count_variables(self.pair, ranges, slacks=slacks))
            self._cones[key] = cone.build(self.pair, ranges, slacks=slacks)
        return self._cones[key]

    def tightened(self, inner: tuple[InnerStage, ...], *, slacks: bool) -> Ranges:
        """Return the enclosures with the ranges that stages prove, [1, n]."""
        if not inner:
            return self.tight
        box = boxes_on_grid([self.box], self.pair.grid)
        return tightened(self.pair, box, inner, slacks=slacks)


def affordable_pair(pairs: Pairs) -> Pair:
    """Return the pair that regions are looked at on: wide networks need 64-bit integers."""
    widths, weights = layer_sizes(pairs.network)
    fine = affords_fine_grid(operations_through(widths), weights)
    return pairs.on(None if fine else sharp_grid(pairs.program))


def affords_fine_grid(operations: int, weights: int) -> bool:
    """Whether regions are looked at in Python's integers: sharpest, and slowest."""
    return operations <= LARGEST_FINE_ANALYSIS and weights <= LARGEST_FINE_WEIGHTS


def analyses(pairs: Pairs, boxes: Sequence[Box]) -> list[Analysis]:
    """Put a network and a program side by side over boxes, some of which are enclosed together.

    Raises:
        RefusedError: they do not belong together.
    """
    try:
        pair = affordable_pair(pairs)
    except MismatchError as problem:
        raise RefusedError(f"program: {problem}") from problem
    for box in boxes:
        if box.size != pair.layers[0].w.shape[1]:
            raise RefusedError(f"the region has {box.size} inputs, the network another number")
    widest_layer = max(max(layer.w.shape) for layer in pair.layers)
    size = max(1, min(_BATCH, _BATCH_NUMBERS // widest_layer))
    batches = [Batch(pair, boxes[start : start + size]) for start in range(0, len(boxes), size)]
    return [Analysis(pairs, batch, index) for batch in batches for index in range(len(batch.boxes))]


def analysis(network: Network, program: FixedNetwork, box: Box) -> Analysis:
    """Put a network and a program side by side over one box.

    Raises:
        RefusedError: they do not belong together.
    """
    return analyses(Pairs(network, program), [box])[0]


def prove_part(known: Analysis, method: str, data: PartData | None) -> Part:
    """Derive one method's bounds from what the method needs.

    Raises:
        DualError, TreeError, TuningError, MismatchError: the data prove nothing.
    """
    match method, data:
        case "recursion" | "interval" | "linear", None:
            return _part(known, method, _without_data(known, method))
        case "sdp", ConePart():
            return _cone_part(known, data)
        case "sdp-paper", ConePart():
            return _paper_part(known, data)
        case "split", SplitPart():
            return _split_part(known, data)
        case "tuned", TunedPart():
            return _tuned_part(known, data)
        case _:
            raise DualError(f"method {method!r} is unknown or lacks its data")


def _without_data(known: Analysis, method: str) -> list[int]:
    if method == "recursion":
        bound = int(recursion_bound(known.pair, known.intervals)[0])
        return [bound] * known.pair.layers[-1].width
    return _deviation(known.intervals if method == "interval" else known.tight)


def _deviation(ranges: Ranges) -> list[int]:
    return list(ranges.layers[-1].out.e.magnitude[0])


def _part(known: Analysis, method: str, raw: Sequence[int]) -> Part:
    scale = 1 << known.pair.grid
    exact_bounds = [int(r) + int(extra) for r, extra in zip(raw, known.reference, strict=True)]
    per_output = tuple(quotient_above(b, scale) for b in exact_bounds)
    return Part(method, per_output, euclidean(per_output))


ONE_LEAF = bytes([tree.LINEAR_LEAF])
"""The tree of a region that is not cut."""


def prove_whole(
    pairs: Pairs, boxes: Sequence[Box], grid: int, budget: Budget | None = None
) -> list[Part]:
    """Bound every box as a tree of one linear leaf, all boxes together.

    Raises:
        MismatchError, TreeError: network and program do not fit, or it is too much work.
        RefusedError: it is more than the budget holds.
    """
    pair = pairs.on(grid)
    data = SplitPart(grid, ONE_LEAF)
    raw = boxes_on_grid(boxes, grid)
    leaves = tree.Leaves(raw, np.zeros(len(boxes), dtype=bool))
    operations = tree.require_affordable(pair, leaves, wide=_outgrows(pair, raw))
    if budget is not None:
        budget.charge(operations, "regions of one leaf")
    return [split_part(data, row[None]) for row in tree.leaf_bounds(pair, pairs.program, leaves)]


def _outgrows(pair: Pair, boxes: Interval) -> bool:
    """Whether intervals over all boxes together outgrow 64 bits."""
    whole = Interval(boxes.lo.min(axis=0, keepdims=True), boxes.hi.max(axis=0, keepdims=True))
    return tree.outgrows(pair, analyse(pair, whole, use_linear=False), pair.grid)


def leaf_operations(known: Analysis, grid: int) -> int:
    """Estimate what analysing one leaf of the region on a grid costs.

    Raises:
        MismatchError: the grid does not hold the program.
    """
    pair = known.pairs.on(grid)
    return tree.leaf_operations(pair, wide=tree.outgrows(pair, known.tight, known.pair.grid))


def _split_part(known: Analysis, data: SplitPart) -> Part:
    """The largest deviation over all leaves, output by output and in the 2-norm."""
    pair = known.pairs.on(data.grid)
    leaves = tree.expand(data.tree, boxes_on_grid([known.box], data.grid))
    tree.require_affordable(pair, leaves, wide=tree.outgrows(pair, known.tight, known.pair.grid))
    return split_part(data, tree.leaf_bounds(pair, known.program, leaves))


def _tuned_part(known: Analysis, data: TunedPart) -> Part:
    pair = known.pairs.on(data.grid)
    leaves = tree.expand(data.tree, boxes_on_grid([known.box], data.grid))
    if len(data.leaves) > tuned.affordable_leaves(pair, leaf_operations(known, data.grid)):
        raise TreeError(f"{len(data.leaves)} leaves with slopes are too much work")
    return leaves_part("tuned", data, tuned.leaf_bounds(pair, leaves, data.leaves))


def split_part(data: SplitPart, bounds: Raw) -> Part:
    """State what the bounds of all leaves [leaves, outputs] of a cut region say together."""
    return leaves_part("split", data, bounds)


def leaves_part(method: str, data: SplitPart | TunedPart, bounds: Raw) -> Part:
    """State what the bounds of all leaves [leaves, outputs] say together."""
    scale = 1 << data.grid
    per_output = tuple(quotient_above(b, scale) for b in map(int, bounds.max(axis=0)))
    largest = int((bounds * bounds).sum(axis=1).max())
    return Part(method, per_output, decimal_above(root_above(Fraction(largest, scale**2))), data)


def euclidean(per_output: Sequence[Decimal]) -> Decimal:
    """Bound the 2-norm of a vector whose components are bounded."""
    return decimal_above(root_above(sum_of_squares(per_output)))


def _cone_part(known: Analysis, data: ConePart) -> Part:
    facts = known.cone(slacks=data.slacks, inner=data.inner)
    outputs = known.pair.layers[-1].width
    scale = Fraction(1, 1 << known.pair.grid)
    per_output: list[Decimal | None] = [None] * outputs
    for output, larger in larger_sides(facts, data.sides, outputs).items():
        per_output[output] = output_bound(larger, int(known.reference[output]) * scale)
    norm = None if data.norm is None else _norm_bound(known, facts, data.norm)
    return Part("sdp", tuple(per_output), norm, data)


def larger_sides(facts: Cone, sides: Sequence[SignedDual], outputs: int) -> dict[int, Fraction]:
    """Prove both signs of every output that is named, and return the larger bound of each.

    Raises:
        DualError: a side proves nothing, belongs to no output, or stands twice or alone.
    """
    signs = [(side.output, side.sign) for side in sides]
    named = sorted({output for output, _ in signs})
    if sorted(signs) != [(output, sign) for output in named for sign in (-1, 1)]:
        raise DualError("not every output that is bounded is so once on both sides")
    if any(not 0 <= output < outputs for output in named):
        raise DualError("a side belongs to no output")
    bounds = [(side.output, side_bound(facts, side)) for side in sides]
    return {output: max(b for at, b in bounds if at == output) for output in named}


def output_bound(larger_side: Fraction, reference: Fraction) -> Decimal:
    """State the bound of an output from both its sides and the error of its reference."""
    return decimal_above(max(larger_side, Fraction(0)) + reference)


def _paper_part(known: Analysis, data: ConePart) -> Part:
    """The paper bounds the square of the 2-norm, which no output exceeds."""
    if data.slacks or data.sides or data.inner or data.norm is None:
        raise DualError("the paper's method proves the 2-norm and nothing else")
    norm = _norm_bound(known, known.paper_cone, data.norm)
    return Part("sdp-paper", (norm,) * known.pair.layers[-1].width, norm, data)


def norm_objective(facts: Cone) -> tuple[Raw, int]:
    """Return the matrix of the squared 2-norm of the deviation, and its binary exponent."""
    shift = facts.grid - widest(facts.objective.rows)
    rows = facts.objective.rows << max(shift, 0)
    return cone.square_objective(rows), -2 * max(shift, 0)


def _norm_bound(known: Analysis, facts: Cone, dual: Dual) -> Decimal:
    """|deviation| <= |forms| + |residuals| + |reference errors|, all in the 2-norm."""
    matrix, exponent = norm_objective(facts)
    square = cone.dual_bound(facts, matrix, dual) * two_to(exponent - cone.MULTIPLIER_BITS)
    rest = [
        max(abs(int(lo)), abs(int(hi))) + int(extra)
        for lo, hi, extra in zip(
            facts.objective.lo, facts.objective.hi, known.reference, strict=True
        )
    ]
    tail = sum(r * r for r in rest) * two_to(-2 * facts.grid)
    return decimal_above(root_above(max(square, Fraction(0))) + root_above(Fraction(tail)))


def combine(box: Box, parts: Sequence[Part], attack: Witness) -> RegionClaim:
    """State what the parts prove together: the best of them, output by output."""
    columns = zip(*(part.per_output for part in parts), strict=True)
    per_output = tuple(min(b for b in column if b is not None) for column in columns)
    norms = [part.l2 for part in parts if part.l2 is not None]
    l2 = min([euclidean(per_output), *norms])
    return RegionClaim(box, per_output, max(per_output), l2, tuple(parts), attack)


def deviations(
    network: Network, program: FixedNetwork, x: Sequence[Fraction]
) -> tuple[Fraction, ...]:
    """Return how far device and network surely are apart at one real input, output by output.

    Exactly how far, where the network's operators are exact.
    """
    return deviations_at(network, program, [x])[0]


def deviations_at(
    network: Network, program: FixedNetwork, points: Sequence[Sequence[Fraction]]
) -> list[tuple[Fraction, ...]]:
    """Return `deviations` at many real inputs; together they take a fraction of the time."""
    found: list[tuple[Fraction, ...]] = []
    for start in range(0, len(points), _POINTS):
        part = [list(x) for x in points[start : start + _POINTS]]
        device = exact(outputs_at(program, part)) * program.output.format.step
        apart = ops.apart(network, exact(part), device)
        found += [tuple(row) for row in apart.tolist()]
    return found


def witness(network: Network, program: FixedNetwork, x: Sequence[Fraction]) -> Witness:
    """State the deviation at one real input: a true one, whoever found it."""
    return witnesses(network, program, [x])[0]


def witnesses(
    network: Network, program: FixedNetwork, points: Sequence[Sequence[Fraction]]
) -> list[Witness]:
    """State the deviations at many real inputs."""
    found = deviations_at(network, program, points)
    return [
        Witness(tuple(x), decimal_below(max(apart))) for x, apart in zip(points, found, strict=True)
    ]


def check(
    network: Network, certificate: Certificate, operations: int | None = DEFAULT_OPERATIONS
) -> tuple[Proven, ...]:
    """Prove every region's claim again, from nothing but the network and the certificate.

    `operations`: what the check may take, over all regions (`qdeploy.proof.budget`); None: as
    much as it asks for.

    Raises:
        RefusedError: something does not hold, or checking it takes more; the text names it.
    """
    if network.source.sha256 != certificate.model_sha256:
        raise RefusedError("model: the certificate is for another model file")
    if network.cut != certificate.cut:
        raise RefusedError("cut: the certificate is about other outputs than the model's network")
    if not certificate.regions:
        raise RefusedError("regions: the certificate claims nothing")
    if len(certificate.regions) > LARGEST_REGIONS:
        raise RefusedError(f"regions: more than {LARGEST_REGIONS}")
    network, certificate = _equally_sized(network, certificate)
    budget = Budget(operations)
    account = _Account(Pairs(network, certificate.program, budget), budget)
    whole = _prove_whole_again(account, certificate)
    rest = [index for index in range(len(certificate.regions)) if index not in whole]
    looks = _look_again(account, rest, certificate.regions)
    # What is known of a region goes when the region is done: all together would fill the memory.
    proven = tuple(
        _check_region(account, looks.pop(index), claim, f"region {index}")
        if index not in whole
        else _conclude(claim, [whole[index].part], whole[index].shown, f"region {index}")
        for index, claim in enumerate(certificate.regions)
    )
    if certificate.decision is None:
        return proven
    attacked = [case for case in certificate.decision.cases if isinstance(case, Attacked)]
    account.pay_for_points(len(attacked), "decision")
    boxes = [bound.box for bound in proven]
    decided = decision.check(account.pairs, certificate.decision, boxes, account.budget)
    return tuple(
        replace(bound, decision=found) for bound, found in zip(proven, decided, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Account:
    """What is checked, and what the check may still take."""

    pairs: Pairs
    budget: Budget

    def pay_for_points(self, count: int, place: str) -> None:
        """Charge what evaluating both functions without rounding takes at some inputs."""
        neurons = sum(tensor.size for tensor in self.pairs.network.tensors)
        once = _OPERATIONS_PER_WEIGHT * self._weights + _OPERATIONS_PER_NEURON * neurons
        self.budget.charge(count * once, place)

    def pay_for_analysis(self, pair: Pair, *, by_lines: bool, place: str) -> None:
        """Charge what enclosing one region takes."""
        operations = _OPERATIONS_PER_WEIGHT * self._weights
        operations += analysis_operations(pair) if by_lines else 0
        self.budget.charge(operations * (1 if pair.grid in NARROW_GRIDS else _FINE_FACTOR), place)

    @property
    def _weights(self) -> int:
        nodes = self.pairs.network.nodes
        return sum(int(array.size) for node in nodes for array in node.parameters.values())


def _look_again(
    account: _Account, which: Sequence[int], claims: Sequence[RegionClaim]
) -> dict[int, Analysis]:
    """Prepare the analyses of some regions, which share what they can."""
    if not which:
        return {}
    boxes = [claims[index].box for index in which]
    known = dict(zip(which, analyses(account.pairs, boxes), strict=True))
    for index in which:
        claim = claims[index]
        by_lines = any(part.method not in ("interval", "recursion") for part in claim.parts)
        if by_lines and beyond_linear(known[index].pair):
            raise RefusedError(
                f"region {index}: the network is too deep and wide for linear bounds"
            )
        account.pay_for_analysis(known[index].pair, by_lines=by_lines, place=f"region {index}")
    return known


def _equally_sized(network: Network, certificate: Certificate) -> tuple[Network, Certificate]:
    """Return what is to be checked with both sides equally deep and wide; both compute the same."""
    try:
        network, program = side_by_side(network, certificate.program, certificate.places)
    except MismatchError as problem:
        raise RefusedError(f"places: {problem}") from problem
    return network, replace(certificate, program=program)


@dataclass(frozen=True, slots=True)
class _Whole:
    """What was derived again for a region of one leaf."""

    part: Part
    shown: Witness


def _prove_whole_again(account: _Account, certificate: Certificate) -> dict[int, _Whole]:
    """Prove again the parts of all regions that are one leaf and nothing else, together."""
    network, program = account.pairs.network, account.pairs.program
    by_grid: dict[int, list[int]] = {}
    for index, claim in enumerate(certificate.regions):
        data = claim.parts[0].data if len(claim.parts) == 1 else None
        if isinstance(data, SplitPart) and data.tree == ONE_LEAF:
            by_grid.setdefault(data.grid, []).append(index)
    found: dict[int, _Whole] = {}
    for grid, where in by_grid.items():
        boxes = [certificate.regions[index].box for index in where]
        place = f"region {where[0]}, method split"
        _require_inputs(network, boxes)
        for index in where:
            _require_inside(certificate.regions[index], f"region {index}")
        account.pay_for_points(len(where), place)
        try:
            parts = prove_whole(account.pairs, boxes, grid, account.budget)
        except (MismatchError, TreeError) as problem:
            raise RefusedError(f"{place}: {problem}") from problem
        points = [certificate.regions[index].attack.x for index in where]
        shown = witnesses(network, program, points)
        found |= dict(zip(where, map(_Whole, parts, shown), strict=True))
    return found


def _require_inputs(network: Network, boxes: Sequence[Box]) -> None:
    inputs = network.inputs[0].size
    for box in boxes:
        if box.size != inputs:
            raise RefusedError(f"the region has {box.size} inputs, the network another number")


def _check_region(account: _Account, known: Analysis, claim: RegionClaim, place: str) -> Proven:
    methods = [part.method for part in claim.parts]
    if len(set(methods)) != len(methods) or not set(methods) & {"recursion", "interval", "linear"}:
        raise RefusedError(f"{place}: a method appears twice, or none bounds every output")
    _require_affordable(known, claim, place)
    proven = []
    for part in claim.parts:
        where = f"{place}, method {part.method}"
        try:
            account.budget.charge(_operations(known, part.data), where)
            proven.append(prove_part(known, part.method, part.data))
        except (DualError, TreeError, TuningError, MismatchError) as problem:
            raise RefusedError(f"{where}: {problem}") from problem
    _require_inside(claim, place)
    account.pay_for_points(1, place)
    return _conclude(claim, proven, witness(known.network, known.program, claim.attack.x), place)


def _operations(known: Analysis, data: PartData | None) -> int:
    """Estimate what proving a part takes beyond the region's enclosures.

    Raises:
        MismatchError, TreeError: the grid does not hold the program, or the tree is none.
    """
    match data:
        case None:
            return 0
        case ConePart():
            if not data.duals:
                raise DualError("a cone without duals proves nothing")
            looks = (1 + len(data.inner)) * analysis_operations(known.pair) * _FINE_FACTOR
            return looks + _OPERATIONS_PER_PRODUCT * _factor_operations(data)
        case SplitPart():
            pair = known.pairs.on(data.grid)
            leaves = tree.expand(data.tree, boxes_on_grid([known.box], data.grid))
            return tree.count_pieces(pair, leaves) * leaf_operations(known, data.grid)
        case TunedPart():
            pair, one = known.pairs.on(data.grid), leaf_operations(known, data.grid)
            return len(data.leaves) * tuned.leaf_operations(pair, one)


def _conclude(claim: RegionClaim, proven: Sequence[Part], shown: Witness, place: str) -> Proven:
    """Compare what is stated with what was proven again."""
    for part, again in zip(claim.parts, proven, strict=True):
        if part.method != again.method:
            raise RefusedError(f"{place}: method {part.method} is unknown or lacks its data")
        _compare(part.per_output, again.per_output, f"{place}, method {part.method}: bound")
        _compare((part.l2,), (again.l2,), f"{place}, method {part.method}: 2-norm")
    if shown.linf != claim.attack.linf:
        raise RefusedError(f"{place}: the attack's deviation is not what its input shows")
    total = combine(claim.box, proven, claim.attack)
    _compare(claim.per_output, total.per_output, f"{place}: bound")
    _compare((claim.linf,), (total.linf,), f"{place}: bound in the infinity norm")
    _compare((claim.l2,), (total.l2,), f"{place}: bound in the 2-norm")
    if not total.linf >= claim.attack.linf:
        raise RefusedError(f"{place}: the attack exceeds the bound; please report this")
    return Proven(claim.box, total.per_output, total.linf, total.l2)


def beyond_linear(pair: Pair) -> bool:
    """Whether back-substitution through this network is more than anybody would wait for."""
    return analysis_operations(pair) > LARGEST_ANALYSIS


def analysis_work(widths: Sequence[int], weights: int) -> int:
    """Estimate what one look at a region by lines takes, from the sizes of a network alone."""
    operations = operations_through(widths)
    if affords_fine_grid(operations, weights):
        steps = step_operations(widths)
        operations = _FINE_FACTOR * (operations - steps) + _FINE_FACTOR_OF_STEPS * steps
    return operations + _OPERATIONS_PER_WEIGHT * weights


def _require_affordable(known: Analysis, claim: RegionClaim, place: str) -> None:
    """Refuse data so large that checking them would exhaust the machine."""
    for part in claim.parts:
        if isinstance(part.data, ConePart):
            if part.method == "sdp-paper":
                size = paper.count_variables(known.pair, known.intervals.row(0))
            else:
                size = known.cone_size(slacks=part.data.slacks)
            if size > LARGEST_CONE:
                raise RefusedError(f"{place}: a cone of {size} components is over {LARGEST_CONE}")
            looks = len(part.data.inner) * analysis_operations(known.pair)
            if looks > LARGEST_ANALYSIS:
                raise RefusedError(f"{place}: ranges inside are proven in too many stages")
            if _factor_operations(part.data) > LARGEST_PROOFS:
                raise RefusedError(f"{place}: its cones are to prove more than anybody waits for")


def _factor_operations(data: ConePart) -> int:
    """Estimate what multiplying out all factors costs; those of a wrong size are refused first."""
    return sum(len(dual.factor) ** 3 for dual in data.duals)


def _compare(
    stated: Sequence[Decimal | None], recomputed: Sequence[Decimal | None], what: str
) -> None:
    if len(stated) != len(recomputed):
        raise RefusedError(f"{what}: {len(stated)} numbers stated for {len(recomputed)} outputs")
    for index, (claimed, found) in enumerate(zip(stated, recomputed, strict=True)):
        if claimed != found:
            raise RefusedError(f"{what} {index}: stated {claimed}, recomputed {found}")


def _require_inside(claim: RegionClaim, place: str) -> None:
    if not claim.box.holds(claim.attack.x):
        raise RefusedError(f"{place}: the attack's input lies outside the region")
