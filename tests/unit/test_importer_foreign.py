"""A file of another kind is told what it is, by its content or by its name, and the way to ONNX."""

import io
import pickle
import struct
import zipfile

import onnx
import pytest
from qdeploy import importer
from qdeploy.diagnostics import InputError
from support.onnx_models import Graph, node

MODEL = Graph([node("Relu", "x", "y")]).proto()


def archive(*members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in members:
            file.writestr(name, b"content")
    return stream.getvalue()


HEADER = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
FILES = {
    "a TensorFlow Lite model": ("m.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(40), "--tflite"),
    "Lite under another name": ("m.onnx", b"\x1c\x00\x00\x00TFL3" + bytes(40), "--tflite"),
    "Keras, old": ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "format='onnx'"),
    "Keras, new": ("m.keras", archive("config.json", "model.weights.h5"), "format='onnx'"),
    "PyTorch": ("m.pt", archive("m/data.pkl", "m/data/0"), "torch.onnx.export"),
    "PyTorch under another name": ("m.onnx", archive("m/data.pkl"), "torch.onnx.export"),
    "PyTorch, old": ("m.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch.onnx.export"),
    "a pickle": ("m.pkl", pickle.dumps({"w": 1}), "skl2onnx"),
    "a pickle under another name": ("m.onnx", pickle.dumps({"w": 1}), "skl2onnx"),
    "a saved model": ("saved_model.pb", b"\x08\x01\x12\x04\x0a\x02\x08\x01", "--saved-model"),
    "a packed model": ("m.onnx.zip", archive("m.onnx"), "unpack"),
    "a packed file": ("m.onnx.gz", b"\x1f\x8b\x08\x00" + bytes(20), "unpack"),
    "weights alone": ("m.safetensors", struct.pack("<Q", len(HEADER)) + HEADER, "torch.onnx"),
    "a converted model": ("m.ort", b"\x20\x00\x00\x00ORTM" + bytes(40), ".onnx file"),
    "ONNX as text": ("m.onnx", onnx.printer.to_text(MODEL).encode(), "onnx.save"),
    "ONNX as JSON": ("m.json", b'{"irVersion": "8"}', "onnx.save"),
    "a pointer": ("m.onnx", b"version https://git-lfs.github.com/spec/v1\noid 1\n", "git lfs pull"),
    "a page": ("m.onnx", b"<!DOCTYPE html>\n<html></html>", "download"),
    "nothing by its content, Lite by its name": ("m.TFLITE", b"", "--tflite"),
    "unknown": ("m.onnx", b"\x01\x02\x03", "binary .onnx file"),
}


@pytest.mark.parametrize("case", FILES)
def test_other_files_are_named_with_the_way_to_onnx(case, tmp_path):
    name, content, fix = FILES[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match="this is no ONNX model") as caught:
        importer.run(path)
    assert fix in caught.value.fix
    assert str(caught.value.where) == name


@pytest.mark.parametrize("name", ["m.pb", "m.pt", "m.zip", "m.tflite", "m"])
def test_a_model_is_read_whatever_its_file_is_called(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(MODEL.SerializeToString())
    assert importer.run(path).nodes
