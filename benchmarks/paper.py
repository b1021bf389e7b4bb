"""The experiments of Li, Drummond and Duncan (L4DC 2021) again, with exactly checked bounds.

Their networks: one input, one output, 10 ReLU neurons a hidden layer, all parameters N(0, 1),
|x| <= 1, truncation to FB = 3 where nothing else is said. Three kinds of pairs are compared by
Theorem 1: a network and its truncation (|x2 - x1| <= 1/8), two unlike networks on independent
inputs, and a network and itself without its 8 weakest neurons. T = ln bound - ln error^2, at 101
points or 100 x 100. `sdp-paper` is their constraint set, solved by the same solver in the same
run; the exact worst case is enumerated. The last table is about the integer program itself.

    python benchmarks/paper.py [--seeds 10] [--paper-seeds 5,1,0,0] [--cone-seeds 5,5,3,1]
        [--only quantised|comparison|pruned|program] [--layers 1,2,3,4] [--figures DIR]

`--seeds 100 --paper-seeds 20,10,5,3 --cone-seeds 100,100,100,20` is the whole experiment; it takes
hours, nearly all of them for sdp-paper.
"""

import argparse
import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qdeploy import certifier, ops, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.certifier import similarity as search
from qdeploy.certifier.similarity import SimilarityRequest, Weights
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, FractionArray, Network, QuantizeRequest, exact
from qdeploy.proof.similarity import Constraints, ProvenSimilarity, Question, Relation
from support.enumeration import breakpoints, worst_deviation
from support.networks import paper_network

UNIT = Box((Fraction(-1),), (Fraction(1),))
BITS = 3
LAYERS = (1, 2, 3, 4)
PRUNED = 8
MANY = 1e6
"""Predicted seconds that no method's cone is to be refused for."""
CONSTANT = Weights()
_SLOW_SHARE = 10
PUBLISHED_SECONDS = (0.84, 3.27, 17.4, 81.2)
"""The paper's run times for 1 to 4 hidden layers, on its own machine with MOSEK."""

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pair = tuple[Network, Network]
Reals = NDArray[np.float64]


# --- the three kinds of pairs --------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """A kind of pairs: how one is made, what is asked, and what the search minimises."""

    name: str
    relation: Relation
    weights: Weights
    layers: tuple[int, ...]
    seed_offset: int
    slow: bool = False
    """Whether few pairs must do."""

    def pair(self, seed: int, hidden: int) -> Pair:
        """Return the pair of a published seed."""
        first = paper_network(self.seed_offset + seed, hidden)
        match self.name:
            case "comparison":
                return first, paper_network(self.seed_offset + 50_000 + seed, hidden)
            case "pruned":
                return first, without_weakest(first, PRUNED)
            case _:
                return first, truncated(first, BITS)

    def question(self) -> Question:
        """Return which inputs are meant."""
        delta = Fraction(self.relation is Relation.QUANTISED, 1 << BITS)
        return Question(UNIT, UNIT, self.relation, delta)


MODES = (
    Mode("quantised", Relation.QUANTISED, Weights(x1=1.0), (1, 2), 0),
    Mode("comparison", Relation.INDEPENDENT, Weights(x=1.0), (1, 2), 10_000),
    Mode("pruned", Relation.EQUAL, Weights(x1=1 / 16, constant=1e6), (2, 4), 20_000, slow=True),
)


def truncated(network: Network, bits: int) -> Network:
    """Return the network with its parameters cut to so many fraction bits."""
    nodes = tuple(
        dataclasses.replace(
            node,
            parameters={n: _cut(a, bits) for n, a in node.parameters.items()},
        )
        for node in network.nodes
    )
    return dataclasses.replace(network, nodes=nodes)


def _cut(array: FractionArray, bits: int) -> FractionArray:
    unit = 1 << bits
    flat = np.empty(array.size, dtype=object)
    flat[:] = [Fraction(math.trunc(v * unit), unit) for v in array.ravel()]
    return exact(flat.reshape(array.shape))


def without_weakest(network: Network, count: int) -> Network:
    """Return the network in which the neurons with the least weights between hidden layers are off.

    As in the paper their weights are 0 and their biases stay.
    """
    hidden = [i for i, node in enumerate(network.nodes) if node.op == "dense"][1:-1]
    norms = {
        (i, row): float(sum(w * w for w in weights))
        for i in hidden
        for row, weights in enumerate(network.nodes[i].parameters["weight"])
    }
    gone = sorted(norms, key=lambda place: norms[place])[:count]
    nodes = list(network.nodes)
    for i in hidden:
        weight = nodes[i].parameters["weight"].copy()
        weight[[row for layer, row in gone if layer == i]] = Fraction(0)
        parameters = {**nodes[i].parameters, "weight": exact(weight)}
        nodes[i] = dataclasses.replace(nodes[i], parameters=parameters)
    return dataclasses.replace(network, nodes=tuple(nodes))


