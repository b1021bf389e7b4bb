"""What a model declares about its tensors, held against what its graph computes."""

from collections.abc import Mapping

from qdeploy.importer.elements import shown
from qdeploy.importer.modelfile import Declared, ModelFile
from qdeploy.importer.names import readable
from qdeploy.importer.values import Constant, Content, Magnitude, Signal, Tail, Value


def check_declarations(
    model: ModelFile, values: Mapping[str, Value], types: Mapping[str, str]
) -> None:
    """Refuse a model that declares another type or shape than its graph computes.

    An open extent says nothing; what nodes that no output needs compute is not looked at.
    """
    for declared in model.declarations:
        stored = model.parameters.get(declared.name)
        if stored is not None:
            _check(model, declared, stored.shape, stored.type)
        elif declared.name in values:
            _check(model, declared, _shape(values[declared.name]), types[declared.name])


def _shape(value: Value) -> tuple[int, ...] | None:
    match value:
        case Tail(content=Content.TABLE):
            return None
        case Magnitude(of=of):
            return of.shape
        case Signal() | Constant() | Tail():
            return value.shape


def _check(model: ModelFile, declared: Declared, shape: tuple[int, ...] | None, kind: str) -> None:
    other_type = declared.type not in ("", kind)
    if not other_type and (declared.extents is None or shape is None):
        return
    if other_type or not _agree(declared, shape or ()):
        extents = "" if declared.extents is None else f" {_listed(declared.extents)}"
        computed = "" if shape is None else f" {_listed(shape)}"
        raise model.refusal(
            f"{readable(declared.name)!r} is declared as {shown(declared.type)}{extents}, "
            f"and the model makes it {shown(kind)}{computed}",
            "correct what is declared (onnx.shape_inference writes it anew) or export anew; "
            "an open batch counts as 1",
            f"{declared.role} {readable(declared.name)!r}",
        )


def _agree(declared: Declared, shape: tuple[int, ...]) -> bool:
    """Whether the extents that are numbers are those of `shape`."""
    extents = declared.extents or ()
    return len(extents) == len(shape) and all(
        isinstance(said, str) or said == found for said, found in zip(extents, shape, strict=True)
    )


def _listed(extents: tuple[int | str, ...]) -> str:
    return f"[{', '.join(str(e) or '?' for e in extents[:9])}]"
