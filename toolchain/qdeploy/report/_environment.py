"""The Jinja environment of the pages: HTML, so everything printed is escaped."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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
    )


def render(template: str, **values: object) -> bytes:
    """Return one page as UTF-8."""
    return environment().get_template(template).render(**values).encode("utf-8")
