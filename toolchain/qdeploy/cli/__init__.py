"""The command line: arguments in, exit code out. One file a subcommand, no logic."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qdeploy` and return its exit code; the entry point of the `qdeploy` command."""
    try:
        from qdeploy.cli._shell import run  # noqa: PLC0415  a Ctrl-C while importing is caught here
    except KeyboardInterrupt:
        return 130
    return run(list(sys.argv[1:] if arguments is None else arguments))
