"""Names out of a model file: text or an error, and fit to be shown."""

_LONGEST_NAME = 200


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
