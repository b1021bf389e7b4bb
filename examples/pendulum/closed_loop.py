"""Swing the pendulum up with the network in floating point and as the integers a device runs.

python closed_loop.py
"""

import numpy as np
from qdeploy import importer, ops, quantize
from qdeploy.fixedpoint import encode
from qdeploy.ir import FixedNetwork, QuantizeRequest
from train import HERE, SCALE, Controller, Reals, balanced, simulate, starts


def on_device(program: FixedNetwork) -> Controller:
    """The controller as the device runs it: angle and rate to codes, codes to torque."""
    source, step = program.input, float(program.output.format.step)

    def torque(state: Reals) -> Reals:
        codes = encode(state, source.format, source.rounding)
        return ops.execute(program, codes)[..., 0] * step

    return torque


def main() -> None:
    network = importer.run(HERE / "pendulum.onnx")
    regions = importer.read_regions(str(HERE / "box.json"), 2)

    def real(state: Reals) -> Reals:
        return ops.evaluate(network, state)[..., 0]

    controllers = {"float": real}
    for bits in (16, 12, 10, 8):
        program = quantize.run(network, QuantizeRequest(regions, bits=bits))
        controllers[f"{bits} bits"] = on_device(program)
    probes = np.random.default_rng(0).uniform(-1.0, 1.0, (100_000, 2)) * SCALE
    for name, controller in controllers.items():
        upright = balanced(simulate(controller, starts(400, 99)))
        deviation = np.abs(controller(probes) - real(probes)).max()
        print(f"{name:>8}: {upright.mean():6.1%} upright, deviates {deviation:.2g} Nm at most")


if __name__ == "__main__":
    main()
