"""Many generated libraries in one binary, so that hundreds of programs compile in a second.

A library defines fixed names, and a batch holds many: every model.c is included with its names
renamed by macros, unchanged otherwise. Kernels are compiled once for the whole batch.
"""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, c_char_p, c_uint32, create_string_buffer
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qdeploy import generate, ops
from qdeploy.resources import folder

from support import emulated

FIRMWARE = folder("firmware")
_PER_UNIT = 50
_NODE_NAMES = ("weight", "bias", "layer", "slope", "values", "table")
_FIXED_NAMES = ("qd_model_in_t", "qd_model_out_t", "run_untyped")
"""Beside those that end with the program's digest."""
_PLAIN = "const qd_model_info qd_model = {"

_HEAD = """\
#include <stdint.h>
#include "qd_model.h"
extern const qd_model_info *const batch_models[];
void batch_run(uint32_t model, uint32_t count, const void *in, void *out);
"""

_RUN = """\
void batch_run(uint32_t model, uint32_t count, const void *in, void *out)
{
    const qd_model_info *const m = batch_models[model];
    const uint8_t *from = (const uint8_t *)in;
    uint8_t *to = (uint8_t *)out;

    for (uint32_t k = 0; k < count; k++) {
        m->run(from, to);
        from += (uint32_t)m->n_in * m->in_bytes;
        to += (uint32_t)m->n_out * m->out_bytes;
    }
}
"""

# Every vector gets blocks of exactly its size, so that one byte too far is seen.
_MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include "batch.h"
int main(void)
{
    uint32_t request[2];
    while (fread(request, sizeof request, 1, stdin) == 1) {
        const qd_model_info *const m = batch_models[request[0]];
        const size_t in_bytes = (size_t)m->n_in * m->in_bytes;
        const size_t out_bytes = (size_t)m->n_out * m->out_bytes;
        for (uint32_t k = 0; k < request[1]; k++) {
            void *in = malloc(in_bytes);
            void *out = malloc(out_bytes);
            if (fread(in, in_bytes, 1, stdin) != 1) {
                return 2;
            }
            batch_run(request[0], 1, in, out);
            fwrite(out, out_bytes, 1, stdout);
            free(in);
            free(out);
        }
    }
    return 0;
}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A program, input codes, and what Python makes of them."""

    program: object
    codes: np.ndarray
    expected: np.ndarray

    @property
    def input_bytes(self):
        return self.codes.astype(_dtype(self.program.input)).tobytes()

    def read_output(self, data):
        """Return output codes from the bytes a binary gave."""
        flat = np.frombuffer(data, dtype=_dtype(self.program.output)).astype(np.int64)
        return flat.reshape(len(self.codes), -1)

    @property
    def output_size(self):
        return self.expected.size * np.dtype(_dtype(self.program.output)).itemsize


def case(program, codes):
    return Case(program, codes, ops.execute(program, codes))


def _dtype(tensor):
    return f"=i{tensor.format.container_bits // 8}"


@dataclass(frozen=True, slots=True)
class Batch:
    """The sources of many libraries, written to a folder."""

    folder: Path
    cases: tuple[Case, ...]

    @property
    def sources(self):
        return [*sorted(self.folder.glob("unit_*.c")), self.folder / "batch.c"]

    def compile(self, command, build):
        """Compile every source with `command`, two at a time; return the objects."""
        build.mkdir()
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda s: self._object(command, s, build), self.sources))

    def _object(self, command, source, build):
        target = build / f"{source.stem}.o"
        includes = ["-I", str(self.folder), "-I", str(self.folder / "runtime")]
        tool([*command, *includes, "-c", str(source), "-o", str(target)])
        return str(target)


def tool(command, **options):
    """Run a program; its complaints are the failure text."""
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def write(cases, target):
    """Write a batch of libraries, with the kernels they use, into the folder `target`."""
    runtime = target / "runtime"
    runtime.mkdir(parents=True)
    for number, one in enumerate(cases):
        own = target / f"p{number}"
        own.mkdir()
        for name, content in generate.library(one.program).files.items():
            if name == "model.c":
                (own / name).write_text(_renamed(content.decode(), number))
            else:
                (own if name == "model.h" else runtime).joinpath(name).write_bytes(content)
    for first in range(0, len(cases), _PER_UNIT):
        numbers = range(first, min(first + _PER_UNIT, len(cases)))
        unit = "".join(_include(target, n, cases[n].program) for n in numbers)
        (target / f"unit_{first // _PER_UNIT}.c").write_text(unit)
    kernels = sorted(path.name for path in runtime.glob("*.c"))
    (target / "unit_kernels.c").write_text("".join(f'#include "{name}"\n' for name in kernels))
    (target / "batch.h").write_text(_HEAD)
    (target / "batch.c").write_text('#include "batch.h"\n' + _table(len(cases)) + _RUN)
    (target / "main.c").write_text(_MAIN)
    return Batch(target, tuple(cases))


def _renamed(source, number):
    """A model.c whose plain object, the second of its two, is called after the number."""
    head, _, tail = source.rpartition("#undef qd_model\n")
    assert tail.count("qd_model;") == 1
    assert tail.count(_PLAIN) == 1
    return f"{head}#undef qd_model\n#define qd_model qd_model_{number}\n{tail}#undef qd_model\n"


def _include(home, number, program):
    """Text that includes one model.c under names of its own."""
    names = [*_FIXED_NAMES, *(f"buffer_{n}" for n in range(len(program.nodes)))]
    names += [f"{n.name}_{part}" for n in program.nodes for part in _NODE_NAMES]
    header = (home / f"p{number}" / "model.h").read_text()
    macros = re.findall(r"^#define (\w+)", header, re.MULTILINE)
    before = "".join(f"#define {name} {name}_{number}\n" for name in names)
    after = "".join(f"#undef {name}\n" for name in [*names, *macros])
    return f'{before}#include "p{number}/model.c"\n{after}'


def _table(count):
    declared = "".join(f"extern const qd_model_info qd_model_{n};\n" for n in range(count))
    listed = "".join(f"    &qd_model_{n},\n" for n in range(count))
    return f"{declared}const qd_model_info *const batch_models[] = {{\n{listed}}};\n"


def differences(batch, outputs):
    """Return, in words, where the outputs differ from Python's."""
    return [
        f"program {number}, vector {k}: expected {one.expected[k]}, got {got[k]}"
        for number, (one, got) in enumerate(zip(batch.cases, outputs, strict=True))
        if not np.array_equal(one.expected, got)
        for k in [int(np.argmax((one.expected != got).any(axis=1)))]
    ]