# --- Theorem 1 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounded:
    """What a set of constraints proves about a pair, and what it took."""

    proven: ProvenSimilarity
    seconds: float
    price: float


def bounded(pair: Pair, mode: Mode, constraints: Constraints, weights: Weights) -> Bounded:
    """Prove the theorem; processor seconds without the search for large differences."""
    question = mode.question()
    request = SimilarityRequest(weights, time_limit=MANY, constraints=constraints, tries=2)
    started = time.process_time()
    found = search.run(pair, question, request, lambda _: None)
    seconds = time.process_time() - started
    proven = proof.check_similarity(pair, found.claim)
    return Bounded(proven, seconds, search.price_of(found.claim.theorem, weights))


def worst_apart(pair: Pair, relation: Relation) -> Fraction:
    """sup |f1(x1) - f2(x2)| over the unit box, exactly; each side bends where its ReLUs do."""
    points = [breakpoints(network, Fraction(-1), Fraction(1)) for network in pair]
    if relation is Relation.INDEPENDENT:
        first, second = (_values(n, p) for n, p in zip(pair, points, strict=True))
        return max(max(first) - min(second), max(second) - min(first))
    if relation is Relation.EQUAL:
        together = sorted({*points[0], *points[1]})
        return max(abs(a - b) for a, b in zip(*(_values(n, together) for n in pair), strict=True))
    return _worst_within(pair, points, Fraction(1, 1 << BITS))


def _values(network: Network, points: list[Fraction]) -> list[Fraction]:
    return [row[0] for row in ops.evaluate_exact(network, exact([[x] for x in points]))]


def _worst_within(pair: Pair, points: list[list[Fraction]], delta: Fraction) -> Fraction:
    """sup over |x2 - x1| <= delta: at a corner of the cells that all bends and ends cut out."""
    unit = (Fraction(-1), Fraction(1))
    cuts = {p + s for p in (*points[0], *points[1]) for s in (-delta, 0, delta)}
    inside = sorted(p for p in cuts if unit[0] <= p <= unit[1])
    first, second = (dict(zip(inside, _values(n, inside), strict=True)) for n in pair)
    worst = Fraction(0)
    own = [[p for p in side if p in first] for side in points]
    for x1 in inside:
        for x2 in {max(x1 - delta, unit[0]), min(x1 + delta, unit[1]), x1, *own[1]}:
            if x2 in second and abs(x2 - x1) <= delta:
                worst = max(worst, abs(first[x1] - second[x2]))
    return worst


def tightness(pair: Pair, mode: Mode, right_side: Reals) -> Reals:
    """Return T at the paper's points; `right_side` is the bound there."""
    x1, x2 = points_of(mode)
    gap = (ops.evaluate(pair[0], x1) - ops.evaluate(pair[1], x2))[:, 0] ** 2
    with np.errstate(divide="ignore"):
        return np.log(right_side) - np.log(gap)


def points_of(mode: Mode) -> tuple[Reals, Reals]:
    """Return x1 and x2: 101 points and what they are truncated to, or a grid of 100 x 100."""
    if mode.relation is Relation.INDEPENDENT:
        line = np.linspace(-1.0, 1.0, 100)
        first, second = np.meshgrid(line, line, indexing="ij")
        return first.reshape(-1, 1), second.reshape(-1, 1)
    line = np.linspace(-1.0, 1.0, 101)[:, None]
    if mode.relation is Relation.EQUAL:
        return line, line
    return line, np.trunc(line * (1 << BITS)) / (1 << BITS)


def right_side(proven: ProvenSimilarity, mode: Mode) -> Reals:
    """Return the theorem's bound at the paper's points."""
    x1, x2 = points_of(mode)
    g1, g2, g = (float(v) for v in proven.theorem.gammas)
    value = g1 * x1**2 + g2 * x2**2 + g * (x1 - x2) ** 2 + float(proven.theorem.constant)
    return np.asarray(value[:, 0])


def largest(proven: ProvenSimilarity) -> float:
    """Return what the theorem bounds |f1 - f2| by over the whole box; x1 - x2 is at most 2."""
    g1, g2, g = (float(v) for v in proven.theorem.gammas)
    return math.sqrt(g1 + g2 + 4 * g + float(proven.theorem.constant))


