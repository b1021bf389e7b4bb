"""Where the data folders (templates, firmware, boards) lie, in an installation or a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """Return the folder `templates`, `firmware` or `boards` this qdeploy works with.

    A wheel carries them under `qdeploy/_data`; in a source checkout they are top-level folders.

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parents[1] / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"qdeploy's data folder {name!r} is missing: reinstall qdeploy")
