"""Files of anybody, read within limits and in one place: bytes, text, JSON, TOML and arrays.

Whatever a file holds, all that ever comes out is a QdeployError, a PathError or a MalformedError.
"""

from qdeploy.reading.arrays import read_array
from qdeploy.reading.documents import MalformedError, integer, number, parse_json, parse_toml
from qdeploy.reading.files import (
    Entry,
    Kind,
    PathError,
    SizeError,
    bytes_of,
    exists,
    is_file,
    is_folder,
    look,
    names_in,
    opened,
    read_bytes,
    read_text,
    resolved,
    shown,
)

__all__ = [
    "Entry",
    "Kind",
    "MalformedError",
    "PathError",
    "SizeError",
    "bytes_of",
    "exists",
    "integer",
    "is_file",
    "is_folder",
    "look",
    "names_in",
    "number",
    "opened",
    "parse_json",
    "parse_toml",
    "read_array",
    "read_bytes",
    "read_text",
    "resolved",
    "shown",
]
