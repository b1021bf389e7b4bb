"""Format, lint, types and coverage look at every Python file there is: a pattern hides none."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy.fscache import FileSystemCache
from mypy.modulefinder import FindModuleCache, SearchPaths
from mypy.options import Options

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "toolchain" / "qdeploy"


def output(*line, codes=(0,)):
    """Run a program in the repository's folder; return the lines that it prints."""
    run = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode in codes, run.stdout + run.stderr
    return run.stdout.splitlines()


def tool(name, *arguments, codes=(0,)):
    return output(sys.executable, "-m", name, *arguments, codes=codes)


def tracked(*patterns):
    """Every Python file of the repository: those that git knows, and new ones it would take."""
    wanted = patterns or ("*.py",)
    listed = output("git", "ls-files", "--cached", "--others", "--exclude-standard", *wanted)
    return {ROOT / name for name in listed if (ROOT / name).exists()}


def package(part=""):
    return {path for path in tracked() if path.is_relative_to(PACKAGE / part)}


@pytest.fixture(scope="module", autouse=True)
def _in_a_repository():
    if not (ROOT / ".git").exists():
        pytest.skip("only a checkout says which files belong to the project")


def test_there_is_something_to_compare_with():
    assert {PACKAGE / "cli" / "build.py", Path(__file__)} <= tracked()


def test_ruff_reads_every_file():
    shown = {Path(line) for line in tool("ruff", "check", "--show-files", ".")}
    assert {path for path in shown if path.suffix == ".py"} == tracked()


def test_ruff_formats_every_file():
    *_, said = tool("ruff", "format", "--check", ".", codes=(0, 1))
    seen = sum(map(int, re.findall(r"(\d+) files? (?:already|would)", said)))
    assert seen == len(tracked("*.py", "*.md"))  # examples in the documents, too


def test_mypy_reads_every_module_of_the_package():
    finder = FindModuleCache(
        SearchPaths((), (str(ROOT / "toolchain"),), (), ()), FileSystemCache(), Options()
    )
    found = {Path(source.path) for source in finder.find_modules_recursive("qdeploy")}
    assert found == package()


def test_coverage_counts_every_module_of_the_proof(tmp_path):
    data, report = tmp_path / "data", tmp_path / "report.json"
    tool("coverage", "run", f"--data-file={data}", "-m", "qdeploy", "verify", "--help")
    tool("coverage", "json", f"--data-file={data}", "--fail-under=0", "-o", str(report))
    counted = {ROOT / name for name in json.loads(report.read_text())["files"]}
    # `skip_covered` leaves out what is complete, and that is what has no branch to miss.
    missing = package("proof") - counted
    assert all(not path.read_text().strip() for path in missing)
    assert counted == package("proof") - missing
