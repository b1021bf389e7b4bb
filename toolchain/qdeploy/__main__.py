"""`python -m qdeploy` is `qdeploy`."""

from qdeploy.cli import entry

entry()
