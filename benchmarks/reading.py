"""How much of the checker an assessor has to read for a certificate of each kind.

For every kind a certificate of an example is made and then checked again: which functions of
`qdeploy.proof` are entered, and how many lines of code they have (without blank lines, comments
and docstrings, but with the refusals that this certificate did not meet).

    python benchmarks/reading.py
"""

import ast
import contextlib
import io
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import qdeploy.proof
from qdeploy.cli import main as qdeploy_main
from rich.console import Console
from rich.table import Table

CHECKER = Path(qdeploy.proof.__file__).parent
EXAMPLES = Path(__file__).parents[1] / "examples"
PENDULUM = EXAMPLES / "pendulum" / "pendulum.onnx"
DIGITS = EXAMPLES / "digits" / "digits.onnx"
OPERATING = ("--inputs", str(EXAMPLES / "pendulum" / "box.json"), "--jobs", "1")
FEW = "few.npz"
"""Written beside the certificate."""
BALLS = ("--inputs", f"data:{FEW}:0.01", "--work", "2", "--jobs", "1")
KINDS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "lines alone": (PENDULUM, (*OPERATING, "--method", "linear")),
    "a split tree": (PENDULUM, (*OPERATING, "--method", "split")),
    "cones": (PENDULUM, (*OPERATING, "--method", "sdp", "--work", "20")),
    "tuned slopes": (PENDULUM, (*OPERATING, "--method", "tuned", "--bits", "8")),
    "a pruned network, a tree": (
        PENDULUM,
        (*OPERATING, "--method", "split", "--prune", "neurons:4"),
    ),
    "decisions": (DIGITS, (*BALLS, "--decision", "argmax")),
}
FILES = {"statement.py", "strict.py", "packed.py", "similarity_file.py"}
"""Modules that read the file and judge nothing."""
_NO_CODE = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
)

Entered = set[tuple[str, int]]
"""Module and first line of functions."""


def entered_by(certificate: Path, model: Path) -> Entered:
    """Check a certificate and return the checker's functions that ran."""
    found: Entered = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(CHECKER)):
            found.add((Path(code.co_filename).name, code.co_firstlineno))

    sys.setprofile(watch)
    try:
        run("verify", str(certificate), "--model", str(model))
    finally:
        sys.setprofile(None)
    return found


def run(*arguments: str) -> None:
    """Run a command quietly."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = qdeploy_main(arguments)
    if code:
        raise SystemExit(f"qdeploy {' '.join(arguments)} ended with {code}")


def functions(module: Path) -> Iterator[tuple[int, int]]:
    """Return first line and lines of code of every function."""
    source = module.read_text()
    code = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            yield first, sum(first <= line <= (node.end_lineno or first) for line in code)


def code_lines(source: str) -> set[int]:
    """Return the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def main() -> None:
    """Print one line a kind."""
    modules = {path.name: path for path in CHECKER.glob("*.py")}
    sizes = {(n, first): size for n, path in modules.items() for first, size in functions(path)}
    whole = sum(len(code_lines(path.read_text())) for path in modules.values())
    table = Table("certificate", "functions", "lines", "of them to read the file", "modules")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        np.savez(FEW, x=np.load(EXAMPLES / "digits" / "samples.npz")["x"][:5])
        for kind, (model, options) in KINDS.items():
            written = Path(folder) / "certificate.json"
            run("certify", str(model), *options, "-o", str(written))
            lines: Counter[str] = Counter()
            entered = entered_by(written, model)
            for place in entered:
                lines[place[0]] += sizes.get(place, 0)
            reading = sum(lines[name] for name in FILES)
            names = " ".join(sorted(name.removesuffix(".py") for name in set(lines) - FILES))
            table.add_row(kind, str(len(entered)), str(lines.total()), str(reading), names)
    console = Console(width=150)
    console.print(table)
    console.print(f"the whole checker: {whole} lines of code in {len(modules)} modules")


if __name__ == "__main__":
    main()
