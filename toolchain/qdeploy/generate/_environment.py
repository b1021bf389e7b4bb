"""The one Jinja environment everything generated is printed with."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from qdeploy.generate._literals import c_array, c_bytes, c_int, c_macro
from qdeploy.resources import folder

_FILTERS = {"c_array": c_array, "c_bytes": c_bytes, "c_int": c_int, "c_macro": c_macro}


@cache
def environment() -> Environment:
    """Return the environment: templates from `templates/`, every filter registered here.

    An undefined name is an error, and block lines leave no blank lines behind.
    """
    made = Environment(
        loader=FileSystemLoader(folder("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it prints C and linker scripts, never HTML
    )
    made.filters.update(_FILTERS)
    return made


def render(template: str, **values: object) -> bytes:
    """Return the text of one template as bytes, UTF-8."""
    return environment().get_template(template).render(**values).encode("utf-8")
