"""Written artifacts are whole: the old build or the new one, and no file of the user is lost."""

import json
import os
from dataclasses import replace

import pytest
from qdeploy.diagnostics import UsageError
from qdeploy.pipeline import artifacts
from qdeploy.pipeline.artifacts import CERTIFICATE, JUNIT, SIMILARITY, Target
from qdeploy.pipeline.junit import junit_bytes
from support.materials import verdict

STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"%s"}\n'
OURS = {
    "certificate": (CERTIFICATE, STATEMENT % b"urn:qdeploy:certificate:v1"),
    "similarity": (SIMILARITY, STATEMENT % b"urn:qdeploy:similarity:v1"),
    "junit": (JUNIT, junit_bytes("controller", verdict())),
}
FOREIGN = {
    "a model": b"\x08\x08\x12\x07pytorch",
    "text": b"years of work",
    "another statement": STATEMENT % b"https://slsa.dev/provenance/v1",
    "another JUnit": b'<?xml version="1.0"?><testsuites><testsuite name="mine"/></testsuites>',
    "JSON": b'{"predicateType":"urn:qdeploy:certificate:v1"}',
}


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def account(**files):
    """A build.json of ours; `files` as digests, where they are stated."""
    said = {"schema": 1, "qdeploy": "0.1.0", "program_digest": "ab", **files}
    return json.dumps(said).encode()


BUILD = {"build.json": account(), "library/model.c": b"int x;", "firmware/firmware.elf": b"elf"}


def build(path, force=False, inputs=()):
    return Target(path, None, force, inputs)


def file(path, force=False, inputs=()):
    return Target(path, CERTIFICATE, force, inputs)


# --- whole or not at all ---------------------------------------------------------------------


def test_a_build_is_written_with_exactly_its_files(tmp_path):
    artifacts.write(build(tmp_path / "deep" / "out"), BUILD)
    assert tree(tmp_path / "deep" / "out") == BUILD
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_new_build_replaces_the_old_one_completely(tmp_path):
    out = tmp_path / "out"
    artifacts.write(build(out), BUILD)
    artifacts.write(build(out), {"build.json": account(answer="no")})
    assert tree(out) == {"build.json": account(answer="no")}


@pytest.mark.parametrize("failing", ["write", "first rename", "second rename"])
def test_whatever_fails_leaves_the_old_build_whole(tmp_path, monkeypatch, failing):
    out = tmp_path / "out"
    artifacts.write(build(out), BUILD)
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
        artifacts.write(build(out), {"build.json": b"{}"})
    monkeypatch.undo()
    assert tree(out) == BUILD
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    path, (_, old) = tmp_path / "certificate.json", OURS["certificate"]
    artifacts.write(file(path), old)

    def interrupted(self, target):
        assert path.read_bytes() == old
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write(file(path), b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == {"certificate.json": old}
    artifacts.write(file(path), b"new")
    assert tree(tmp_path) == {"certificate.json": b"new"}


def test_files_get_the_permissions_the_user_chose(tmp_path):
    mask = os.umask(0o027)
    try:
        artifacts.write(file(tmp_path / "x"), b"")
        artifacts.write(build(tmp_path / "out"), BUILD)
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


# --- files -----------------------------------------------------------------------------------


def refused(target, what):
    """The target is refused, before the work and when it is to be written; nothing changes."""
    place = target.path.resolve()
    before = place.read_bytes() if place.is_file() else None
    with pytest.raises(UsageError, match=what):
        artifacts.check(target)
    with pytest.raises(UsageError, match=what):
        artifacts.write(target, b"result" if target.kind else BUILD)
    assert (place.read_bytes() if place.is_file() else None) == before


@pytest.mark.parametrize("name", OURS)
def test_what_we_wrote_is_replaced(tmp_path, name):
    kind, content = OURS[name]
    target = Target(tmp_path / "x", kind)
    for _ in range(2):
        artifacts.check(target)
        artifacts.write(target, content)
    assert tree(tmp_path) == {"x": content}


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("name", [*FOREIGN, *OURS])
def test_what_we_did_not_write_as_this_is_replaced_only_by_force(tmp_path, kind, name):
    if kind == name:
        pytest.skip("it is of this kind")
    content = OURS[name][1] if name in OURS else FOREIGN[name]
    path = tmp_path / "x"
    path.write_bytes(content)
    target = Target(path, OURS[kind][0])
    refused(target, "x would be overwritten, and it is no .* of qdeploy")
    artifacts.write(replace(target, force=True), b"result")
    assert path.read_bytes() == b"result"


def test_an_empty_file_has_nothing_to_lose(tmp_path):
    (tmp_path / "x").touch()
    artifacts.write(file(tmp_path / "x"), b"result")
    assert tree(tmp_path) == {"x": b"result"}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("link", ["itself", "a symbolic link", "a hard link", "a link to a link"])
def test_what_the_command_reads_is_never_replaced(tmp_path, force, link):
    model, path = tmp_path / "model.onnx", tmp_path / "other"
    model.write_bytes(OURS["certificate"][1])  # even if it looked like ours
    if link == "itself":
        path = tmp_path / "." / "model.onnx"
    elif link == "a hard link":
        path.hardlink_to(model)
    else:
        path.symlink_to(model)
        if link == "a link to a link":
            (tmp_path / "more").symlink_to(path)
            path = tmp_path / "more"
    refused(file(path, force, (tmp_path / "none", model)), "is read by this command")


@pytest.mark.parametrize("force", [False, True])
def test_no_part_of_a_build_is_replaced_alone(tmp_path, force):
    out = tmp_path / "out"
    artifacts.write(build(out), BUILD)
    for part in ("certificate.json", "firmware/firmware.elf", "build.json"):
        refused(file(out / part, force), f"is a part of the build in {out}")
    artifacts.write(file(out / "mine.json"), b"result")


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    link = tmp_path / "c.json"
    link.symlink_to(tmp_path / "kept" / "c.json")
    for content in (OURS["certificate"][1], b"result"):
        artifacts.write(file(link), content)
        assert link.is_symlink()
        assert tree(tmp_path / "kept") == {"c.json": content}


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_regular_file_is_refused(tmp_path, force):
    os.mkfifo(tmp_path / "fifo")
    refused(file(tmp_path / "fifo", force), "is no regular file")
    refused(file(tmp_path, force), "is a folder")
    assert artifacts.Path(os.devnull).is_char_device()
    refused(file(artifacts.Path(os.devnull), force), "is no regular file")


def names_that_cannot_be(folder):
    (folder / "file").write_bytes(b"")
    (folder / "loop").symlink_to(folder / "loop")
    return (folder / "file" / "x", folder / "loop" / "x", folder / ("x" * 300), folder / "a\0b")


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("make", [file, build])
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, index, make):
    target = make(names_that_cannot_be(tmp_path)[index])
    with pytest.raises(UsageError, match="cannot be written: ") as caught:
        artifacts.check(target)
    assert caught.value.fix == "choose another place with -o"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("make", [file, build])
