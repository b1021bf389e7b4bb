"""The Jinja environment of the pages: HTML, so everything printed is escaped."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from qdeploy.diagnostics import visible
from qdeploy.resources import folder


@cache
def environment() -> Environment:
    """Return the environment over `templates/report`."""
    return Environment(
        loader=FileSystemLoader(folder("templates") / "report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
        finalize=_printable,
    )


def _printable(value: object) -> object:
    """Write out what prints nothing; markup of our own templates stays as it is."""
    plain = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(str(value)) if plain else value


def render(template: str, **values: object) -> bytes:
    """Return one page as UTF-8."""
    return environment().get_template(template).render(**values).encode("utf-8")
