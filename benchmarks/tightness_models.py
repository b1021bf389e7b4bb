"""How tight the proven bounds are on trained networks: bound, relaxed attack, device attack.

Our own examples always; the development networks where their folder is given or found.

    python benchmarks/tightness_models.py [--models FOLDER] [--only WORD] [--seconds S] [--boxes N]

`relaxed` is what a search reached with every rounding free within its interval: methods that model
roundings so cannot do better, exact leaves can. Seconds are those of the processor.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from qdeploy import certifier, importer, proof, quantize
from qdeploy.certifier import CertifyRequest, attack_relaxed
from qdeploy.ir import Box, Network, QuantizeRequest
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
BITS = (8, 16)
RADII = (1, 2, 4, 8)
SAMPLES = 3
SUB_BOX = 0.03


@dataclass(frozen=True, slots=True)
class Case:
    """One network over one box, and how long its search may take."""

    group: str
    name: str
    model: Path
    box: Box
    bits: int
    seconds: float


def box_of(lo: np.ndarray, hi: np.ndarray, name: str = "") -> Box:
    """A box whose corners are doubles."""
    return Box(tuple(Fraction(float(v)) for v in lo), tuple(Fraction(float(v)) for v in hi), name)


def named_boxes(model: Path, words: tuple[str, ...]) -> Iterator[Box]:
    """The boxes of a development network's sidecar."""
    sidecar = json.loads(model.with_suffix(".json").read_text())
    for entry in sidecar["boxes"]:
        if entry["name"] in words:
            size = sidecar["n_in"]
            lo, hi = (np.broadcast_to(np.array(entry[side]), size) for side in ("lo", "hi"))
            yield box_of(lo, hi, entry["name"])


def controllers(folder: Path | None, seconds: float) -> Iterator[Case]:
    """Controllers over their whole operating box."""
    pendulum = ROOT / "examples" / "pendulum"
    corners = json.loads((pendulum / "box.json").read_text())
    own = box_of(np.array(corners["lo"]), np.array(corners["hi"]), "operating")
    found = [(pendulum / "pendulum.onnx", own)]
    if folder is not None:
        for name in ("single_pendulum", "cartpole_tanh"):
            model = folder / f"{name}.onnx"
            found += [(model, box) for box in named_boxes(model, ("operating",))]
    for model, box in found:
        for bits in BITS:
            yield Case("controllers", f"{model.stem} {box.name}", model, box, bits, seconds)


def balls(folder: Path | None, seconds: float) -> Iterator[Case]:
    """Digits in balls of a few 8-bit input codes around stored samples."""
    found = [(ROOT / "examples/digits/digits.onnx", ROOT / "examples/digits/samples.npz")]
    if folder is not None:
        stem = folder / "digits_mlp_legacy"
        found.append((stem.with_suffix(".onnx"), stem.with_suffix(".samples.npz")))
    for model, samples in found:
        points = np.load(samples)["x"][:SAMPLES].astype(np.float64)
        for radius in RADII:
            for index, point in enumerate(points.reshape(len(points), -1)):
                reach = radius / 128
                box = box_of(np.maximum(point - reach, 0), np.minimum(point + reach, 1))
                for bits in BITS:
                    name = f"{model.stem} ball {radius} sample {index}"
                    yield Case("digits", name, model, box, bits, seconds)


def taggers(folder: Path | None, seconds: float) -> Iterator[Case]:
    """The jet tagger within one standard deviation."""
    if folder is not None:
        model = folder / "hls4ml_jet_3layer.onnx"
        for box in named_boxes(model, ("std1",)):
            for bits in BITS:
                yield Case("jet", f"jet {box.name}", model, box, bits, seconds)