def test_a_read_only_folder_is_said_before_the_work(tmp_path, make):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="is read-only"):
        artifacts.check(make(tmp_path / "deep" / "x"))
    tmp_path.chmod(0o700)


# --- folders ---------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", [None, b"{}", b"[]", b"\xff", b'{"scripts": {}}'])
def test_a_folder_that_is_no_build_is_not_touched(tmp_path, marker):
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    (out / "model" / "trained.onnx").write_bytes(b"weeks of training")
    if marker is not None:
        (out / "build.json").write_bytes(marker)
    before = tree(out)
    refused(build(out), "holds no qdeploy build")
    assert tree(out) == before
    artifacts.write(build(out, force=True), BUILD)
    assert tree(out) == BUILD


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", b"mine"), ("library/main.c", b"mine"), ("library/model.c", b"int x = 1;")],
)
def test_what_somebody_put_or_changed_in_a_build_is_not_deleted(tmp_path, name, content):
    out = tmp_path / "out"
    files = {n: data for n, data in BUILD.items() if n != "build.json"}
    said = {n: artifacts.hashlib.sha256(data).hexdigest() for n, data in files.items()}
    artifacts.write(build(out), {**files, "build.json": account(files=said)})
    artifacts.check(build(out))
    (out / name).write_bytes(content)
    refused(build(out), f"'{name}', which a new build would delete")
    assert tree(out)[name] == content
    artifacts.write(build(out, force=True), BUILD)
    assert tree(out) == BUILD


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    artifacts.write(build(tmp_path / "empty"), BUILD)
    assert tree(tmp_path / "empty") == BUILD


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    refused(build(tmp_path / "out", force=True), "is a file")


def test_even_by_force_no_folder_goes_that_is_in_use(tmp_path, monkeypatch):
    used, home = tmp_path / "used", tmp_path / "home"
    (used / "below").mkdir(parents=True)
    home.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.onnx").write_bytes(b"weeks of training")
    monkeypatch.chdir(used / "below")
    monkeypatch.setenv("HOME", str(home))
    for folder in (used, used / "below", home, tmp_path / "data"):
        refused(
            build(folder, force=True, inputs=(tmp_path / "data" / "model.onnx",)),
            "would take the place of",
        )


def test_a_build_may_be_made_again_from_its_own_copy_of_the_model(tmp_path):
    out = tmp_path / "out"
    artifacts.write(build(out), {**BUILD, "model/m.onnx": b"m"})
    artifacts.write(build(out, inputs=(out / "model" / "m.onnx",)), BUILD)
    assert tree(out) == BUILD


def test_a_mounted_disk_is_refused_before_the_work():
    refused(build(artifacts.Path("/proc")), "is where a disk is mounted")
