"""Bounds against attacks, in bulk: random networks of every activation, format and rounding.

Every network is quantised, certified, its certificate written, read and checked; then inputs are
searched that deviate most, evaluated exactly. A bound below a deviation is a violation: the
number that must be 0. The last line counts inputs and networks.

    python benchmarks/soundness.py [--networks 60] [--inputs 10000] [--first 0]

`--networks 1000` tries more than 10^7 inputs and takes about an hour of one core.
"""

import argparse
import statistics
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.certifier.attack import attack
from qdeploy.diagnostics import QdeployError
from qdeploy.ir import FixedNetwork, Network
from support.networks import random_network, random_request

WORK = 0.2
PLAIN_EVERY = 4
"""One network in so many has ReLUs only."""


@dataclass(frozen=True)
class Tried:
    kinds: tuple[str, ...]
    """Operators and rounding modes of the program."""
    ratio: float
    """Bound over the largest deviation found; 0 where none was found."""
    inputs: int
    violations: int


def kinds_of(program: FixedNetwork) -> tuple[str, ...]:
    found = {node.op for node in program.nodes} - {"dense"}
    clamped = any(node.integers.get("clamp_lo") == 0 for node in program.nodes)
    modes = {tensor.rounding.value for tensor in program.tensors}
    return tuple(sorted(found | modes | ({"relu"} if clamped else set())))


def tried(network: Network, seed: int, inputs: int) -> list[Tried]:
    """Certify, check and attack one network over its regions."""
    request = random_request(seed, network)
    program = quantize.run(network, request)
    certificate = certifier.run(network, program, request.regions, CertifyRequest(work=WORK))
    again = proof.read(proof.write(proof.attest(certificate))).certificate
    results = []
    for proven in proof.check(network, again):
        found = attack(network, program, proven.box, budget=inputs, seed=seed)
        beyond = sum(
            a > Fraction(b) for a, b in zip(found.per_output, proven.per_output, strict=True)
        )
        ratio = float(Fraction(proven.linf) / found.linf) if found.linf else 0.0
        results.append(Tried(kinds_of(program), ratio, found.evaluations, beyond))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    chosen = parser.parse_args()
    results: list[Tried] = []
    refused: Counter[str] = Counter()
    seeds = range(chosen.first, chosen.first + chosen.networks)
    for seed in track(seeds, console=Console(stderr=True), description="networks"):
        network = random_network(seed, activated=seed % PLAIN_EVERY != 0)
        try:
            results += tried(network, seed, chosen.inputs)
        except QdeployError as problem:
            refused[str(problem).splitlines()[0][:60]] += 1
    report(results, refused)
    return 1 if any(r.violations for r in results) else 0


def report(results: list[Tried], refused: Counter[str]) -> None:
    table = Table("operator or mode", "regions", "inputs", "median bound / found", "violations")
    by_kind = defaultdict(list)
    for result in results:
        for kind in result.kinds:
            by_kind[kind].append(result)
    for kind, some in sorted(by_kind.items()):
        ratios = [r.ratio for r in some if r.ratio] or [0.0]
        table.add_row(
            kind,
            str(len(some)),
            f"{sum(r.inputs for r in some):.3g}",
            f"{statistics.median(ratios):.3f}",
            str(sum(r.violations for r in some)),
        )
    console = Console()
    console.print(table)
    inputs, violations = (sum(getattr(r, n) for r in results) for n in ("inputs", "violations"))
    console.print(f"{len(results)} regions, {inputs} inputs, {violations} violations")
    for reason, count in refused.most_common():
        console.print(f"{count} refused: {reason}", style="dim")


if __name__ == "__main__":
    sys.exit(main())
