"""The helpers of the tests themselves: nothing passes unseen."""

import pytest
from support.golden import Golden
from support.tools import require_tool

Failed, Skipped = pytest.fail.Exception, pytest.skip.Exception


def test_a_missing_tool_fails_in_continuous_integration(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Failed, match="no-such-tool is missing: install its-package"):
        require_tool("no-such-tool", "its-package")


def test_a_missing_tool_skips_elsewhere_and_says_what_to_install(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Skipped, match="no-such-tool is missing: install its-package"):
        require_tool("no-such-tool", "its-package")


def test_a_missing_golden_file_fails(tmp_path):
    with pytest.raises(Failed, match=r"golden file a/b\.txt is missing"):
        Golden(update=False, folder=tmp_path)("a/b.txt", "text\n")


def test_a_changed_text_fails_and_shows_the_lines(tmp_path):
    Golden(update=True, folder=tmp_path)("a/b.txt", "same\nold\n")
    with pytest.raises(Failed, match=r"(?s)-old\n\+new\n.*--update-golden"):
        Golden(update=False, folder=tmp_path)("a/b.txt", "same\nnew\n")


def test_an_updated_golden_file_passes(tmp_path):
    Golden(update=True, folder=tmp_path)("a/b.txt", "text\n")
    Golden(update=False, folder=tmp_path)("a/b.txt", "text\n")
    assert (tmp_path / "a" / "b.txt").read_text() == "text\n"
