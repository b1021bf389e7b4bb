"""Texts that were read by a person once and may only change on purpose."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Golden:
    """Golden files; `update` rewrites them (pytest --update-golden)."""

    update: bool
    folder: Path = FOLDER

    def __call__(self, name: str, text: str) -> None:
        path = self.folder / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file():
            pytest.fail(f"golden file {name} is missing: read the text, then --update-golden")
        else:
            self._compare(name, path.read_text(encoding="utf-8"), text)

    def _compare(self, name: str, expected: str, text: str) -> None:
        if text != expected:
            lines = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), f"golden/{name}", "now", lineterm=""
            )
            pytest.fail("\n".join([*lines, "if this is meant: pytest --update-golden"]))
