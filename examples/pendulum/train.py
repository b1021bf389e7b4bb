"""Train the pendulum's swing-up and balancing controller, 2-16-16-1 ReLU, and write pendulum.onnx.

A pendulum of 1 kg on a rod of 1 m is driven by a motor of at most 3 Nm, a third of what would hold
it horizontally: it must swing up. The teacher pumps energy while the pendulum is low and hands
over to a linear-quadratic regulator near the top. The network imitates it on states it visits.

    python train.py

Inputs: angle in rad (0 is upright, positive counter-clockwise), rate in rad/s. Output: torque, Nm.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

Reals = NDArray[np.floating]
Controller = Callable[[Reals], Reals]

HERE = Path(__file__).parent
GRAVITY, FRICTION, TORQUE = 9.81, 0.1, 3.0
STEP, SECONDS = 0.02, 12.0
SCALE = np.array([np.pi, 7.5])
"""The operating box: |angle| <= pi, |rate| <= 7.5."""


def acceleration(state: Reals, torque: Reals) -> Reals:
    angle, rate = state[..., 0], state[..., 1]
    return GRAVITY * np.sin(angle) - FRICTION * rate + torque


def regulator_gain() -> Reals:
    """The stabilising Riccati solution, from the Hamiltonian's stable eigenvectors."""
    a = np.array([[0.0, 1.0], [GRAVITY, -FRICTION]])
    b = np.array([[0.0], [1.0]])
    hamiltonian = np.block([[a, -b @ b.T], [-np.diag([4.0, 1.0]), -a.T]])
    values, vectors = np.linalg.eig(hamiltonian)
    stable = vectors[:, values.real < 0]
    riccati = np.real(stable[2:] @ np.linalg.inv(stable[:2]))
    return (b.T @ riccati)[0]


GAIN = regulator_gain()


def teacher(state: Reals) -> Reals:
    """Energy pumping below, regulator near the top, a smooth step between them."""
    angle, rate = state[..., 0], state[..., 1]
    missing = GRAVITY * (1.0 - np.cos(angle)) - 0.5 * rate**2
    pump = TORQUE * np.clip(missing / 3.0, -1.0, 1.0) * np.tanh(1.5 * rate)
    hold = -(state @ GAIN)
    reach = np.abs(hold) / TORQUE + 2.0 * (1.0 - np.cos(angle))
    share = 1.0 / (1.0 + np.exp(6.0 * (reach - 1.6)))
    return np.clip(share * hold + (1.0 - share) * pump, -TORQUE, TORQUE)


def simulate(controller: Controller, start: Reals) -> Reals:
    """Closed loop, semi-implicit Euler; the angle is wrapped, the motor saturates."""
    state = np.array(start, dtype=float)
    visited = [state.copy()]
    for _ in range(int(SECONDS / STEP)):
        torque = np.clip(controller(state), -TORQUE, TORQUE)
        state[..., 1] += STEP * acceleration(state, torque)
        state[..., 0] += STEP * state[..., 1]
        state[..., 0] = (state[..., 0] + np.pi) % (2 * np.pi) - np.pi
        visited.append(state.copy())
    return np.array(visited)


def starts(count: int, seed: int) -> Reals:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.0, 1.0, (count, 2)) * [np.pi, 2.0]


def balanced(path: Reals) -> NDArray[np.bool_]:
    """Which runs end upright and at rest."""
    return (np.abs(path[-50:, :, 0]).max(axis=0) < 0.2) & (
        np.abs(path[-50:, :, 1]).max(axis=0) < 0.5
    )


def as_controller(model: MLPRegressor) -> Controller:
    return lambda state: model.predict(state / SCALE) * TORQUE


def train() -> MLPRegressor:
    """Imitate the teacher on its own states, then on those the pupil runs into."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # so many passes, no more, are meant
    rng = np.random.default_rng(0)
    states = [rng.uniform(-1.0, 1.0, (20_000, 2)) * SCALE, rng.normal(size=(8000, 2)) * [0.3, 1.0]]
    states.append(simulate(teacher, starts(60, 1)).reshape(-1, 2)[::3])
    model = MLPRegressor(
        hidden_layer_sizes=(16, 16), max_iter=60, random_state=0, warm_start=True, alpha=3e-4
    )
    for turn in range(4):
        x = np.concatenate(states)
        x = x[np.abs(x / SCALE).max(axis=1) <= 1.0]
        model.fit(x / SCALE, teacher(x) / TORQUE)
        path = simulate(as_controller(model), starts(60, 2 + turn))
        print(f"turn {turn}: {balanced(path).mean():.0%} of 60 starts end upright")
        states.append(path.reshape(-1, 2)[::3])
    return model


def layers(model: MLPRegressor) -> list[tuple[Reals, Reals]]:
    """Weights [n_out, n_in] and biases in rad, rad/s and Nm: the scaling moves into the ends."""
    weights, biases = [w.T for w in model.coefs_], list(model.intercepts_)
    weights[0] = weights[0] / SCALE
    weights[-1], biases[-1] = weights[-1] * TORQUE, biases[-1] * TORQUE
    return [
        (w.astype(np.float32), b.astype(np.float32)) for w, b in zip(weights, biases, strict=True)
    ]


def write_onnx(parameters: list[tuple[Reals, Reals]], path: Path) -> None:
    nodes, initializers, value = [], [], "state"
    for index, (weight, bias) in enumerate(parameters, 1):
        names = [f"layer{index}_weight", f"layer{index}_bias"]
        initializers += [
            numpy_helper.from_array(a, n) for a, n in zip((weight, bias), names, strict=True)
        ]
        last = index == len(parameters)
        output = "torque" if last else f"layer{index}_sum"
        nodes.append(helper.make_node("Gemm", [value, *names], [output], f"layer{index}", transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [output], [f"layer{index}_out"], f"relu{index}"))
            value = f"layer{index}_out"
    graph = helper.make_graph(
        nodes,
        "pendulum",
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("torque", TensorProto.FLOAT, ["batch", 1])],
        initializers,
    )
    model = helper.make_model(
        graph, producer_name="train.py", opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    print(f"teacher: {balanced(simulate(teacher, starts(200, 99))).mean():.1%} end upright")
    trained = train()
    result = simulate(as_controller(trained), starts(200, 99))
    print(f"network: {balanced(result).mean():.1%} of 200 starts end upright")
    print("largest rate seen", np.abs(result[..., 1]).max())
    write_onnx(layers(trained), HERE / "pendulum.onnx")
    box = {"lo": [-3.15, -7.5], "hi": [3.15, 7.5]}
    (HERE / "box.json").write_text(json.dumps(box, indent=2) + "\n")
