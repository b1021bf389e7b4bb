"""The library is a function of the program alone, carries what it needs, and refuses the rest."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy import generate
from qdeploy.diagnostics import InputError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.generate._buffers import plan
from qdeploy.ir import (
    FixedArray,
    FixedNetwork,
    FixedNode,
    FixedTensor,
    Tensor,
    decode_program,
    encode_program,
    program_digest,
)
from qdeploy.resources import folder
from support.programs import random_program

SEEDS = st.integers(0, 10_000)
PROGRAM = random_program(71)
"""Two dense layers and a ReLU."""


def replaced(program, index, **changes):
    """Return the program with one node changed."""
    nodes = list(program.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **changes)
    return dataclasses.replace(program, nodes=tuple(nodes))


def with_format(program, tensor_id, fmt):
    tensors = tuple(
        dataclasses.replace(t, format=fmt) if t.id == tensor_id else t for t in program.tensors
    )
    return dataclasses.replace(program, tensors=tensors)


@given(SEEDS)
def test_equal_programs_give_equal_bytes(seed):
    once = random_program(seed)
    again = decode_program(encode_program(once), name="*/ another name")
    assert generate.library(once) == generate.library(again)


def test_no_text_of_the_model_reaches_a_file():
    hostile = "*/ int x; /*"
    tensors = tuple(
        dataclasses.replace(t, tensor=dataclasses.replace(t.tensor, source=hostile))
        for t in PROGRAM.tensors
    )
    named = dataclasses.replace(PROGRAM, name=hostile, tensors=tensors)
    assert generate.library(named) == generate.library(PROGRAM)


def test_the_abi_is_that_of_the_runtime():
    header = (folder("firmware") / "include" / "qd_model.h").read_text()
    assert re.findall(r"^#define QD_ABI (\d+)$", header, re.MULTILINE) == [str(generate.ABI)]


@given(SEEDS)
def test_the_library_is_complete(seed):
    """Every include is there, every source is in the build file, and nothing else comes along."""
    files = generate.library(random_program(seed)).files
    included = {
        name
        for data in files.values()
        for name in re.findall(r'^#include "([^"]+)"$', data.decode(), re.MULTILINE)
    }
    sources = {name for name in files if name.endswith(".c")}
    listed = set(re.findall(r"^  (\w+\.c)$", files["CMakeLists.txt"].decode(), re.MULTILINE))
    assert listed == sources
    assert set(files) == included | sources | {"CMakeLists.txt"}


@given(SEEDS)
def test_the_header_says_what_the_program_is(seed):
    program = random_program(seed)
    header = generate.library(program).files["model.h"].decode()
    macros = dict(re.findall(r"^#define (QD_MODEL_\w+) (.+)$", header, re.MULTILINE))
    values = {name: sum(map(int, _terms(text))) for name, text in macros.items()}
    read, written = program.input, program.output
    assert {k: v for k, v in values.items() if not k.endswith("_BYTES")} == {
        "QD_MODEL_N_IN": read.tensor.size,
        "QD_MODEL_N_OUT": written.tensor.size,
        "QD_MODEL_IN_FB": read.format.fb,
        "QD_MODEL_OUT_FB": written.format.fb,
        "QD_MODEL_IN_MIN": read.format.raw_min,
        "QD_MODEL_IN_MAX": read.format.raw_max,
        "QD_MODEL_OUT_MIN": written.format.raw_min,
        "QD_MODEL_OUT_MAX": written.format.raw_max,
    }
    assert program_digest(program) in header


def _terms(text):
    return text.strip("()").replace(" - 1", " -1").split()


@given(SEEDS)
def test_a_buffer_is_never_overwritten_before_its_last_reader(seed):
    program = random_program(seed)
    placed = plan(program)
    holds = {}
    for node in program.nodes:
        for tensor in node.inputs:
            assert holds.get(placed.places[tensor], tensor) == tensor
            assert placed.places[tensor] != placed.places[node.output]
        holds[placed.places[node.output]] = node.output
    sizes = {buffer.name: (buffer.bits, buffer.size) for buffer in placed.buffers}
    for tensor in program.tensors:
        place = placed.places[tensor.id]
        if place not in ("in", "out"):
            bits, size = sizes[place]
            assert bits == tensor.format.container_bits
            assert size >= tensor.tensor.size


def test_a_long_chain_of_one_width_takes_two_buffers():
    """t1 and t3 share one, t2 and t4 the other; t0 and t5 are the caller's."""
    widths = [4, 9, 3, 8, 2, 7]
    fmt = QFormat(4, 4)
    tensors = [
        FixedTensor(Tensor(f"t{i}", (n,)), fmt, Rounding.FLOOR) for i, n in enumerate(widths)
    ]
    nodes = [FixedNode(f"n{i}", "dense", (f"t{i}",), f"t{i + 1}") for i in range(5)]
    chain = FixedNetwork("chain", ("t0",), ("t5",), tuple(tensors), tuple(nodes))
    assert [(b.bits, b.size) for b in plan(chain).buffers] == [(8, 9), (8, 3)]


