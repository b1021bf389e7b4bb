"""The `qdeploy` command itself: its subcommands are the public modules of this folder.

A module is imported when its command is called, so that `verify` runs in a process that never
loads a solver, a generator or a serial port.
"""

import importlib
import pkgutil

import click

import qdeploy
import qdeploy.cli

ORDER = ("build", "certify", "verify", "validate", "compare", "inspect", "boards", "doctor")
"""The order in which help lists commands: the order in which one meets them."""


class Folder(click.Group):
    """A group whose commands are modules with a constant `COMMAND`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every public module's name, those of ORDER first."""
        del ctx
        found = {m.name for m in pkgutil.iter_modules(qdeploy.cli.__path__)}
        names = {name for name in found if not name.startswith("_")}
        return [n for n in ORDER if n in names] + sorted(names.difference(ORDER))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module and return its command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"qdeploy.cli.{cmd_name}").COMMAND
        if not isinstance(command, click.Command):
            raise TypeError(f"qdeploy.cli.{cmd_name}.COMMAND is no command")
        return command


@click.group(
    cls=Folder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="Example: qdeploy build pendulum.onnx --inputs -1:1",
)
@click.version_option(qdeploy.__version__, prog_name="qdeploy")
def root() -> None:
    """Trained networks as fixed-point firmware, with a proof of how far the device deviates.

    Exit codes: 0 yes, 1 the answer is no, 2 usage, 3 bad input, 4 tool or device missing,
    5 inconclusive, 70 our bug, 130 interrupted.
    """
