"""Several libraries in one program: each under its name, and never a wrong one by mistake."""

import re
import shutil
import subprocess

import pytest
from qdeploy import generate
from qdeploy.ir import program_digest
from support import batch, compilers
from support.programs import random_codes, random_program
from support.tools import require_tool

LEFT, RIGHT = random_program(71), random_program(3)
CALL = """
    {
        static const %(lower)s_in_t in[%(upper)s_N_IN] = {%(codes)s};
        static const %(lower)s_out_t expected[%(upper)s_N_OUT] = {%(expected)s};
        %(lower)s_out_t direct[%(upper)s_N_OUT], by_info[%(upper)s_N_OUT];
        %(lower)s_run(in, direct);
        %(info)s.run(in, by_info);
        for (int i = 0; i < %(upper)s_N_OUT; i++) {
            if (direct[i] != expected[i] || by_info[i] != expected[i]) {
                return 1;
            }
        }
    }
"""


def literals(codes):
    return ", ".join("(-2147483647 - 1)" if c == -(1 << 31) else str(c) for c in codes.tolist())


def use(program, name=None):
    """C that calls the library and compares with Python."""
    case = batch.case(program, random_codes(program, 8, 1)[5:6])
    prefix = name or "qd_model"
    return CALL % {
        "lower": prefix,
        "upper": prefix.upper(),
        "info": f"{name}_model" if name else "qd_model",
        "codes": literals(case.codes[0]),
        "expected": literals(case.expected[0]),
    }


def main(*headers, calls=()):
    includes = "".join(f'#include "{header}"\n' for header in headers)
    return f"{includes}int main(void)\n{{{''.join(calls)}    return 0;\n}}\n"


@pytest.fixture(params=list(compilers.HOST))
def bench(request, tmp_path):
    return Bench(compilers.host(request.param), tmp_path)


class Bench:
    """A folder in which libraries are written, compiled and linked."""

    def __init__(self, command, home):
        self.command = command
        self.home = home

    def library(self, folder, program, name=None):
        made = self.home / folder
        made.mkdir()
        for path, content in generate.library(program, name).files.items():
            (made / path).write_bytes(content)
        return made

    def objects(self, folder):
        """Compile a library."""
        made = []
        for source in sorted(folder.glob("*.c")):
            made.append(str(source.with_suffix(".o")))
            batch.tool([*self.command, "-c", str(source), "-o", made[-1]])
        return made

    def archive(self, folder):
        made = str(self.home / f"lib{folder.name}.a")
        batch.tool([require_tool("ar", "binutils"), "rcs", made, *self.objects(folder)])
        return made

    def parts(self, kind, *folders):
        """What to link with: every object of the libraries, or an archive of each."""
        if kind == "archive":
            return [self.archive(folder) for folder in folders]
        return [made for folder in folders for made in self.objects(folder)]

    def compile(self, name, text):
        source = self.home / f"{name}.c"
        source.write_text(text)
        batch.tool([*self.command, "-I", str(self.home), "-c", str(source), "-o", f"{source}.o"])
        return f"{source}.o"

    def link(self, *parts):
        program = self.home / "program"
        batch.tool([self.command[0], *parts, "-o", str(program)])
        return program

    def refused(self, *parts):
        """What the linker says instead of linking."""
        line = [self.command[0], *parts, "-o", str(self.home / "program")]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        return done.stderr

    def nothing_compiles(self, text):
        """What the compiler says instead."""
        with pytest.raises(AssertionError) as caught:
            self.compile("main", text)
        return str(caught.value)


NAMES = [("tilt", "pan"), ("tilt", None), ("a", "A1"), ("Motor2", "motor")]