def drawn(op):
    """A random program with this activation, and the number of that node."""
    for seed in range(400):
        program = random_program(seed, activated=True)
        for index, node in enumerate(program.nodes):
            if node.op == op and program.tensor(node.inputs[0]).format.bits < 16:
                return program, index
    raise LookupError(op)


def with_array(op, name, change):
    """The program with an array of its activation changed by `change`."""
    program, index = drawn(op)
    array = change(program.nodes[index].arrays[name])
    return replaced(program, index, arrays={name: array})


def with_integers(op, **integers):
    program, index = drawn(op)
    return replaced(program, index, integers={**program.nodes[index].integers, **integers})


def with_output(op, fmt):
    program, index = drawn(op)
    return with_format(program, program.nodes[index].output, fmt)


REFUSED_ACTIVATIONS = {
    "a clip between formats": (
        lambda: with_output("clip", QFormat(3, 1)),
        "input and output of a clip differ in format or size",
    ),
    "a clip that is empty": (
        lambda: with_integers("clip", clamp_lo=1, clamp_hi=0),
        "the limits of a clip are no codes, or out of order",
    ),
    "a leaky relu between formats": (
        lambda: with_output("leaky_relu", QFormat(3, 1)),
        "input and output of a leaky ReLU differ in format or size",
    ),
    "a slope too many": (
        lambda: with_array(
            "leaky_relu", "slope", lambda a: FixedArray(np.zeros(99, dtype=np.int64), a.format)
        ),
        "as many slopes as elements, or one, are needed",
    ),
    "a slope that multiplies by 2": (
        lambda: with_array("leaky_relu", "slope", lambda a: FixedArray(a.raw * 0, QFormat(4, -1))),
        "slopes <4,-1> are beyond 16 bits",
    ),
    "a slope of 17 bits": (
        lambda: with_array("leaky_relu", "slope", lambda a: FixedArray(a.raw, QFormat(17, 0))),
        "slopes <17,0> are beyond 16 bits",
    ),
    "a table with a value too few": (
        lambda: with_array("tanh", "values", lambda a: FixedArray(a.raw[:-1], a.format)),
        "inconsistent number of values",
    ),
    "a table read by wide codes": (
        lambda: with_format(drawn("tanh")[0], tanh_source(), QFormat(17, 0)),
        "inconsistent width of codes",
    ),
    "a table coarser than its output": (
        lambda: with_array("tanh", "values", lambda a: FixedArray(a.raw * 0, QFormat(200, -190))),
        "inconsistent formats",
    ),
    "a table of 33 bits": (
        lambda: with_array(
            "tanh", "values", lambda a: FixedArray(a.raw, QFormat(33 - a.format.fb, a.format.fb))
        ),
        "inconsistent width of values",
    ),
    "a negative distance": (
        lambda: with_integers("tanh", shift=-1),
        "inconsistent spacing",
    ),
    "a huge distance": (
        lambda: with_integers("tanh", shift=1 << 40),
        "inconsistent spacing",
    ),
}


