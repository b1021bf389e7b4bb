"""Written artifacts are whole: the old build or the new one, and no file of the user is lost."""

import os

import pytest
from qdeploy.diagnostics import UsageError
from qdeploy.pipeline import artifacts

BUILD = {"build.json": b"{}", "library/model.c": b"int x;", "firmware/firmware.elf": b"elf"}


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_build_is_written_with_exactly_its_files(tmp_path):
    artifacts.write_folder(tmp_path / "deep" / "out", BUILD)
    assert tree(tmp_path / "deep" / "out") == BUILD
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_new_build_replaces_the_old_one_completely(tmp_path):
    out = tmp_path / "out"
    artifacts.write_folder(out, BUILD)
    artifacts.write_folder(out, {"build.json": b"[]"})
    assert tree(out) == {"build.json": b"[]"}


@pytest.mark.parametrize("failing", ["write", "first rename", "second rename"])
def test_whatever_fails_leaves_the_old_build_whole(tmp_path, monkeypatch, failing):
    out = tmp_path / "out"
    artifacts.write_folder(out, BUILD)
    real, calls = artifacts.Path.rename, []

    def rename(self, target):
        calls.append(self)
        if len(calls) == {"first rename": 1, "second rename": 2}[failing]:
            raise KeyboardInterrupt
        return real(self, target)

    def write(self, content):
        raise KeyboardInterrupt

    if failing == "write":
        monkeypatch.setattr(artifacts.Path, "write_bytes", write)
    else:
        monkeypatch.setattr(artifacts.Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write_folder(out, {"build.json": b"[]"})
    monkeypatch.undo()
    assert tree(out) == BUILD
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_no_build_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_bytes(b"years of work")
    with pytest.raises(UsageError, match="holds no qdeploy build") as caught:
        artifacts.write_folder(tmp_path, BUILD)
    assert "-o" in caught.value.fix
    assert tree(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_users_file_in_a_build_folder_is_not_deleted(tmp_path):
    out = tmp_path / "out"
    artifacts.write_folder(out, BUILD)
    (out / "notes.txt").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"'notes\.txt', which a new build would delete"):
        artifacts.write_folder(out, BUILD)
    assert tree(out)["notes.txt"] == b"mine"


def test_an_empty_folder_is_taken(tmp_path):
    artifacts.write_folder(tmp_path / "out", BUILD)
    (tmp_path / "empty").mkdir()
    artifacts.write_folder(tmp_path / "empty", BUILD)
    assert tree(tmp_path / "empty") == BUILD


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is a file"):
        artifacts.write_folder(tmp_path / "out", BUILD)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written: ") as caught:
        artifacts.write_folder(tmp_path / "file" / "out", BUILD)
    assert caught.value.fix == "choose another place with -o"


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "certificate.json"
    artifacts.write_file(path, b"old")

    def replace(self, target):
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts.Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write_file(path, b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == {"certificate.json": b"old"}
    artifacts.write_file(path, b"new")
    assert tree(tmp_path) == {"certificate.json": b"new"}


def test_files_get_the_permissions_the_user_chose(tmp_path):
    mask = os.umask(0o027)
    try:
        artifacts.write_file(tmp_path / "x", b"")
        artifacts.write_folder(tmp_path / "out", BUILD)
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750
