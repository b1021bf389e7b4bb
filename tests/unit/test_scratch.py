"""Temporary folders are gone when their owner is, and nobody else's ever are."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager

import pytest
from qdeploy import scratch
from qdeploy.diagnostics import MissingToolError

OWNER = """
import sys, time
from pathlib import Path
from qdeploy import scratch
beside = Path(sys.argv[1]) if len(sys.argv) > 1 else None
with scratch.folder("build", beside) as made:
    (made / "deep").mkdir()
    (made / "deep" / "file").write_text("x")
    print(made, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The system's place for temporary folders, for us and for processes that we start."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def owner(*beside):
    """A process that has a folder, and the folder; it is killed in the end."""
    line = [sys.executable, "-c", OWNER, *map(str, beside)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, scratch.Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_folder_is_there_and_then_it_is_gone(place):
    with scratch.folder("build") as made:
        assert made.parent == place
        (made / "file").write_text("x")
    assert list(place.iterdir()) == []


def test_a_folder_beside_a_file_is_hidden_and_on_its_disk(place, tmp_path):
    (tmp_path / "deep").mkdir()
    with scratch.folder("write", beside=tmp_path / "deep" / "out") as made:
        assert made.parent == tmp_path / "deep"
        assert made.name.startswith(".qdeploy-write-")


@pytest.mark.parametrize("hidden", [False, True])
def test_what_a_killed_owner_left_is_removed_and_a_living_ones_is_not(place, hidden):
    beside = [place / "out"] if hidden else []
    with owner(*beside) as (_, left):
        pass
    assert (left / "deep" / "file").is_file()
    with owner(*beside) as (_, kept), scratch.folder("build", *beside):
        assert not left.exists()
        assert (kept / "deep" / "file").is_file()


def test_a_dead_owners_number_may_belong_to_another_process_by_now(place):
    reused = place / f"qdeploy-build-{os.getpid()}-1-abc"
    reused.mkdir()
    scratch.sweep(place)
    assert not reused.exists()


def test_a_lock_keeps_a_folder_whose_owner_is_not_seen_from_here(place):
    """As in another container: its process number says nothing here."""
    with owner() as (_, made):
        hidden = made.rename(made.with_name("qdeploy-build-1-1-abc"))
        scratch.sweep(place)
        assert hidden.exists()
    scratch.sweep(place)
    assert not hidden.exists()


@pytest.mark.parametrize("name", ["qdeploy-build-1-1", "qdeploy-notes", "xqdeploy-build-1-1-abc"])
def test_other_names_are_left_alone(place, name):
    (place / name).mkdir()
    scratch.sweep(place)
    assert (place / name).is_dir()


def test_files_and_links_of_such_a_name_are_left_alone(place):
    (place / "mine").mkdir()
    (place / "mine" / "file").write_text("x")
    (place / "qdeploy-build-1-1-abc").symlink_to(place / "mine")
    (place / "qdeploy-build-1-2-abc").write_text("x")
    scratch.sweep(place)
    assert sorted(p.name for p in place.iterdir()) == [
        "mine",
        "qdeploy-build-1-1-abc",
        "qdeploy-build-1-2-abc",
    ]
    assert (place / "mine" / "file").is_file()


def test_folders_of_other_users_are_left_alone(place, monkeypatch):
    (place / "qdeploy-build-1-1-abc").mkdir()
    monkeypatch.setattr(scratch.os, "geteuid", lambda: os.getuid() + 1)
    scratch.sweep(place)
    assert (place / "qdeploy-build-1-1-abc").is_dir()


def test_no_place_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(MissingToolError, match="no temporary folder can be made: No such") as caught,
        scratch.folder("build"),
    ):
        pass
    assert "TMPDIR" in caught.value.fix
