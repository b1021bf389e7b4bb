"""`qdeploy boards`: which boards there are, and how each was verified."""

import click

from qdeploy.boards import all_boards
from qdeploy.cli._answer import Answer, columns, json_option


@click.command(
    "boards",
    short_help="List the boards, and how each was verified.",
    epilog="Example: qdeploy boards --json",
)
@json_option
def command() -> Answer:
    """List the boards, and how each was verified."""
    boards = all_boards().values()
    rows = [("name", "cpu", "verified", "title")]
    rows += [(b.name, b.cpu, b.verified.value, b.title) for b in boards]
    how = [(f"{b.name}:", b.how) for b in boards]
    data = [
        {"name": b.name, "title": b.title, "cpu": b.cpu, "verified": b.verified.value, "how": b.how}
        for b in boards
    ]
    return Answer({"boards": data}, f"{columns(rows)}\n\nHow they were verified\n{columns(how)}")


COMMAND = command
