"""The command line: arguments in, exit code out. One file a subcommand, no logic."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from qdeploy.cli._interrupts import Interrupts
from qdeploy.diagnostics import missing_package

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qdeploy` and return its exit code."""
    interrupts = Interrupts()
    try:
        from qdeploy.cli._shell import run  # noqa: PLC0415  a Ctrl-C while importing is caught here

        return run(list(sys.argv[1:] if arguments is None else arguments), interrupts)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ImportError as problem:  # of what the shell itself is made of
        return _cannot_start(problem)
    finally:
        interrupts.ignore()


def _cannot_start(problem: ImportError) -> int:
    missing = missing_package(problem)
    if missing is None:
        raise problem
    print(f"error: {missing}", file=sys.stderr)
    return missing.exit_code


def entry() -> NoReturn:
    """Run `qdeploy` as a process: the `qdeploy` command."""
    # The search has processes of its own for the cores; threads of BLAS would wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    code = main()
    if code == _INTERRUPTED:
        # CPython kills itself by SIGINT at exit if a Ctrl-C ever passed through its `exec`, which
        # imports use, even when it was caught; then the shell would not see our exit code.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
