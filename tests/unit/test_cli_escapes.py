"""No control character of a file, a device or a name reaches a terminal, a page or a report."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from qdeploy.cli import main
from qdeploy.cli._answer import Answer, columns
from qdeploy.cli._shell import _print
from qdeploy.diagnostics import MissingToolError
from qdeploy.pipeline.junit import junit_bytes, junit_error_bytes
from qdeploy.report._environment import environment
from support.controller import run, write_controller
from support.materials import verdict

HOSTILE = "\x1b[2J\x9b31mproven\n\u202e\u2028\x00\ud800"
SEARCH = ("--work", "0", "--bits", "8")


def assert_plain(text):
    assert all(c.isprintable() or c == "\n" for c in text), text


def test_a_cell_of_a_table_begins_no_line():
    table = columns([("bound", f"0 {HOSTILE}"), ("more", "x")])
    assert len(table.splitlines()) == 2
    assert_plain(table)


def test_an_answer_is_printed_without_control_characters(capsys):
    assert _print(Answer({}, f"bound\n\n{HOSTILE}"), as_json=False) == 0
    said = capsys.readouterr().out
    assert said.startswith("bound\n\n\\x1b[2J\\x9b31mproven\n\\u202e\\u2028\\x00\\ud800")
    assert_plain(said)


def test_json_is_ascii(capsys):
    _print(Answer({"name": HOSTILE}, ""), as_json=True)
    said = capsys.readouterr().out
    assert said.isascii()
    assert_plain(said)
    assert json.loads(said) == {"name": HOSTILE}


NAMES = [
    "\x1b[31mred\nproven.onnx",
    "rtl\u202exnno.onnx",
    "b\udcff.onnx",
    "<b>&\"'.onnx",
    "n" * 240,
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_whatever_a_model_is_called_it_is_built_validated_and_verified(name, tmp_path, capsys):
    model = tmp_path / name
    shutil.move(write_controller(tmp_path / "m.onnx"), model)
    out = tmp_path / "out"
    line = ["build", str(model), "--inputs", "-1:1", *SEARCH, "--board", "host", "-o", str(out)]
    assert main(line) == 0
    assert main(["validate", str(out), "--junit", str(tmp_path / "j.xml")]) == 0
    assert main(["verify", str(out / "certificate.json"), "--model", str(model)]) == 0
    assert main(["inspect", str(model)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert_plain(told.out)
    for page in ("certificate.html", "report.html"):
        text = (out / page).read_text("utf-8")
        assert_plain(text)
        assert "<b>&" not in text
    ElementTree.fromstring((tmp_path / "j.xml").read_bytes())


def test_names_in_errors_and_certificates_are_written_out(tmp_path, capsys):
    model = str(write_controller(tmp_path / "m.onnx"))
    for line in (
        ["inspect", str(tmp_path / "\x1b[31m.onnx")],
        ["\x1b[31m"],
        ["verify", str(tmp_path / "\x1b.json"), "--model", "\x1b"],
        ["certify", model, "--inputs", "\x1b[31m"],
        ["build", model, "--inputs", "-1:1", "--board", "\x1b[31m"],
    ):
        assert main(line) in (2, 3)
        said = capsys.readouterr()
        assert_plain(said.err + said.out)
        assert "\\x1b" in said.err


def test_a_region_file_cannot_speak_through_its_name(tmp_path, capsys):
    model = write_controller(tmp_path / "m.onnx")
    box = tmp_path / "x) <= 0.0\n\x1b[1m (y.json"
    box.write_text('{"lo": -1, "hi": 1}')
    line = ["certify", str(model), "--inputs", str(box), *SEARCH, "-o", str(tmp_path / "c.json")]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "1 region (x_____0.0___1m__y.json)" in said
    assert_plain(said)


def test_a_terminal_of_another_encoding_gets_what_it_can_show(tmp_path):
    done = run("doctor", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert "Traceback" not in done.stderr
    done = run("inspect", tmp_path / "größe.onnx", PYTHONIOENCODING="ascii")
    assert done.returncode == 3
    assert "gr\\xf6\\xdfe.onnx" in done.stderr


def test_a_page_writes_out_what_prints_nothing():
    page = environment().from_string(
        "{{ name }}|{% macro m() %}<i>\n</i>{% endmacro %}{{ m() }}{{ 3 }}"
    )
    assert page.render(name=f"<{HOSTILE}>") == (
        "&lt;\\x1b[2J\\x9b31mproven\\x0a\\u202e\\u2028\\x00\\ud800&gt;|<i>\n</i>3"
    )


def test_junit_is_xml_whatever_a_device_says():
    error = MissingToolError(f"the device says {HOSTILE}")
    said = replace(verdict(bit_exact=False), first_difference=f"{HOSTILE}\ufffe")
    for content in (junit_error_bytes(HOSTILE, error), junit_bytes(HOSTILE, said)):
        root = ElementTree.fromstring(content)
        assert "\\x1b[2J" in root[0].get("name")
        assert re.search(rb"[\x00-\x08\x0b-\x1f]", content) is None


def test_vectors_named_in_the_dark_are_written_out(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", **{"\x1b[31m": np.ones(3), "other": np.ones(3)})
    model = write_controller(tmp_path / "m.onnx")
    assert main(["certify", str(model), "--inputs", f"data:{tmp_path / 'x.npz'}"]) == 3
    assert "\\x1b[31m" in capsys.readouterr().err


_SHOWING = """
import time
from qdeploy.cli._progress import progress
with progress() as watch, watch.stage("certify"):
    watch.tell("region [red]\\x1b[9;9H\\nproven")
    time.sleep(0.5)
"""


def test_a_progress_line_moves_no_cursor_but_its_own():
    host, device = os.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", _SHOWING], stderr=device, env={**os.environ, "TERM": "xterm"}
    )
    os.close(device)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says when the other side is gone
        while piece := os.read(host, 4096):
            shown += piece
    os.close(host)
    assert done.wait(30) == 0
    assert b"proving a bound: region [red]\\x1b[9;9H\\x0aproven" in shown
    assert b"\x1b[9;9H" not in shown