def tanh_source():
    program, index = drawn("tanh")
    return program.nodes[index].inputs[0]


@pytest.mark.parametrize("case", REFUSED_ACTIVATIONS)
def test_an_activation_the_runtime_cannot_mean_is_refused(case):
    make, complaint = REFUSED_ACTIVATIONS[case]
    with pytest.raises(InputError) as refusal:
        generate.library(make())
    assert complaint in refusal.value.what


REFUSED = {
    "nothing to compute": (
        lambda: dataclasses.replace(
            PROGRAM, outputs=PROGRAM.inputs, tensors=PROGRAM.tensors[:1], nodes=()
        ),
        "the network computes nothing: its output is its input",
    ),
    "a name that is no identifier": (
        lambda: replaced(PROGRAM, 0, name="x = 1; //"),
        "node names ['x = 1; //'] are not distinct C identifiers",
    ),
    "two nodes of one name": (
        lambda: replaced(PROGRAM, 0, name=PROGRAM.nodes[1].name),
        "are not distinct C identifiers",
    ),
    "a tensor of 33 bits": (
        lambda: with_format(
            PROGRAM, "input", QFormat(33 - PROGRAM.input.format.fb, PROGRAM.input.format.fb)
        ),
        "tensor input has 33 bits; a device stores at most 32",
    ),
    "another input scale": (
        lambda: with_format(
            PROGRAM, "input", QFormat(PROGRAM.input.format.ib, PROGRAM.input.format.fb + 1)
        ),
        "the integer program contradicts itself: inconsistent scales",
    ),
    "another shift": (
        lambda: replaced(PROGRAM, 0, integers={**PROGRAM.nodes[0].integers, "shift": 3}),
        "the integer program contradicts itself: inconsistent shift",
    ),
    "a clamp outside the format": (
        lambda: replaced(PROGRAM, 0, integers={**PROGRAM.nodes[0].integers, "clamp_hi": 1 << 20}),
        "inconsistent clamp",
    ),
    "an empty clamp": (
        lambda: replaced(
            PROGRAM, 0, integers={**PROGRAM.nodes[0].integers, "clamp_lo": 1, "clamp_hi": 0}
        ),
        "inconsistent clamp",
    ),
    "no accumulator": (lambda: replaced(PROGRAM, 0, accumulator=None), "no accumulator"),
    "a bias beyond the accumulator": (
        lambda: replaced(
            PROGRAM, 0, accumulator=dataclasses.replace(PROGRAM.nodes[0].accumulator, bound=0)
        ),
        "inconsistent bias",
    ),
    "a row too many": (
        lambda: replaced(
            PROGRAM,
            0,
            arrays={
                **PROGRAM.nodes[0].arrays,
                "bias": FixedArray(
                    np.zeros(9, dtype=np.int64), PROGRAM.nodes[0].arrays["bias"].format
                ),
            },
        ),
        "inconsistent shapes",
    ),
    "a relu between formats": (
        lambda: with_format(PROGRAM, PROGRAM.outputs[0], QFormat(1, 1)),
        "input and output of a relu differ in format or size",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_program_the_runtime_cannot_mean_is_refused(case):
    make, complaint = REFUSED[case]
    with pytest.raises(InputError) as refusal:
        generate.library(make())
    assert complaint in refusal.value.what
    assert refusal.value.fix


def test_a_layer_beyond_the_index_type_is_refused():
    fmt = QFormat(4, 4)
    tensors = tuple(FixedTensor(Tensor(n, (65_536,)), fmt, Rounding.FLOOR) for n in ("x", "y"))
    wide = FixedNetwork("wide", ("x",), ("y",), tensors, (FixedNode("r", "relu", ("x",), "y"),))
    with pytest.raises(InputError, match=r"tensor x has 65536 elements; .* at most 65535"):
        generate.library(wide)