@pytest.mark.parametrize(("first", "second"), NAMES)
@pytest.mark.parametrize("kind", ["objects", "archive"])
def test_two_names_live_in_one_program(bench, first, second, kind):
    left, right = bench.library("a", LEFT, first), bench.library("b", RIGHT, second)
    headers = (f"a/{first}.h", f"b/{second or 'model'}.h")
    calls = (use(LEFT, first), use(RIGHT, second), use(LEFT, first))
    text = main(*headers, *reversed(headers), calls=calls)
    made = bench.compile("main", text)
    batch.tool([str(bench.link(made, *bench.parts(kind, left, right)))])


def test_one_program_under_two_names_has_two_states(bench):
    left, right = bench.library("a", LEFT, "left"), bench.library("b", LEFT, "right")
    calls = (use(LEFT, "left"), use(LEFT, "right"))
    made = bench.compile("main", main("a/left.h", "b/right.h", calls=calls))
    program = bench.link(made, *bench.objects(left), *bench.objects(right))
    batch.tool([str(program)])
    for name in ("left", "right"):
        nm = require_tool("nm", "binutils")
        assert f" {name}_buffer_0" in batch.tool([nm, str(program)]).decode()


def test_two_names_share_no_symbol_not_even_a_static_one(bench):
    nm = require_tool("nm", "binutils")
    folder = bench.library("a", LEFT, "tilt")
    symbols = [
        line.split()[-1]
        for line in batch.tool([nm, *bench.objects(folder)]).decode().splitlines()
        if line.strip() and not line.endswith(":")
    ]
    own = {s for s in symbols if not s.startswith((".", "$"))}
    assert len(own) > 10
    # Whoever compiles without optimisation keeps the rounding functions of qd_fixed.h, local ones.
    foreign = {s for s in own if not s.startswith("tilt_")}
    assert all(re.match(r"qd_(round|clamp|scale|narrow|requantize)", s) for s in foreign)
    runtime = {p.name for p in folder.iterdir() if p.name.startswith("qd_")}
    assert all(name.endswith(".h") for name in runtime)


def test_all_sources_of_two_names_in_one_file(bench):
    """As some build systems do it."""
    text = ""
    for name, program in (("tilt", LEFT), ("pan", RIGHT), (None, LEFT)):
        folder = bench.library(name or "plain", program, name)
        text += "".join(f'#include "{folder.name}/{p.name}"\n' for p in sorted(folder.glob("*.c")))
    calls = (use(LEFT, "tilt"), use(RIGHT, "pan"), use(LEFT))
    made = bench.compile("main", text + main(calls=calls))
    batch.tool([str(bench.link(made))])


def test_two_libraries_without_a_name_do_not_meet_in_a_file(bench):
    bench.library("a", LEFT)
    bench.library("b", RIGHT)
    said = bench.nothing_compiles(main("a/model.h", "b/model.h"))
    assert "two libraries without a name meet here: build each with a --name of its own" in said


@pytest.mark.parametrize(("first", "second"), [("tilt", "tilt"), ("tilt", "Tilt"), ("X", "x")])
def test_two_libraries_of_one_name_do_not_meet_in_a_file(bench, first, second):
    bench.library("a", LEFT, first)
    bench.library("b", RIGHT, second)
    said = bench.nothing_compiles(main(f"a/{first}.h", f"b/{second}.h"))
    assert f"two libraries called {second} (or equal but for case) meet here" in said
    assert "--name" in said


def test_one_library_in_two_places_is_one_library(bench):
    left = bench.library("a", LEFT, "tilt")
    shutil.copytree(left, bench.home / "b")
    text = main("a/tilt.h", "b/tilt.h", calls=(use(LEFT, "tilt"),))
    batch.tool([str(bench.link(bench.compile("main", text), *bench.objects(left)))])


USES = {
    "run": "    static %(lower)s_in_t in[%(upper)s_N_IN];\n"
    "    static %(lower)s_out_t out[%(upper)s_N_OUT];\n"
    "    %(lower)s_run(in, out);\n    return (int)out[0];\n",
    "model": "    return %(info)s.n_in;\n",
}


