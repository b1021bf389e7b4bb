"""The examples we ship are what their READMEs say."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from qdeploy import importer, ops, quantize
from qdeploy.fixedpoint import encode
from qdeploy.ir import QuantizeRequest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    folder = EXAMPLES / name
    network = importer.run(folder / f"{name}.onnx")
    size = network.inputs[0].size
    return folder, network, importer.read_regions(str(folder / "box.json"), size)


@pytest.mark.parametrize(
    ("name", "sizes", "output"),
    [("pendulum", [2, 16, 16, 1], "torque"), ("digits", [64, 24, 10], "scores")],
)
def test_examples_import_as_described(name, sizes, output):
    _, network, _ = load(name)
    weights = [n.parameters["weight"].shape for n in network.nodes if n.op == "dense"]
    assert weights == [(b, a) for a, b in itertools.pairwise(sizes)]
    assert network.outputs[0].source == output


def device(network, regions, bits):
    """Return what computes a program's answers, or the network's without bits."""
    if bits is None:
        return lambda x: ops.evaluate(network, x)
    program = quantize.run(network, QuantizeRequest(regions, bits=bits))
    step = float(program.output.format.step)

    def answers(x):
        codes = encode(x, program.input.format, program.input.rounding)
        return ops.execute(program, codes) * step

    return answers


@pytest.mark.parametrize(("bits", "right"), [(None, 0.9733), (16, 0.9733), (8, 0.9667)])
def test_digits_are_read_as_well_as_the_readme_says(bits, right):
    folder, network, regions = load("digits")
    with np.load(folder / "samples.npz") as samples:
        x, label = samples["x"].astype(np.float64), samples["label"]
    scores = device(network, regions, bits)(x)
    assert np.mean(scores.argmax(axis=1) == label) == pytest.approx(right, abs=1e-4)
    assert f"{right * 100:.2f} %" in (folder / "README.md").read_text()


@pytest.mark.parametrize("bits", [None, 8])
def test_the_pendulum_swings_up(bits):
    """From hanging at rest, and from a push; the plant in a dozen lines of its own."""
    _, network, regions = load("pendulum")
    answers = device(network, regions, bits)
    state = np.array([[3.1, 0.0], [-3.0, 0.5], [1.5, -1.0]])
    for _ in range(600):
        output = answers(state)
        torque = np.clip(output[:, 0], -3.0, 3.0)
        state[:, 1] += 0.02 * (9.81 * np.sin(state[:, 0]) - 0.1 * state[:, 1] + torque)
        state[:, 0] = (state[:, 0] + 0.02 * state[:, 1] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(state).max() < 0.5
