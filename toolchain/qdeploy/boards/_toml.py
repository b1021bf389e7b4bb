"""Reading a TOML table key by key, so that whatever is wrong can be named exactly."""

from pathlib import Path
from typing import TypeVar

from qdeploy.diagnostics import InputError, Where
from qdeploy.reading import MalformedError, PathError, bytes_of, parse_toml

T = TypeVar("T", int, str)

_MOST_BYTES = 1 << 20
_LONGEST_SHOWN = 80


class Table:
    """A table that remembers which of its keys were asked for."""

    def __init__(self, values: dict[str, object], file: str, path: str = "") -> None:
        self._values = values
        self._file = file
        self._path = path
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def _spot(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def error(self, key: str, what: str, fix: str) -> InputError:
        """An error about one key."""
        return InputError(what, where=Where(self._file, self._spot(key)), fix=fix)

    def take(self, key: str, kind: type[T]) -> T:
        """Return the value of a key that must be there."""
        self._asked.add(key)
        if key not in self._values:
            raise self.error(key, f"{self._spot(key)} is missing", f"add {key} to {self._file}")
        value = self._values[key]
        if type(value) is not kind:  # bool is an int, and no number
            noun = {int: "a whole number", str: "a text"}[kind]
            said = f"{self._spot(key)} = {repr(value)[:_LONGEST_SHOWN]} is not {noun}"
            raise self.error(key, said, f"write {noun}")
        return value

    def take_or(self, key: str, default: T) -> T:
        """Return the value of a key that may be left out."""
        return self.take(key, type(default)) if key in self._values else default

    def take_texts(self, key: str) -> tuple[str, ...]:
        """Return the value of a key that must be there and is a list of texts."""
        self._asked.add(key)
        value = self._values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"{self._spot(key)} is no list of texts", 'write ["...", "..."]')
        return tuple(value)

    def table(self, key: str) -> "Table":
        """Return a table that must be there."""
        self._asked.add(key)
        value = self._values.get(key)
        if not isinstance(value, dict):
            raise self.error(key, f"the table [{self._spot(key)}] is missing", f"add [{key}]")
        return Table(value, self._file, self._spot(key))

    def done(self) -> None:
        """Refuse every key nobody asked for: most are misspelt."""
        for key in self._values.keys() - self._asked:
            known = ", ".join(sorted(self._asked))
            raise self.error(key, f"unknown key {self._spot(key)}", f"the keys are {known}")


def read_table(path: Path, file: str) -> Table:
    """Read a TOML file; `file` is what errors call it.

    Raises:
        InputError: absent, not text, or not TOML.
    """
    try:
        return Table(parse_toml(bytes_of(path, _MOST_BYTES).decode("utf-8")), file)
    except PathError as error:
        raise InputError(
            f"{file} cannot be read: {error}",
            where=Where(file),
            fix="a board is a folder with board.toml and board.c; see docs/add-a-board.md",
        ) from error
    except (MalformedError, UnicodeDecodeError) as error:
        raise InputError(f"not TOML: {error}", where=Where(file), fix="correct it there") from error
