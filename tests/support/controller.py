"""A small controller as an ONNX file, and `qdeploy` as a process: what command-line tests need."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_controller(path: Path, scale: float = 1.0) -> Path:
    """Write a 2-4-1 ReLU network with easy parameters."""
    rng = np.random.default_rng(7)
    shapes = {"w1": (4, 2), "c1": (4,), "w2": (1, 4), "c2": (1,)}
    arrays = {n: (scale * rng.normal(size=s)).astype(np.float32) for n, s in shapes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "c1"], ["y1"], "hidden", transB=1),
        helper.make_node("Relu", ["y1"], ["a1"], "relu"),
        helper.make_node("Gemm", ["a1", "w2", "c2"], ["y"], "out", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "controller",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def write_dense_chain(path: Path, widths: Sequence[int], gain: float = 1.0) -> Path:
    """Write a ReLU network of these widths, whose weights are about `gain` / inputs."""
    rng = np.random.default_rng(11)
    nodes, arrays = [], {}
    for k, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        weight = rng.normal(size=(n_out, n_in)).astype(np.float32)
        arrays[f"w{k}"] = weight * np.float32(gain / n_in)
        arrays[f"c{k}"] = rng.normal(size=n_out).astype(np.float32)
        nodes.append(
            helper.make_node("Gemm", [f"a{k}", f"w{k}", f"c{k}"], [f"y{k}"], f"dense_{k}", transB=1)
        )
        nodes.append(helper.make_node("Relu", [f"y{k}"], [f"a{k + 1}"], f"relu_{k}"))
    graph = helper.make_graph(
        nodes[:-1],
        "chain",
        [helper.make_tensor_value_info("a0", TensorProto.FLOAT, ["n", widths[0]])],
        [helper.make_tensor_value_info(nodes[-2].output[0], TensorProto.FLOAT, ["n", widths[-1]])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of a fresh qdeploy process."""
    return [sys.executable, "-m", "qdeploy", *map(str, arguments)]


_SPENDING = {"--work", "--time-limit", "--config"}


def run(*arguments: str | Path, cwd: Path | None = None, long: bool = False, **environment: str):
    """Run qdeploy in a process of its own; searches are short unless `long` or told otherwise."""
    searches = bool(arguments) and arguments[0] in ("build", "certify")
    if searches and not long and not _SPENDING & set(map(str, arguments)):
        arguments = (*arguments, "--work", "0.2")
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def answer(process):
    """Return the one JSON object on stdout."""
    return json.loads(process.stdout)
