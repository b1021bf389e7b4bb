"""What a library may be called, and what one is told of any other name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy import generate
from qdeploy.cli import main
from qdeploy.diagnostics import ExitCode, UsageError
from qdeploy.ir.naming import LONGEST, name_fault
from qdeploy.pipeline import Options
from qdeploy.pipeline.options import read_name
from support.programs import random_program

GOOD = ("a", "tilt", "Motor2", "x_1", "model", "A" * LONGEST)
BAD = {
    "": "no C identifier",
    "2nd": "no C identifier",
    "_x": "no C identifier",
    "a-b": "no C identifier",
    "a b": "no C identifier",
    "ä": "no C identifier",
    "a\n": "no C identifier",
    "../x": "no C identifier",
    "a;b": "no C identifier",
    '"; #include "x': "no C identifier",
    "A" * (LONGEST + 1): "at most 31 signs",
    "a__b": "two underscores",
    "a_": "one at its end",
    "qd": "qdeploy's runtime",
    "qd_tilt": "qdeploy's runtime",
    "QD_TILT": "qdeploy's runtime",
    "int": "keyword",
    "while": "keyword",
    "math": "header of C",
    "Stdint": "header of C",
    "test": "CMake",
    "ALL_BUILD": "CMake",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_taken(name):
    assert name_fault(name) == ""
    files = generate.library(random_program(71), name).files
    assert {f"{name}.c", f"{name}.h"} <= set(files)


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_would_do_harm_is_refused(name):
    assert BAD[name] in name_fault(name)
    with pytest.raises(UsageError) as caught:
        read_name(Options(model="x.onnx", name=name))
    assert caught.value.exit_code is ExitCode.USAGE
    assert "such as tilt" in caught.value.fix
    assert len(caught.value.what) < 250
    with pytest.raises(ValueError, match="the name "):
        generate.library(random_program(71), name)


@given(st.text(max_size=40))
def test_no_other_text_ever_becomes_a_file_name(name):
    if name_fault(name) == "":
        assert name.isascii()
        assert name.isidentifier()
        assert len(name) <= LONGEST


def test_the_command_line_says_so_before_it_reads_the_model(capsys, tmp_path):
    for command in ("build", "certify"):
        line = [command, str(tmp_path / "none.onnx"), "--inputs=-1:1", "--name", "while"]
        assert main(line) == 2
        assert "--name 'while' is a keyword of C" in capsys.readouterr().err
