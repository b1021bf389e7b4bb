"""How many held-out digits the network gets right in floating point and as integers.

python accuracy.py
"""

from pathlib import Path

import numpy as np
from qdeploy import importer, ops, quantize
from qdeploy.fixedpoint import encode
from qdeploy.ir import QuantizeRequest

HERE = Path(__file__).parent


def main() -> None:
    network = importer.run(HERE / "digits.onnx")
    regions = importer.read_regions(str(HERE / "box.json"), 64)
    with np.load(HERE / "samples.npz") as samples:
        x, label = samples["x"].astype(np.float64), samples["label"]
    real = ops.evaluate(network, x)
    print(f"   float: {np.mean(real.argmax(axis=1) == label):.2%} right")
    for bits in (16, 12, 8, 6, 4):
        program = quantize.run(network, QuantizeRequest(regions, bits=bits))
        codes = encode(x, program.input.format, program.input.rounding)
        scores = ops.execute(program, codes) * float(program.output.format.step)
        right = np.mean(scores.argmax(axis=1) == label)
        deviation = np.abs(scores - real).max()
        print(f"{bits:>3} bits: {right:.2%} right, scores deviate {deviation:.2g} at most")


if __name__ == "__main__":
    main()
