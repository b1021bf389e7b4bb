"""Around every command: parse, call, print, exit.

Exit codes and what goes to which stream are decided here and nowhere else.
"""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

from qdeploy.cli._answer import Answer
from qdeploy.cli._commands import root
from qdeploy.cli._interrupts import Interrupts
from qdeploy.diagnostics import (
    ExhaustedError,
    ExitCode,
    QdeployError,
    missing_package,
    visible,
)

BROKEN_PIPE = 141
"""128 + SIGPIPE, what a shell reports of a program whose reader went away."""


_OUT_OF_MEMORY = ExhaustedError(
    "there is not enough memory for this model and these options",
    fix="raise the limit, or give smaller regions, less --work or fewer --jobs",
)


def run(arguments: Sequence[str], interrupts: Interrupts) -> int:
    """Run one command line and return the exit code.

    Raises:
        KeyboardInterrupt: when there is nothing to be said about it.
    """
    try:
        return _print(_call(arguments, interrupts), as_json="--json" in arguments)
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE


def _call(arguments: Sequence[str], interrupts: Interrupts) -> Answer | None:
    try:
        return _invoke(arguments)
    except click.UsageError as error:
        return _usage(error)
    except QdeployError as error:
        return _failure(error, error.exit_code)
    except (BrokenPipeError, SystemExit):
        raise
    except MemoryError:
        return _failure(_OUT_OF_MEMORY, _OUT_OF_MEMORY.exit_code)
    except BaseException as error:  # noqa: BLE001  the one place where a bug becomes exit code 70
        if interrupts.seen or isinstance(error, KeyboardInterrupt | click.Abort):
            return _failure(QdeployError("interrupted"), ExitCode.INTERRUPTED)
        return _bug(error)


def _bug(error: BaseException) -> Answer:
    missing = missing_package(error) if isinstance(error, ImportError) else None
    if missing is not None:
        return _failure(missing, missing.exit_code)
    traceback.print_exception(error)
    told = QdeployError(
        f"this is a bug in qdeploy: {type(error).__name__}: {error}",
        fix="please report it with the lines above and, if you may, the model",
    )
    return _failure(told, ExitCode.BUG)


def _invoke(arguments: Sequence[str]) -> Answer | None:
    """Parse and call; help and --version print on their own and give no answer."""
    result = root.main(list(arguments), prog_name="qdeploy", standalone_mode=False)
    return result if isinstance(result, Answer) else None


def _usage(error: click.UsageError) -> Answer:
    context = error.ctx
    fix = f"see {context.command_path} --help" if context is not None else "see qdeploy --help"
    return _failure(QdeployError(error.format_message(), fix=fix), ExitCode.USAGE)


def _failure(error: QdeployError, code: ExitCode) -> Answer:
    where = None if error.where is None else str(error.where)
    data = {"what": error.what, "where": where, "fix": error.fix or None, "exit_code": int(code)}
    _say(f"error: {error}", sys.stderr)
    return Answer({"error": data}, "", code)


def _print(answer: Answer | None, *, as_json: bool) -> int:
    if answer is None:
        sys.stdout.flush()
        return int(ExitCode.YES)
    text = json.dumps(answer.data, indent=2, sort_keys=True) if as_json else answer.text
    if text:
        _say(text, sys.stdout)
    sys.stdout.flush()
    return int(answer.code)


def _say(text: str, stream: TextIO) -> None:
    """Print for a person: no control character of a file or device ever gets to a terminal."""
    encoding = stream.encoding or "utf-8"
    plain = visible(text, keep="\n\t").encode(encoding, "backslashreplace")
    print(plain.decode(encoding), file=stream)


def _abandon_stdout() -> None:
    """Nobody reads any more: keep Python's own flush at exit from failing once again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
