"""How time and memory of a certificate grow: against neurons, inputs, layers, boxes and jobs.

Every row is a search in a fresh process: processor seconds of it and of its workers, seconds by
the clock, and the largest resident memory of one process. Exponents are fitted to the upper half
of each series (least squares in logarithms), where start-up counts little. A plot goes to
growth.svg if matplotlib is there (pip install '.[bench]' in the checkout).

    python benchmarks/growth.py [FOLDER FOR growth.svg]
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qdeploy import certifier, quantize
from qdeploy.certifier import CertifyRequest, Crew
from qdeploy.ir import Box, Network, QuantizeRequest
from support.networks import build_network


@dataclass(frozen=True, slots=True)
class Setting:
    """One network, its regions and the work spent on it."""

    inputs: int = 4
    neurons: int = 16
    layers: int = 2
    regions: int = 1
    work: float = 0.0
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """Settings that differ in one thing."""

    title: str
    axis: str
    settings: Sequence[Setting]

    def sizes(self) -> list[float]:
        return [getattr(setting, self.axis) for setting in self.settings]


SERIES = (
    Series("neurons a layer", "neurons", [Setting(neurons=n) for n in (16, 32, 64, 128, 256)]),
    Series("inputs", "inputs", [Setting(inputs=n) for n in (8, 32, 128, 512)]),
    Series("layers", "layers", [Setting(layers=n) for n in (2, 4, 8, 16, 32)]),
    Series("boxes (regions)", "regions", [Setting(regions=n) for n in (3, 12, 48)]),
    Series("many boxes", "regions", [Setting(regions=n) for n in (64, 256, 1024)]),
    Series("work", "work", [Setting(work=w) for w in (1.0, 2.0, 4.0, 8.0)]),
    Series("jobs", "jobs", [Setting(work=12.0, jobs=n) for n in (1, 2)]),
)


def network_of(setting: Setting) -> Network:
    """Random parameters, scaled so that signals neither die nor explode."""
    rng = np.random.default_rng(0)
    widths = [setting.inputs, *[setting.neurons] * setting.layers, 2]
    steps: list[object] = []
    for n_in, n_out in itertools.pairwise(widths):
        weight = (rng.normal(size=(n_out, n_in)) * (2 / n_in) ** 0.5).astype(np.float32)
        steps += [(weight, rng.normal(size=n_out).astype(np.float32) / 8), "relu"]
    return build_network(setting.inputs, steps[:-1])


def regions_of(setting: Setting) -> tuple[Box, ...]:
    rest = (Fraction(1),) * (setting.inputs - 1)
    ends = [
        Fraction(float(Fraction(2 * k, setting.regions) - 1)) for k in range(setting.regions + 1)
    ]
    return tuple(
        Box((low, *(-v for v in rest)), (high, *rest)) for low, high in itertools.pairwise(ends)
    )


def measure_here(setting: Setting) -> dict[str, float]:
    """Search once, and say what it took; the process must be a fresh one."""
    network, regions = network_of(setting), regions_of(setting)
    program = quantize.run(network, QuantizeRequest(regions, bits=8))
    own, clock = time.process_time(), time.perf_counter()
    request = CertifyRequest(work=setting.work, attack_budget=5000)
    found = certifier.run(network, program, regions, request, crew=Crew(setting.jobs))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return {
        "cpu": time.process_time() - own + children.ru_utime + children.ru_stime,
        "clock": time.perf_counter() - clock,
        "mebibytes": max(peaks) / 1024,
        "bound": float(max(claim.linf for claim in found.regions)),
    }


def measure(setting: Setting) -> dict[str, float]:
    line = [sys.executable, __file__, "--one", json.dumps(asdict(setting))]
    answer = subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ)
    return dict(json.loads(answer.stdout))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Fit value = constant * size ** exponent to the upper half of a series."""
    half = len(sizes) // 2 if len(sizes) > len("xy") else 0
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def show(console: Console, series: Series, rows: list[dict[str, float]]) -> None:
    table = Table(series.title, "cpu, s", "clock, s", "memory, MiB", "bound")
    for size, row in zip(series.sizes(), rows, strict=True):
        values = (row["cpu"], row["clock"], row["mebibytes"])
        table.add_row(f"{size:g}", *(f"{v:.2f}" for v in values), f"{row['bound']:.4g}")
    fitted = [
        f"{exponent(series.sizes(), [row[key] for row in rows]):+.2f}"
        for key in ("cpu", "clock", "mebibytes")
    ]
    table.add_row("exponent", *fitted, "", style="bold")
    console.print(table)


def plot(path: Path, measured: list[tuple[Series, list[dict[str, float]]]]) -> None:
    """Draw seconds and memory, one picture a series, all axes logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415  an extra

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "qdeploy"
    from matplotlib import pyplot as plt  # noqa: PLC0415  after the choice of its back end

    figure, axes = plt.subplots(2, 4, figsize=(14, 6.5), layout="constrained")
    for place in axes.flat[len(measured) :]:
        place.set_axis_off()
    for place, (series, rows) in zip(axes.flat, measured, strict=False):
        for key, label in (("cpu", "cpu, s"), ("clock", "clock, s"), ("mebibytes", "memory, MiB")):
            place.loglog(series.sizes(), [row[key] for row in rows], "o-", label=label)
        place.set_xlabel(series.title)
        place.set_xticks(series.sizes(), [f"{size:g}" for size in series.sizes()])
        place.minorticks_off()
    axes.flat[0].legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="for growth.svg")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure_here(Setting(**json.loads(given.one)))))
        return
    console, measured = Console(), []
    for series in SERIES:
        rows = [measure(setting) for setting in series.settings]
        show(console, series, rows)
        measured.append((series, rows))
    target = given.folder / "growth.svg"
    try:
        plot(target, measured)
    except ImportError:
        console.print("no plot: pip install '.\\[bench]' in the checkout")
    else:
        console.print(f"plot: {target}")


if __name__ == "__main__":
    main()
