"""Around every command: parse, call, print, exit.

Exit codes and what goes to which stream are decided here and nowhere else.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from qdeploy.cli._answer import Answer
from qdeploy.cli._commands import root
from qdeploy.diagnostics import ExitCode, QdeployError

BROKEN_PIPE = 141
"""128 + SIGPIPE, what a shell reports of a program whose reader went away."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    as_json = "--json" in arguments
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _print(_call(arguments), as_json=as_json)
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let SIGTERM unwind like Ctrl-C, so that nothing half-written or running stays behind."""
    del number, frame
    raise KeyboardInterrupt


def _call(arguments: Sequence[str]) -> Answer | None:
    try:
        return _invoke(arguments)
    except click.UsageError as error:
        return _usage(error)
    except QdeployError as error:
        return _failure(error, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _message("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  the one place where a bug of ours becomes exit code 70
        traceback.print_exc()
        fix = "please report it with the lines above and, if you may, the model"
        bug = QdeployError(f"this is a bug in qdeploy: {type(error).__name__}: {error}", fix=fix)
        return _failure(bug, ExitCode.BUG)


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
    print(f"error: {error}", file=sys.stderr)
    return Answer({"error": data}, "", code)


def _message(what: str, code: ExitCode) -> Answer:
    return _failure(QdeployError(what), code)


def _print(answer: Answer | None, *, as_json: bool) -> int:
    if answer is None:
        sys.stdout.flush()
        return ExitCode.YES
    text = json.dumps(answer.data, indent=2, sort_keys=True) if as_json else answer.text
    if text:
        print(text)
    sys.stdout.flush()
    return answer.code


def _abandon_stdout() -> None:
    """Nobody reads any more: keep Python's own flush at exit from failing once again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