def run_shared(batch, path):
    """Run every case in this process, through a shared object."""
    library = CDLL(str(path))
    run = library.batch_run
    run.argtypes = [c_uint32, c_uint32, c_char_p, c_char_p]
    run.restype = None
    results = []
    for number, one in enumerate(batch.cases):
        out = create_string_buffer(one.output_size)
        run(number, len(one.codes), one.input_bytes, out)
        results.append(one.read_output(out.raw))
    return results


def run_executable(batch, path):
    """Run every case in a process of its own, over its standard input."""
    request = b"".join(
        np.array([number, len(one.codes)], dtype="=u4").tobytes() + one.input_bytes
        for number, one in enumerate(batch.cases)
    )
    answer = tool([str(path)], input=request)
    results, at = [], 0
    for one in batch.cases:
        results.append(one.read_output(answer[at : at + one.output_size]))
        at += one.output_size
    assert at == len(answer)
    return results


def sanitized(batch, command, build):
    """Build the executable that stops at the first undefined behaviour or stray access."""
    command = [*command, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
    objects = batch.compile(command, build / "objects")
    includes = ["-I", str(batch.folder), "-I", str(batch.folder / "runtime")]
    executable = build / "batch"
    tool([*command, str(batch.folder / "main.c"), *includes, *objects, "-o", str(executable)])
    return executable


def run_core(batch, core):
    """Run every case on an emulated core."""
    half = 0x40_0000
    results = []
    for number, one in enumerate(batch.cases):
        core.write(emulated.DATA, one.input_bytes)
        core.call("batch_run", number, len(one.codes), emulated.DATA, emulated.DATA + half)
        results.append(one.read_output(core.read(emulated.DATA + half, one.output_size)))
    return results
