"""Each reader is fed garbage and damaged files: nothing escapes but a plain error of ours."""

import contextlib
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from qdeploy import boards, certifier, proof, quantize, validator
from qdeploy.certifier import CertifyRequest
from qdeploy.cli._options import _load_toml
from qdeploy.diagnostics import InputError, QdeployError, RefusedError
from qdeploy.importer import read_regions
from qdeploy.ir import Box, QuantizeRequest
from qdeploy.pipeline.stored import read_build
from qdeploy.proof import statement
from qdeploy.reading import Kind, MalformedError, parse_json, parse_toml, read_array
from support import bad_files
from support.networks import build_network, paper_network

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LIMITED = Kind("the file", 1 << 20, "give another")


def damaged(*contents):
    """Return good content, of which some bytes are others, missing, or there again."""

    @st.composite
    def draw_from(draw):
        content = bytearray(draw(st.sampled_from(contents)))
        for _ in range(draw(st.integers(1, 6))):
            at = draw(st.integers(0, len(content)))
            size = draw(st.sampled_from([0, 1, 1, 1, 4, 50]))
            fresh = st.binary(max_size=6) | st.sampled_from(
                [
                    b"[" * 70,
                    b"{",
                    b'"',
                    b"\\",
                    b"\0",
                    b"9" * 40,
                    b"1e999",
                    b"NaN",
                    bytes(content[:40]),
                ]
            )
            content[at : at + size] = draw(fresh)
        return bytes(content)

    return draw_from()


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=30,
)
VALUES = NESTED.map(lambda value: json.dumps(value).encode())
BOXES = (
    b'{"lo": [0.5, -1], "hi": [1e2, 3]}',
    b"lo = [0.5, -1.0]\nhi = 1e2\n",
    b"lo = 0x10\nhi.a = 1",
)
GARBAGE = st.binary(max_size=300) | VALUES


@SETTINGS
@given(content=GARBAGE | damaged(*BOXES))
@example(content=b"[" * 5000)
@example(content=b"a." * 5000 + b"a = 1")
def test_texts(content):
    text = content.decode("latin-1")
    for parse in (parse_json, parse_toml):
        with contextlib.suppress(MalformedError):
            parse(text)


@SETTINGS
@given(content=GARBAGE | damaged(*bad_files.NPZ.values(), bad_files.saved(x=np.ones((2, 2)))))
def test_arrays(content, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert read_array(path, LIMITED).dtype.kind in "fiub"
    with contextlib.suppress(InputError):
        assert read_regions(f"data:{path}", 2)


@pytest.fixture(scope="module")
def pair():
    """A network of four inputs, and its program."""
    network = build_network(4, [(np.ones((1, 4), np.float32), np.zeros(1, np.float32))])
    box = Box((Fraction(-1),) * 4, (Fraction(1),) * 4)
    return network, quantize.run(network, QuantizeRequest((box,)))


@SETTINGS
@given(content=GARBAGE | damaged(bad_files.saved(x=np.ones((2, 4))), bad_files.saved(x=np.eye(4))))
def test_vectors(content, pair, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert np.isfinite(validator.read_vectors(path, *pair).x).all()


@SETTINGS
@given(content=GARBAGE | damaged(*BOXES), suffix=st.sampled_from([".json", ".toml", ".vnnlib"]))
def test_region_files(content, suffix, tmp_path):
    path = tmp_path / f"box{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert read_regions(str(path), 2)


@SETTINGS
@given(content=GARBAGE | damaged(b'inputs = "-1:1"\nbits = 8\nno-run = true\ntolerance = 0.05\n'))
def test_configuration_files(content, tmp_path):
    path = tmp_path / "qdeploy.toml"
    path.write_bytes(content)
    with contextlib.suppress(QdeployError):
        _load_toml(path)


GOOD_BOARDS = [
    (board.hardware.home / "board.toml").read_bytes()
    for board in boards.all_boards().values()
    if board.hardware is not None and board.hardware.home is not None
]


@SETTINGS
@given(content=GARBAGE | damaged(*GOOD_BOARDS))
def test_boards(content, tmp_path):
    (tmp_path / "board.toml").write_bytes(content)
    (tmp_path / "board.c").write_bytes(b"")
    with contextlib.suppress(QdeployError):
        assert boards.load(f"{tmp_path}/").title


@pytest.fixture(scope="module")
def certificate():
    """A certificate that holds a cone's proof, as JSON."""
    network = paper_network(3, 1)
    box = Box((Fraction(-1),), (Fraction(1),))
    program = quantize.run(network, QuantizeRequest((box,), bits=8))
    spend = CertifyRequest(attack_budget=500, methods=frozenset({"sdp"}))
    return json.loads(proof.write(proof.attest(certifier.run(network, program, (box,), spend))))


LEAVES = NESTED | st.sampled_from(
    ["0x1p+2000", "inf", "nan", "1e999999999", "A" * 50, "AAA=", "gAA=", "\u202e", 1 << 300, -1]
)


def replaced(data, tree):
    """Return the tree with something in it replaced by something else."""
    if isinstance(tree, list | dict) and tree and data.draw(st.integers(0, 15)):
        copied = tree.copy()
        key = data.draw(
            st.sampled_from(sorted(tree) if isinstance(tree, dict) else range(len(tree)))
        )
        copied[key] = replaced(data, tree[key])
        return copied
    return data.draw(LEAVES)


@settings(SETTINGS, max_examples=300)
@given(data=st.data())
def test_certificates_of_somebody_who_knows_how_to_seal(certificate, data):
    changed = replaced(data, certificate)
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, IndexError):
        predicate = changed["predicate"]
        predicate = {key: value for key, value in predicate.items() if key != "seal"}
        predicate["seal"] = statement._seal(predicate, changed["subject"])
        changed = {**changed, "predicate": predicate}
    with contextlib.suppress(RefusedError):
        assert proof.read(json.dumps(changed).encode()).certificate.regions is not None


@SETTINGS
@given(content=GARBAGE)
def test_certificates(content):
    for read in (proof.read, proof.read_similarity):
        with contextlib.suppress(RefusedError):
            read(content)


@SETTINGS
@given(content=GARBAGE | damaged(b'{"model": {"file": "m.onnx"}, "firmware": {}, "seconds": 1.5}'))
def test_build_folders(content, tmp_path):
    (tmp_path / "build.json").write_bytes(content)
    with pytest.raises(InputError):
        read_build(tmp_path)