# --- tables of the theorem -----------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """How many seeds: of each depth for us, and per depth for sdp-paper."""

    seeds: int
    paper: tuple[int, ...]
    cone: tuple[int, ...]
    """Without splitting, of the integer program."""

    def paper_for(self, hidden: int) -> int:
        """Seeds of sdp-paper for a depth."""
        return min(self.paper[hidden - 1], self.seeds)


def theorem_row(mode: Mode, hidden: int, seed: int, *, with_paper: bool) -> dict[str, float]:
    """Measure one pair: the constant bound against the truth, and T of the weighted theorem."""
    pair = mode.pair(seed, hidden)
    worst = float(worst_apart(pair, mode.relation))
    row = {"T exact": _mean(tightness(pair, mode, np.full(len(points_of(mode)[0]), worst**2)))}
    kinds = [("ours", Constraints.OURS)] + [("sdp-paper", Constraints.PAPER)] * with_paper
    for name, constraints in kinds:
        weighted = bounded(pair, mode, constraints, mode.weights)
        plain = bounded(pair, mode, constraints, CONSTANT)
        bound = largest(plain.proven)
        if bound < worst * (1 - 1e-9):
            raise SystemExit(f"{mode.name} {hidden} {seed}: the bound {bound} is below {worst}")
        row |= {
            f"{name} bound/true": bound / worst,
            f"{name} T": _mean(tightness(pair, mode, right_side(weighted.proven, mode))),
            f"{name} price": weighted.price,
            f"{name}, s": plain.seconds,
        }
    if with_paper:
        row["ours/sdp-paper bound"] = row["ours bound/true"] / row["sdp-paper bound/true"]
        row["ours/sdp-paper price"] = row["ours price"] / max(row["sdp-paper price"], 1e-300)
        row["ours/sdp-paper time"] = row["ours, s"] / row["sdp-paper, s"]
    return row


def _mean(values: Reals) -> float:
    return float(values[np.isfinite(values)].mean())


