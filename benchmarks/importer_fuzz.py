"""Random models, read by the importer and run by onnxruntime: how many agree, and in what.

Every model is one of `tests/support/onnx_graphs.py`; some have a fault put in. What the importer
accepts has to load and run in onnxruntime, with outputs that differ from those of the imported
network, enclosed over the reals, by no more than rounding explains. The tests run 5000 of them.

    python benchmarks/importer_fuzz.py [--graphs 100000] [--seed 1] [--faults 0.3] [--jobs 2]

Exit code 1 if anything differs.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.importer_fuzz import Tally, judge_many

CHUNK = 500
MOST_REASONS = 40
MOST_DIFFERENCES = 20


def together(tallies: Sequence[Tally]) -> Tally:
    """Return the sums of many tallies."""
    total = Tally()
    for tally in tallies:
        total.reasons.update(tally.reasons)
        total.differences += tally.differences
        for name in ("accepted", "compared", "missing", "overflowing", "faulty"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    return total


def judged(graphs: int, seed: int, faults: float, jobs: int) -> Tally:
    """Judge the first `graphs` models of a seed on so many cores."""
    chunks = [range(k, min(k + CHUNK, graphs)) for k in range(0, graphs, CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        return together(list(pool.map(partial(judge_many, seed, faults=faults), chunks)))


def table(title: str, rows: Sequence[tuple[str, int]], of: int) -> Table:
    """Return counts with their shares."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    shown.add_column("models", justify="right")
    shown.add_column("share", justify="right")
    for name, count in rows:
        shown.add_row(name, str(count), f"{100 * count / max(of, 1):.1f} %")
    return shown


def main() -> int:
    """Judge, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=float, default=0.3, help="share of models with a fault")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    start = time.perf_counter()
    tally = judged(given.graphs, given.seed, given.faults, given.jobs)
    seconds = time.perf_counter() - start
    verdicts = [
        ("accepted", tally.accepted),
        ("  run by onnxruntime as well", tally.compared),
        ("  without a kernel there, held to the standard alone", tally.missing),
        ("  beyond the range of their type, so not compared", tally.overflowing),
        ("refused", sum(tally.reasons.values())),
        ("with a fault put in", tally.faulty),
        ("differences", len(tally.differences)),
    ]
    console = Console()
    title = f"{tally.models} models of seed {given.seed} in {seconds:.0f} s"
    console.print(table(title, verdicts, tally.models))
    reasons = Counter(tally.reasons).most_common(MOST_REASONS)
    console.print(table("refused because", reasons, tally.models))
    for difference in tally.differences[:MOST_DIFFERENCES]:
        console.print(difference, markup=False)
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
