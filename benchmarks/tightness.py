"""How tight the proven bounds are on the paper's networks: bound / exact worst case, per method.

One input, one output, 10 neurons a hidden layer, all parameters N(0, 1); weights, biases and
inputs truncated to <8,3>, activations exact, |x| <= 1 (Li, Drummond, Duncan, L4DC 2021). The worst
case is exact: every piece of the network times every preimage of an input code.

    python benchmarks/tightness.py [SEEDS]
"""

import statistics
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qdeploy import certify, proof, quantize
from qdeploy.certify import CertifyRequest
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, QuantizeRequest
from support.enumeration import worst_deviation
from support.networks import paper_network

SEARCHES = (frozenset({"sdp"}), frozenset({"split"}))
COLUMNS = ("recursion", "interval", "linear", "sdp", "split", "attack")
BOX = Box((Fraction(-1),), (Fraction(1),))
FORMAT = QFormat(8, 3)
REQUEST = QuantizeRequest(
    (BOX,),
    weights=FORMAT,
    biases=FORMAT,
    input_format=FORMAT,
    activations=Activations.EXACT,
    rounding=Rounding.TRUNC,
    quantizer=Rounding.TRUNC,
)


def measure(seed: int, hidden: int) -> dict[str, float]:
    """Ratios by method, and seconds to find and to check with and without splitting."""
    network = paper_network(seed, hidden)
    program = quantize.run(network, REQUEST)
    (worst,) = worst_deviation(network, program, BOX)
    row: dict[str, float] = {}
    for methods in SEARCHES:
        started = time.perf_counter()
        spend = CertifyRequest(work=60.0, methods=methods)
        certificate = certify.run(network, program, (BOX,), spend)
        found = time.perf_counter()
        (proven,) = proof.check(network, certificate)
        (name,) = methods
        row |= {f"{name}, s": found - started, f"{name} check, s": time.perf_counter() - found}
        if Fraction(proven.linf) < worst:
            raise SystemExit(f"seed {seed}: the bound {proven.linf} is below {float(worst)}")
        for part in certificate.regions[0].parts:
            if part.per_output[0] is not None:
                row[part.method] = float(Fraction(part.per_output[0]) / worst)
        row["attack"] = float(Fraction(certificate.regions[0].attack.linf) / worst)
    return row


def summary(rows: list[dict[str, float]]) -> Iterator[list[str]]:
    """One line a column: median, best, worst, and over how many seeds."""
    for name in (*COLUMNS, *(n for n in rows[0] if n.endswith(", s"))):
        values = [row[name] for row in rows if name in row]
        if values:
            numbers = (statistics.median(values), min(values), max(values))
            yield [name, *(f"{v:.3f}" for v in numbers), str(len(values))]


def main() -> None:
    """Print one table per depth."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    console = Console()
    for hidden in (1, 2):
        table = Table("bound / worst case", "median", "best", "worst", "seeds")
        table.title = f"{hidden} hidden layer(s) of 10"
        rows = [measure(seed, hidden) for seed in range(seeds)]
        for line in summary(rows):
            table.add_row(*line)
        console.print(table)


if __name__ == "__main__":
    main()
