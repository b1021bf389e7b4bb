"""What the check of large proofs costs: trees of many leaves, cones of many components.

A check is timed from the file's bytes to the verdict, in a fresh process: processor seconds, and
the largest resident memory. Trees halve the box evenly into linear leaves. Multipliers of a cone
are random, for all products of phi and psi, and repaired until they prove something: a bound that
nobody wants, for the price of one that somebody does.

    python benchmarks/checker.py
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qdeploy import proof, quantize
from qdeploy.certifier.semidefinite import Facts, repair
from qdeploy.certifier.solvers import Candidate
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import Certificate, kernel, sides, tree
from qdeploy.proof.certificate import ConePart, Part, SignedDual, SplitPart
from qdeploy.proof.cone import Cone, Dual
from qdeploy.proof.pair import coarse_grid
from support.networks import build_network, paper_network


@dataclass(frozen=True, slots=True)
class Setting:
    """A network, and either how often every leaf was halved or how many neurons its cone has."""

    title: str
    widths: tuple[int, ...]
    halvings: int = 0
    bits: int = 12


SETTINGS = (
    Setting("2^14 leaves, 1-10-10-1", (1, 10, 10, 1), 14),
    Setting("2^17 leaves, 1-10-10-1", (1, 10, 10, 1), 17),
    Setting("2^14 leaves, 2-25-25-1", (2, 25, 25, 1), 14),
    Setting("2^17 leaves, 2-25-25-1", (2, 25, 25, 1), 17),
    Setting("cone of 32 neurons", (8, 32, 1)),
    Setting("cone of 64 neurons", (8, 64, 1)),
    Setting("cone of 96 neurons", (8, 96, 1)),
    Setting("cone of 128 neurons", (8, 128, 1)),
)


def network_of(widths: Sequence[int]) -> Network:
    if widths == (1, 10, 10, 1):
        return paper_network(0, 2)
    rng = np.random.default_rng(0)
    steps: list[object] = []
    for n_in, n_out in itertools.pairwise(widths):
        weight = (rng.normal(size=(n_out, n_in)) / n_in**0.5).astype(np.float32)
        steps += [(weight, (rng.normal(size=n_out) / 8).astype(np.float32)), "relu"]
    return build_network(widths[0], steps[:-1])


def material(setting: Setting) -> tuple[Network, FixedNetwork, Box]:
    network = network_of(setting.widths)
    inputs = setting.widths[0]
    box = Box((Fraction(-1),) * inputs, (Fraction(1),) * inputs)
    return network, quantize.run(network, QuantizeRequest((box,), bits=setting.bits)), box


def even_tree(inputs: int, halvings: int) -> bytes:
    levels = [bytes([depth % inputs]) * (1 << depth) for depth in range(halvings)]
    return b"".join([*levels, bytes([tree.LINEAR_LEAF]) * (1 << halvings)])


def random_dual(facts: Cone, sign: int) -> Dual:
    """Multipliers for all products of phi and psi that the kernel accepts."""
    rng = np.random.default_rng(sign + 1)
    core = [i for i, tag in enumerate(facts.tags) if tag[0].endswith(("phi", "psi"))]
    pairs = tuple(itertools.combinations([0, *core], 2))
    count = len(pairs) + len(facts.complements)
    offered = Facts(facts, pairs, np.empty((0, count)), np.ones(count))
    guess = Candidate("random", 1.0, rng.exponential(1e-3 / facts.size, size=count), 0)
    dual = repair(offered, sides.side_objective(facts, 0, sign)[0], guess)
    assert dual is not None
    return dual


def certificate_of(setting: Setting) -> tuple[bytes, dict[str, float]]:
    """Return a certificate, and what there is to know about its size."""
    network, program, box = material(setting)
    known = kernel.analysis(network, program, box)
    shape: dict[str, float] = {}
    data: ConePart | SplitPart
    if setting.halvings:
        cut = even_tree(box.size, setting.halvings)
        method, data = "split", SplitPart(coarse_grid(program), cut)
    else:
        facts = known.cone(slacks=False)
        sides = tuple(SignedDual(0, sign, random_dual(facts, sign)) for sign in (1, -1))
        method, data = "sdp", ConePart(slacks=False, sides=sides, norm=None)
        shape = {"components": facts.size, "products": len(sides[0].dual.products)}
    parts: list[Part] = [kernel.prove_part(known, "interval", None)]
    parts.append(kernel.prove_part(known, method, data))
    attack = kernel.witness(network, program, box.lo)
    claim = kernel.combine(box, parts, attack)
    source = network.source
    whole = Certificate(source.name, source.sha256, program, (claim,))
    return proof.write(proof.attest(whole)), shape


def check_here(setting: Setting, path: Path) -> dict[str, float]:
    """Read and check a certificate; the process must be a fresh one."""
    network = network_of(setting.widths)
    text = path.read_bytes()
    start = time.process_time()
    certificate = proof.read(text).certificate
    reading = time.process_time() - start
    proof.check(network, certificate)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"read": reading, "cpu": time.process_time() - start, "mebibytes": peak}


def measure(setting: Setting, folder: Path) -> dict[str, float]:
    text, shape = certificate_of(setting)
    path = folder / "certificate.json"
    path.write_bytes(text)
    line = [sys.executable, __file__, "--one", json.dumps(asdict(setting)), str(path)]
    answer = subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ)
    return {**shape, "bytes": len(text), **json.loads(answer.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    one = parser.parse_args().one
    if one is not None:
        setting = Setting(**json.loads(one[0]))
        setting = replace(setting, widths=tuple(setting.widths))
        print(json.dumps(check_here(setting, Path(one[1]))))
        return
    columns = ("components", "products", "file, KiB", "reading, s", "check, s", "memory, MiB")
    table = Table("proof", *columns)
    with tempfile.TemporaryDirectory() as folder:
        for setting in SETTINGS:
            row = measure(setting, Path(folder))
            shape = [f"{row[k]:.0f}" if k in row else "" for k in ("components", "products")]
            numbers = (row["bytes"] / 1024, row["read"], row["cpu"], row["mebibytes"])
            table.add_row(setting.title, *shape, *(f"{v:.1f}" for v in numbers))
            print(setting.title, row, file=sys.stderr)
    Console().print(table)


if __name__ == "__main__":
    main()
