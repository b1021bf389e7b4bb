"""What a command returns: the same answer for a person and for a program."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import click

from qdeploy.diagnostics import ExitCode, visible


@dataclass(frozen=True, slots=True)
class Answer:
    """One command's result; `data` is what --json prints, `text` what a person reads."""

    data: Mapping[str, object]
    text: str
    code: ExitCode = ExitCode.YES


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Align cells in columns two spaces apart, without trailing blanks; none begins a line anew."""
    table = [tuple(map(visible, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        (indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))).rstrip()
        for row in table
    )


json_option = click.option(
    "--json", is_flag=True, expose_value=False, help="Print exactly one JSON object on stdout."
)
"""Every command takes it; the shell around the command acts on it."""
