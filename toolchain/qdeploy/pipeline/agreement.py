"""Whether build.json says what follows from the certificate and the files that it names."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qdeploy.diagnostics import RefusedError, Where
from qdeploy.pipeline.artifacts import MARKER
from qdeploy.reading import shown

_SOURCES = {
    "model": "the model file says",
    "certificate": "the certificate proves",
    "firmware": "the image and its account say",
}
_OTHER_SOURCE = "the certified program has"
_UNPROVEN = frozenset({"relaxed", "seconds", "origins"})
"""Of the certificate's part: what no certificate holds."""
_LONGEST = 60

_MISSING = object()


def check_account(folder: Path, stated: Mapping[str, Any], derived: Mapping[str, Any]) -> None:
    """Compare what build.json states with what was derived again.

    Raises:
        RefusedError: they differ; the first key is named.
    """
    for key, said, known in _differences(stated, derived, ""):
        source = _SOURCES.get(key.partition(".")[0], _OTHER_SOURCE)
        what = "nothing" if said is _MISSING else _shown(said)
        raise RefusedError(
            f"{MARKER}: {key} states {what}, {source} {_shown(known)}",
            where=Where(shown(folder), f"{MARKER}: {key}"),
            fix="build it again with qdeploy build; what qdeploy verify says of the certificate "
            "does not rest on this file",
        )


def _differences(said: object, known: object, key: str) -> Iterator[tuple[str, object, object]]:
    """Yield every place where both differ: its name, and both values."""
    if isinstance(known, Mapping):
        yield from _in_mapping(said, known, key)
    elif isinstance(known, Sequence) and not isinstance(known, str):
        if not isinstance(said, list) or len(said) != len(known):
            yield key, said, known
            return
        for index, (one, other) in enumerate(zip(said, known, strict=True)):
            yield from _differences(one, other, f"{key}[{index}]")
    elif type(said) is not type(known) or said != known:
        yield key, said, known


def _in_mapping(
    said: object, known: Mapping[str, object], key: str
) -> Iterator[tuple[str, object, object]]:
    if not isinstance(said, dict):
        yield key, said, known
        return
    for name, value in known.items():
        if name not in _UNPROVEN:
            inner = f"{key}.{name}" if key else name
            yield from _differences(said.get(name, _MISSING), value, inner)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
