"""On which inputs the device decides as the network does, proven: shares of stored samples.

For every model, the balls around its samples of one input code (one step of the input format that
`--bits` chooses), decided as `certify --decision argmax --inputs data:SAMPLES:RADIUS` does. Samples
are the array `x` of NAME.samples.npz beside NAME.onnx.

    python benchmarks/decisions.py FOLDER [--seconds S] [--bits 8,6] [NAME...]
"""

import argparse
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
from qdeploy import importer, quantize
from qdeploy.certifier import DecideRequest, decide
from qdeploy.ir import Box, FixedNetwork, Network, QuantizeRequest
from qdeploy.proof import DecisionKind, decision
from rich.console import Console
from rich.table import Table

NAMES = ("digits_mlp_dynamo", "hls4ml_jet_3layer")


def balls(samples: np.ndarray, radius: Fraction) -> tuple[Box, ...]:
    rows = [tuple(Fraction(v) for v in row) for row in samples.tolist()]
    return tuple(
        Box.enclosing(tuple(v - radius for v in row), tuple(v + radius for v in row))
        for row in rows
    )


def quantised(network: Network, samples: np.ndarray, bits: int) -> tuple[FixedNetwork, Fraction]:
    """The program for balls of one of its own codes; a coarser format asks for larger balls."""
    radius = Fraction(0)
    while True:
        regions = balls(samples, radius)
        program = quantize.run(network, QuantizeRequest(regions, bits=bits))
        if program.input.format.step == radius:
            return program, radius
        radius = program.input.format.step


def measure(model: Path, bits: int, seconds: float) -> list[str]:
    network = importer.run(model)
    stored = np.load(model.with_suffix(".samples.npz"))["x"].astype(np.float64)
    samples = stored.reshape(len(stored), -1)
    program, radius = quantised(network, samples, bits)
    regions = balls(samples, radius)
    request = DecideRequest(DecisionKind.ARGMAX, seconds)
    started = time.process_time()
    claim = decide(network, program, regions, request, lambda _: None)
    found = time.process_time()
    status = Counter(decision.check(network, program, claim, regions))
    checked = time.process_time()
    total = len(regions)
    shares = [f"{100 * status[s] / total:.1f} %" for s in decision.DecisionStatus]
    known = f"{100 * (total - status[decision.DecisionStatus.OPEN]) / total:.1f} %"
    spent = [f"{found - started:.1f}", f"{checked - found:.1f}"]
    return [model.stem, str(bits), f"{float(radius):g}", str(total), *shares, known, *spent]


def main() -> None:
    """Print one line a model and word length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--bits", default="8,6")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_intermixed_args()
    columns = ("model", "bits", "radius", "samples", "unchanged", "attacked", "open")
    table = Table(*columns, "known", "search, CPU s", "check, CPU s")
    for name in given.names:
        for bits in map(int, given.bits.split(",")):
            table.add_row(*measure(given.folder / f"{name}.onnx", bits, given.seconds))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
