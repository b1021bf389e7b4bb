"""A small build's material, made by hand: what the report and the command line are tested with."""

from fractions import Fraction

import numpy as np
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import (
    Accumulator,
    Box,
    CompilerIdentity,
    Firmware,
    FixedArray,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    ModelSource,
    Network,
    Node,
    Tensor,
    Verdict,
    exact,
    program_digest,
)
from qdeploy.report import Bound, Found, Material, RegionResult, Statement


def small_network(name: str = "controller") -> Network:
    """y = (0.5 x0 - x1, x0 + 0.25)."""
    x, y = Tensor("input", (2,), "x"), Tensor("dense_1", (2,), "y")
    parameters = {"weight": exact([[0.5, -1.0], [1.0, 0.0]]), "bias": exact([0.0, 0.25])}
    node = Node("dense_1", "dense", ("input",), "dense_1", parameters, "Gemm_0")
    source = ModelSource(f"{name}.onnx", "ab" * 32)
    return Network(name, (x,), (y,), (node,), (x, y), source, ("folded Mul 'm' into dense_1",))


def small_program() -> FixedNetwork:
    """The same in 8 bits."""
    x = FixedTensor(Tensor("input", (2,)), QFormat(2, 6), Rounding.NEAREST)
    y = FixedTensor(Tensor("dense_1", (2,)), QFormat(3, 5), Rounding.NEAREST)
    arrays = {
        "weight": FixedArray(np.array([[32, -64], [64, 0]]), QFormat(2, 6)),
        "bias": FixedArray(np.array([0, 1024]), QFormat(20, 12)),
    }
    integers = {"shift": 7, "clamp_lo": -128, "clamp_hi": 127}
    accumulator = Accumulator(32, 12, 12352)
    node = FixedNode("dense_1", "dense", ("input",), "dense_1", arrays, integers, accumulator)
    return FixedNetwork("controller", ("input",), ("dense_1",), (x, y), (node,))


def unit_box(name: str = "operating") -> Box:
    """[-1, 1]^2."""
    one = Fraction(1)
    return Box((-one, -one), (one, one), name)


def found(*per_output: Fraction) -> Found:
    """A deviation found at a corner."""
    return Found(max(per_output), per_output, (Fraction(1), Fraction(-1)))


def proven(*per_output: Fraction) -> Bound:
    """A bound per output, with the 2-norm they imply generously."""
    return Bound(max(per_output), sum(per_output, Fraction(0)), per_output)


def statement(bound: Bound | None, attack: Found) -> Statement:
    """A statement about one region."""
    return Statement(
        (RegionResult(unit_box(), bound, attack),),
        ("interval",),
        ("Python's integers are exact", "the compiler is right"),
        "cd" * 32,
    )


def firmware() -> Firmware:
    """An image that was never compiled."""
    compiler = CompilerIdentity("clang", "22.1", ("-Os", "-mcpu=cortex-m4"))
    image = (b"\x7fELF", b":00", b"\x00", b"map")
    digest = program_digest(small_program())
    made = (2048, 96, 128, compiler, digest, f"qd_model_{digest}", {"cpu": "cortex-m4"})
    return Firmware("virtual-m4", *image, *made)


def verdict(*, bit_exact: bool = True, within_bound: bool | None = True) -> Verdict:
    """What a device run said."""
    difference = "" if bit_exact else "vector 3, output 0: expected 5, got 6"
    return Verdict(
        "unicorn", 256, bit_exact, 0.015, within_bound, 1234, None, first_difference=difference
    )


def material(*, with_device: bool = True, with_bound: bool = True) -> Material:
    """Everything a page needs."""
    bound = proven(Fraction(1, 50), Fraction(1, 100)) if with_bound else None
    program = small_program()
    return Material(
        "0.1.0",
        small_network(),
        program,
        program_digest(program),
        statement(bound, found(Fraction(1, 64), Fraction(1, 200))),
        firmware() if with_device else None,
        verdict() if with_device else None,
    )
