"""What README.md shows is what a reader gets; numbers may drift, words and layout may not.

`--update-golden` writes today's output into README.md.
"""

import re
from pathlib import Path

import pytest
from support.controller import run

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"```console\n\$ (qdeploy [^\n]+)\n(.*?)```", re.DOTALL)
BARS = re.compile(r"#+")
NUMBER = re.compile(r"-?\d[\d.]*(e[-+]\d+)?")


def skeleton(text):
    """Return the text without what differs between machines: numbers, and what they widen."""
    return " ".join(BARS.sub("#", NUMBER.sub("#", text)).split())


@pytest.fixture(scope="module")
def blocks(request, tmp_path_factory):
    """Each command README shows: (what it shows, what came out), run one after the other."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").symlink_to(ROOT / "examples")
    text = README.read_text()
    pairs = []
    for command, shown in BLOCK.findall(text):
        process = run(*command.split()[1:], cwd=folder, long=True)
        assert process.returncode == 0, process.stderr
        pairs.append((shown, process.stdout))
        text = text.replace(shown, process.stdout)
    if request.config.getoption("--update-golden"):
        README.write_text(text)
    return pairs


def test_readme_shows_a_build_and_its_check(blocks):
    assert len(blocks) == 2
    assert "every output equal bit for bit" in blocks[0][0]
    assert blocks[1][0].startswith("proven")


def test_what_readme_shows_is_what_comes_out(blocks, request):
    if request.config.getoption("--update-golden"):
        pytest.skip("README.md was rewritten")
    for shown, printed in blocks:
        assert skeleton(shown) == skeleton(printed)


def test_every_file_readme_links_to_exists():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    targets += [
        f"docs/{t}" for t in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "docs/README.md").read_text())
    ]
    assert [t for t in targets if not (ROOT / t).exists()] == []
