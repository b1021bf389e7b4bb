"""The option of commands that check a certificate; what it needs loads no solver."""

import click

from qdeploy.proof import DEFAULT_OPERATIONS

operations_option = click.option(
    "--operations",
    type=int,
    default=DEFAULT_OPERATIONS,
    show_default=False,
    metavar="N",
    help="Most that checking the certificate may take, over all regions; what would take more is "
    "refused before it is begun. Default: 10^12 operations, about an hour of one core.",
)
"""For commands that check a certificate that somebody else may have written."""
