"""Which files a command reads: no result of its own may ever take their place."""

from collections.abc import Iterable
from pathlib import Path

from qdeploy.importer.files import files
from qdeploy.pipeline.options import Options

_SAMPLES = "data:"


def named(options: Options) -> tuple[Path, ...]:
    """Return what the options name: models, regions, a configuration file, a board's folder."""
    board = [Path(options.board)] if "/" in options.board else []
    given = (options.model, options.deploy, options.config, *board)
    return (*(path for path in given if path is not None), *regions(options.inputs))


def regions(spec: str | None) -> tuple[Path, ...]:
    """Return what `--inputs` may name; what is no file matters to nobody."""
    if spec is None:
        return ()
    file = spec.removeprefix(_SAMPLES)
    return (Path(file), Path(file.rpartition(":")[0])) if file != spec else (Path(spec),)


def with_data(models: Iterable[Path | None]) -> tuple[Path, ...]:
    """Return models that were imported, and the files that hold their tensors."""
    found = [path.parent / name for path in models if path is not None for name in files(path)]
    return tuple(found)
