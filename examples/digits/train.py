"""Train a handwritten-digit classifier, 64-24-10 ReLU, on scikit-learn's bundled scans.

    python train.py

Writes digits.onnx (input: 8x8 pixels in 0..1, output: ten scores), samples.npz (the held-out
scans `x` and their `label`) and box.json (every pixel free).
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent


def scans() -> list[NDArray[np.float64]]:
    """Training and held-out scans: pixels in 0..1, stratified, always the same split."""
    digits = load_digits()
    return train_test_split(
        digits.data / 16.0, digits.target, test_size=450, random_state=0, stratify=digits.target
    )


def write_onnx(model: MLPClassifier, path: Path) -> None:
    parameters = {}
    for index, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), 1):
        parameters[f"layer{index}_weight"] = weight.T.astype(np.float32)
        parameters[f"layer{index}_bias"] = bias.astype(np.float32)
    nodes = [
        helper.make_node(
            "Gemm", ["pixels", "layer1_weight", "layer1_bias"], ["sum"], "layer1", transB=1
        ),
        helper.make_node("Relu", ["sum"], ["hidden"], "relu1"),
        helper.make_node(
            "Gemm", ["hidden", "layer2_weight", "layer2_bias"], ["scores"], "layer2", transB=1
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in parameters.items()],
    )
    onnx_model = helper.make_model(
        graph, producer_name="train.py", opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(onnx_model)
    path.write_bytes(onnx_model.SerializeToString(deterministic=True))


def main() -> None:
    x, x_held_out, label, label_held_out = scans()
    model = MLPClassifier(
        hidden_layer_sizes=(24,), alpha=0.02, max_iter=400, random_state=0, tol=1e-5
    )
    warnings.simplefilter("ignore", ConvergenceWarning)  # so many passes, no more, are meant
    model.fit(x, label)
    seen, held_out = model.score(x, label), model.score(x_held_out, label_held_out)
    print(f"accuracy: {seen:.2%} seen, {held_out:.2%} held out")
    write_onnx(model, HERE / "digits.onnx")
    np.savez_compressed(
        HERE / "samples.npz", x=x_held_out.astype(np.float32), label=label_held_out.astype(np.int8)
    )
    box = {"lo": [0.0] * 64, "hi": [1.0] * 64}
    (HERE / "box.json").write_text(json.dumps(box) + "\n")


if __name__ == "__main__":
    main()