def theorem_table(mode: Mode, hidden: int, sizes: Sizes) -> Table:
    """Print a kind of pairs: median, best and worst over the seeds."""
    seeds = max(1, sizes.seeds // _SLOW_SHARE) if mode.slow else sizes.seeds
    papers = sizes.paper_for(1) if mode.slow else sizes.paper_for(hidden)
    rows = [theorem_row(mode, hidden, seed, with_paper=seed < papers) for seed in range(seeds)]
    return table_of(f"{mode.name} pairs, {hidden} hidden layer(s) of 10", rows)


def table_of(title: str, rows: list[dict[str, float]]) -> Table:
    """Lay out a table with one line a number."""
    table = Table("", "median", "best", "worst", "seeds", title=title)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for line in summary(rows, names):
        table.add_row(*line)
    return table


def summary(rows: list[dict[str, float]], names: list[str]) -> Iterator[list[str]]:
    """One line a number: median, least, largest, and over how many seeds."""
    for name in names:
        values = [row[name] for row in rows if name in row]
        numbers = (statistics.median(values), min(values), max(values))
        yield [name, *(f"{v:.4g}" for v in numbers), str(len(values))]


# --- the integer program -------------------------------------------------------------------------


def program_row(
    hidden: int, seed: int, bits: int, *, with_paper: bool, with_cone: bool
) -> dict[str, float]:
    """Bound the truncated integer program: by all methods, without splitting, and by the paper."""
    network = paper_network(seed, hidden)
    fmt = QFormat(16 - bits, bits)
    request = QuantizeRequest(
        (UNIT,),
        weights=fmt,
        biases=fmt,
        input_format=fmt,
        activations=Activations.EXACT,
        rounding=Rounding.TRUNC,
        quantizer=Rounding.TRUNC,
    )
    program = quantize.run(network, request)
    (worst,) = worst_deviation(network, program, UNIT)
    row: dict[str, float] = {}
    kinds = {"ours": frozenset({"split", "sdp"})}
    if with_cone:
        kinds["no splitting"] = frozenset({"sdp"})
    if with_paper:
        kinds["sdp-paper"] = frozenset({"sdp_paper"})
    for name, methods in kinds.items():
        spend = CertifyRequest(work=MANY if name == "sdp-paper" else 60.0, methods=methods)
        started = time.process_time()
        certificate = certifier.run(network, program, (UNIT,), spend)
        row[f"{name}, s"] = time.process_time() - started
        (proven,) = proof.check(network, certificate)
        if Fraction(proven.linf) < worst:
            raise SystemExit(f"seed {seed}: the bound {proven.linf} is below {float(worst)}")
        parts = {p.method: p.per_output[0] for p in certificate.regions[0].parts}
        # Where the cheap methods meet the attack the search needs no cone.
        alone = parts.get("sdp-paper", proven.linf) if name == "sdp-paper" else proven.linf
        row[f"{name} bound/true"] = float(Fraction(alone) / worst)
        if name == "ours":
            cheap = ("recursion", "interval", "linear")
            row |= {f"{m} alone bound/true": float(Fraction(parts[m]) / worst) for m in cheap}
    if with_paper:
        row["ours/sdp-paper time"] = row["ours, s"] / row["sdp-paper, s"]
    return row


def program_tables(sizes: Sizes, layers: tuple[int, ...]) -> Iterator[Table]:
    """All depths at FB = 3, and two layers at other FB."""
    cases = [(hidden, BITS) for hidden in layers]
    cases += [(2, bits) for bits in range(1, 6) if bits != BITS and 2 in layers]
    for hidden, bits in cases:
        papers, cones = (
            counts[hidden - 1] if bits == BITS else 0 for counts in (sizes.paper, sizes.cone)
        )
        rows = [
            program_row(hidden, seed, bits, with_paper=seed < papers, with_cone=seed < cones)
            for seed in range(sizes.seeds)
        ]
        table = table_of(f"integer program, {hidden} hidden layer(s), FB = {bits}", rows)
        if bits == BITS:
            table.caption = f"the paper's own run time: {PUBLISHED_SECONDS[hidden - 1]} s (MOSEK)"
        yield table


# --- figures -------------------------------------------------------------------------------------


def draw(folder: Path) -> None:
    """Write the pictures: a pair of each kind, and the comparison as a surface."""
    import matplotlib as mpl  # noqa: PLC0415  only figures need it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for mode, hidden in ((MODES[0], 1), (MODES[0], 2), (MODES[2], 4)):
        figure, axes = plt.subplots()
        _curves(axes, mode, hidden)
        figure.savefig(folder / f"{mode.name}-{hidden}.svg")
        plt.close(figure)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    _surfaces(axes, MODES[1], 1)
    figure.savefig(folder / "comparison-1.svg")
    plt.close(figure)


def _curves(axes: "Axes", mode: Mode, hidden: int) -> None:
    """Draw error^2 over x, our bound, the paper's constraints' bound, and the exact worst case."""
    pair = mode.pair(0, hidden)
    x1, x2 = points_of(mode)
    gap = (ops.evaluate(pair[0], x1) - ops.evaluate(pair[1], x2)) ** 2
    axes.semilogy(x1, np.maximum(gap, 1e-12), "k", label="error squared")
    for constraints in Constraints:
        proven = bounded(pair, mode, constraints, mode.weights).proven
        axes.semilogy(x1, right_side(proven, mode), label=constraints.value)
    axes.axhline(float(worst_apart(pair, mode.relation)) ** 2, ls=":", label="exact worst case")
    axes.set(xlabel="x", title=f"{mode.name}, {hidden} hidden layer(s)")
    axes.legend()


def _surfaces(axes: "list[Axes]", mode: Mode, hidden: int) -> None:
    """Draw T over both inputs, for both sets of constraints."""
    pair = mode.pair(0, hidden)
    for place, constraints in zip(axes, Constraints, strict=True):
        proven = bounded(pair, mode, constraints, mode.weights).proven
        values = tightness(pair, mode, right_side(proven, mode)).reshape(100, 100)
        image = place.imshow(values.T, origin="lower", extent=(-1, 1, -1, 1), vmin=0, vmax=12)
        place.set(xlabel="x1", ylabel="x2", title=f"T, {constraints.value}")
        place.figure.colorbar(image, ax=place)


# --- the run -------------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--paper-seeds", default="5,1,0,0", help="for 1, 2, 3 and 4 layers")
    parser.add_argument("--cone-seeds", default="5,5,3,1", help="likewise, without splitting")
    parser.add_argument("--figures", type=Path, help="folder for the pictures (needs matplotlib)")
    parser.add_argument("--only", choices=[*(mode.name for mode in MODES), "program"])
    parser.add_argument("--layers", default="1,2,3,4", help="which numbers of hidden layers")
    return parser.parse_args()


def main() -> None:
    """Print the tables, and draw the figures where a folder is named."""
    given, console = _arguments(), Console()
    papers, cones, layers = (
        tuple(int(n) for n in text.split(","))
        for text in (given.paper_seeds, given.cone_seeds, given.layers)
    )
    sizes = Sizes(given.seeds, papers, cones)
    for mode in MODES:
        for hidden in mode.layers:
            if given.only in (None, mode.name) and hidden in layers:
                console.print(theorem_table(mode, hidden, sizes))
    if given.only in (None, "program"):
        for table in program_tables(sizes, layers):
            console.print(table)
    if given.figures is not None:
        draw(given.figures)
        console.print(f"figures: {given.figures}")


if __name__ == "__main__":
    main()