def acas(folder: Path | None, seconds: float, count: int) -> Iterator[Case]:
    """ACAS Xu over the boxes of its properties, and over random small ones."""
    if folder is None:
        return
    model = folder / "acasxu_2_1.onnx"
    for box in named_boxes(model, ("prop_1", "prop_2", "prop_3", "prop_4")):
        for bits in BITS:
            yield Case("acas", f"acasxu {box.name}", model, box, bits, seconds)
    (full,) = named_boxes(model, ("full",))
    lo, hi = (np.array([float(v) for v in side]) for side in (full.lo, full.hi))
    rng = np.random.default_rng(0)
    for index in range(count):
        corner = lo + rng.random(len(lo)) * (1 - SUB_BOX) * (hi - lo)
        box = box_of(corner, corner + SUB_BOX * (hi - lo))
        for bits in BITS:
            yield Case("acas sub-boxes", f"acasxu sub-box {index}", model, box, bits, seconds)


def best_method(claim: proof.RegionClaim) -> str:
    """The method whose bound of the worst output is the smallest."""
    worst = claim.per_output.index(claim.linf)
    known = [(part.per_output[worst], part.method) for part in claim.parts]
    return min((bound, method) for bound, method in known if bound is not None)[1]


def measure(case: Case, network: Network) -> dict[str, float | str]:
    """Certify, check and attack one case."""
    program = quantize.run(network, QuantizeRequest((case.box,), bits=case.bits))
    started = time.process_time()
    certificate = certifier.run(network, program, (case.box,), CertifyRequest(work=case.seconds))
    found = time.process_time()
    (proven,) = proof.check(network, certificate)
    checked = time.process_time()
    relaxed = attack_relaxed(network, program, case.box, seed=0)
    if relaxed is None:
        raise SystemExit(f"{case.name}: too large for the relaxed attack")
    claim = certificate.regions[0]
    return {
        "bound": float(proven.linf),
        "relaxed": relaxed.linf,
        "attack": float(claim.attack.linf),
        "method": best_method(claim),
        "search s": found - started,
        "check s": checked - found,
    }


def show(console: Console, group: str, rows: list[tuple[Case, dict[str, float | str]]]) -> None:
    """Print one group and its geometric mean."""
    columns = ("bound", "relaxed", "attack", "method", "search s", "check s")
    table = Table("network and box", "bits", *columns, "bound/relaxed", "bound/attack", title=group)
    ratios = []
    for case, row in rows:
        ratios.append(float(row["bound"]) / float(row["relaxed"]))
        texts = [v if isinstance(v, str) else f"{v:.4g}" for v in (row[c] for c in columns)]
        last = f"{float(row['bound']) / float(row['attack']):.3f}"
        table.add_row(case.name, str(case.bits), *texts, f"{ratios[-1]:.3f}", last)
    console.print(table)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    console.print(
        f"{group}: geometric mean {mean:.3f}, worst {max(ratios):.3f}, {len(ratios)} rows"
    )


def main() -> None:
    """Print one table per group."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    nearby = ROOT.parent / "shared" / "models"
    options.add_argument("--models", type=Path, default=os.environ.get("QDEPLOY_MODELS", nearby))
    options.add_argument("--only", default="", help="groups whose name contains this")
    options.add_argument("--seconds", type=float, default=60.0, help="predicted, a box")
    options.add_argument("--boxes", type=int, default=100, help="random boxes of ACAS Xu")
    given = options.parse_args()
    folder = Path(given.models) if Path(given.models).is_dir() else None
    console = Console(width=160)
    if folder is None:
        console.print(f"no development networks at {given.models}: our own examples only")
    spend = given.seconds
    groups: dict[str, list[tuple[Case, dict[str, float | str]]]] = {}
    cases = [
        *controllers(folder, spend),
        *balls(folder, min(spend, 5.0)),
        *taggers(folder, spend),
        *acas(folder, spend, given.boxes),
    ]
    for case in cases:
        if given.only in case.group:
            network = importer.run(case.model)
            groups.setdefault(case.group, []).append((case, measure(case, network)))
            console.log(case.name, case.bits, groups[case.group][-1][1])
    for group, rows in groups.items():
        show(console, group, rows)


if __name__ == "__main__":
    main()
