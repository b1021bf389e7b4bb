"""Names out of a model file: text or an error, and fit to be shown."""

from pathlib import Path

_LONGEST_NAME = 200
_LONGEST_FILE = 160
"""Certificates name the model in a text of 200 characters, together with a word of their own."""


def text(stored: str | bytes) -> str:
    """Return a protobuf string field; one that is no UTF-8 arrives as bytes.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    return stored if isinstance(stored, str) else stored.decode("utf-8")


def readable(name: str | bytes) -> str:
    """Return `name` as it may be shown: printable, not longer than a line or two."""
    shown = name if isinstance(name, str) else name.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in shown[:_LONGEST_NAME])


def file_name(path: Path) -> str:
    """Return a model's file name as certificates, pages and build folders have it."""
    return readable(path.name)[:_LONGEST_FILE]