@pytest.mark.parametrize("name", [None, "tilt"])
@pytest.mark.parametrize("kind", ["objects", "archive"])
@pytest.mark.parametrize("what", USES)
def test_a_header_does_not_link_with_another_programs_library(bench, name, kind, what):
    """Neither the function nor the object: both are called after the program."""
    left, right = bench.library("a", LEFT, name), bench.library("b", RIGHT, name)
    prefix, info = name or "qd_model", f"{name}_model" if name else "qd_model"
    body = USES[what] % {"lower": prefix, "upper": prefix.upper(), "info": info}
    text = f'#include "a/{name or "model"}.h"\nint main(void)\n{{\n{body}}}\n'
    made = bench.compile("main", text)
    said = bench.refused(made, *bench.parts(kind, right))
    symbol = f"{prefix}_run" if what == "run" else info
    assert f"{symbol}_{program_digest(LEFT)}" in said
    assert bench.link(made, *bench.parts(kind, left))


@pytest.mark.parametrize("name", [None, "tilt"])
@pytest.mark.parametrize("kind", ["objects", "archive"])
def test_two_programs_of_one_name_do_not_link_though_no_file_sees_both(bench, name, kind):
    left, right = bench.library("a", LEFT, name), bench.library("b", RIGHT, name)
    header = f"{name or 'model'}.h"
    first = bench.compile("first", main(f"a/{header}", calls=(use(LEFT, name),)))
    second = bench.compile(
        "second",
        main(f"b/{header}", calls=(use(RIGHT, name),))
        .replace("main", "other")
        .replace("int other", "int other(void);\nint other"),
    )
    said = bench.refused(first, second, *bench.parts(kind, left, right))
    assert f"{name or 'qd'}_model" in said
    assert "multiple definition" in said or "duplicate symbol" in said


def test_code_that_knows_no_program_finds_the_plain_object(bench):
    """As the firmware's serial protocol might: by its name, with nothing but qd_model.h."""
    folder = bench.library("a", LEFT)
    text = '#include "a/qd_model.h"\nextern const qd_model_info qd_model;\n'
    text += (
        f"int main(void)\n{{\n    return qd_model.digest[0] != 0x{program_digest(LEFT)[:2]};\n}}\n"
    )
    batch.tool([str(bench.link(bench.compile("main", text), *bench.objects(folder)))])


LISTS = """\
cmake_minimum_required(VERSION 3.13)
project(both LANGUAGES C)
add_subdirectory(a)
add_subdirectory(b)
add_executable(both main.c)
target_link_libraries(both PRIVATE %s %s)
"""


def configured(home, first, second):
    (home / "CMakeLists.txt").write_text(LISTS % (first, second))
    cmake = require_tool("cmake", "cmake")
    line = [cmake, "-S", str(home), "-B", str(home / "made")]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("second", ["pan", None])
def test_two_cmake_projects_make_one_program(tmp_path, second):
    require_tool("gcc", "gcc")
    bench = Bench(["gcc"], tmp_path)
    bench.library("a", LEFT, "tilt")
    bench.library("b", RIGHT, second)
    calls = (use(LEFT, "tilt"), use(RIGHT, second))
    (tmp_path / "main.c").write_text(main("tilt.h", f"{second or 'model'}.h", calls=calls))
    done = configured(tmp_path, "tilt", second or "qd_model")
    assert done.returncode == 0, done.stderr
    batch.tool([require_tool("cmake", "cmake"), "--build", str(tmp_path / "made")])
    batch.tool([str(tmp_path / "made" / "both")])


@pytest.mark.parametrize(
    ("name", "says"), [(None, "two libraries without a name meet"), ("tilt", "called tilt")]
)
def test_two_cmake_projects_of_one_name_are_refused_in_words(tmp_path, name, says):
    bench = Bench(["gcc"], tmp_path)
    bench.library("a", LEFT, name)
    bench.library("b", RIGHT, name)
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    done = configured(tmp_path, "x", "y")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert says in said
    assert "--name" in said
