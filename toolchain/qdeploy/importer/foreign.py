"""Files of other kinds that are given as a model: what they are, and how they become ONNX."""

from collections.abc import Mapping
from types import MappingProxyType

_UNPACK = "unpack it and give the .onnx file that is in it"
_TORCH = "load it in PyTorch and call torch.onnx.export(model, example_input, 'model.onnx')"
_KERAS = (
    "load it in Keras and call model.export('model.onnx', format='onnx'), or "
    "tf2onnx.convert.from_keras(model, output_path='model.onnx')"
)
_LITE = "convert it: python -m tf2onnx.convert --tflite FILE --output model.onnx"
_SAVED = "convert it: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx"
_PICKLE = "load it where it was made and export it: skl2onnx.to_onnx(model, X) for scikit-learn"

_LITE_FILE = ("a TensorFlow Lite model", _LITE)
_KERAS_FILE = ("a Keras model", _KERAS)
_TORCH_FILE = ("a PyTorch file", _TORCH)
_SAVED_FILE = ("a TensorFlow graph", _SAVED)
_PICKLE_FILE = ("a pickled Python object", _PICKLE)
_PACKED_FILE = ("a compressed archive", _UNPACK)
_TENSORS_FILE = ("a file of weights alone (safetensors)", _TORCH)
_ORT_FILE = ("in onnxruntime's own format", "give the .onnx file that it was made from")
_TEXT_FILE = ("a text", "store the model in ONNX's binary form: onnx.save(model, 'model.onnx')")
_POINTER_FILE = ("a pointer of Git LFS to the file", "fetch the file itself: git lfs pull")
_PAGE_FILE = ("a web page", "download the file again, and not the page about it")

_BEGINNINGS: tuple[tuple[int, bytes, tuple[str, str]], ...] = (
    (4, b"TFL3", _LITE_FILE),
    (4, b"ORTM", _ORT_FILE),
    (0, b"\x89HDF\r\n\x1a\n", _KERAS_FILE),
    (8, b'{"', _TENSORS_FILE),
    (0, b"version https://git-lfs", _POINTER_FILE),
    (0, b"<!DOCTYPE", _PAGE_FILE),
    (0, b"<!doctype", _PAGE_FILE),
    (0, b"<html", _PAGE_FILE),
    (0, b"ir_version", _TEXT_FILE),
    (0, b"<", _TEXT_FILE),
    (0, b"{", _TEXT_FILE),
    (0, b"\x1f\x8b", _PACKED_FILE),
    (0, b"\xfd7zXZ", _PACKED_FILE),
    (0, b"\x28\xb5\x2f\xfd", _PACKED_FILE),
    (0, b"BZh", _PACKED_FILE),
    (0, b"7z\xbc\xaf", _PACKED_FILE),
)
"""Where a file has which bytes; the first that fits counts."""

_MEMBERS: tuple[tuple[bytes, tuple[str, str]], ...] = (
    (b".onnx", _PACKED_FILE),
    (b"data.pkl", _TORCH_FILE),
    (b"model.weights.h5", _KERAS_FILE),
    (b"saved_model.pb", _SAVED_FILE),
)
"""What a zip archive has in it."""

_SUFFIXES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        ".tflite": _LITE_FILE,
        ".lite": _LITE_FILE,
        ".h5": _KERAS_FILE,
        ".hdf5": _KERAS_FILE,
        ".keras": _KERAS_FILE,
        ".pt": _TORCH_FILE,
        ".pth": _TORCH_FILE,
        ".pt2": _TORCH_FILE,
        ".ckpt": _TORCH_FILE,
        ".pb": _SAVED_FILE,
        ".pkl": _PICKLE_FILE,
        ".pickle": _PICKLE_FILE,
        ".joblib": _PICKLE_FILE,
        ".safetensors": _TENSORS_FILE,
        ".ort": _ORT_FILE,
        ".zip": _PACKED_FILE,
        ".json": _TEXT_FILE,
        ".txt": _TEXT_FILE,
        ".onnxtxt": _TEXT_FILE,
    }
)
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def other_kind(data: bytes, suffix: str) -> tuple[str, str] | None:
    """Return what a file is that cannot be read as ONNX, and the way out; None: not known.

    Its content counts, and its name where that says nothing.
    """
    named = _SUFFIXES.get(suffix.lower())
    if data.startswith(_ZIP):
        inside = (found for name, found in _MEMBERS if name in data)
        return next(inside, named or _PACKED_FILE)
    if data.startswith(_PICKLES):
        return named or _PICKLE_FILE
    return next((f for at, mark, f in _BEGINNINGS if data.startswith(mark, at)), named)
