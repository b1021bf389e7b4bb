"""What a certificate file may hold: names that are no statements, and lists that are moderate.

Packed lists are unpacked whenever somebody reads them, so that a file of 59 MiB does not take
gigabytes; they say the same as plain lists, and have one spelling.
"""

import base64
import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, QuantizeRequest
from qdeploy.proof import packed, strict
from qdeploy.proof import statement as statements
from qdeploy.proof.cone import Dual
from qdeploy.proof.packed import Entries, Integers, Triangle, pack, unpack
from support.networks import paper_network

Json = dict[str, Any]


@pytest.fixture(scope="module")
def text() -> bytes:
    network = paper_network(3, 1)
    box = Box((Fraction(-1),), (Fraction(1),), "p.vnnlib[3] (constraints on outputs left out)")
    program = quantize.run(network, QuantizeRequest((box,), bits=8))
    spend = CertifyRequest(attack_budget=500, methods=frozenset({"sdp"}))
    return proof.write(proof.attest(certifier.run(network, program, (box,), spend)))


def changed(text: bytes, change: Callable[[Json], None]) -> bytes:
    """Return the certificate with one region's claim changed, under a seal of its own."""
    data = json.loads(text)
    change(data["predicate"]["regions"][0])
    predicate = data["predicate"]
    predicate["seal"] = statements._seal(predicate, data["subject"])
    return (strict.canonical(data) + "\n").encode("ascii")


def test_a_certificate_that_was_read_is_the_one_that_was_written(text: bytes) -> None:
    statement = proof.read(text)
    assert proof.write(statement) == text
    again = proof.read(proof.write(statement))
    assert again.certificate.regions == statement.certificate.regions


# --- names -----------------------------------------------------------------------------------

NAMES = [
    "",
    "-1:1",
    "box.json",
    "hull of one.npz",
    "one.npz[0]",
    "p1.vnnlib (constraints on outputs left out)",
    "p1.vnnlib[12] (constraints on outputs left out)",
    "whole range of 4.12, no inputs being given",
    "whole range of -2.10, no inputs being given",
    "data:x.npz",
    "hull of a[0] (constraints on outputs left out)",
    "a" * 80,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_a_person_would_sign_is_kept(text: bytes, name: str) -> None:
    content = changed(text, lambda region: region.update(name=name))
    assert proof.read(content).certificate.regions[0].box.name == name
    assert statements._encode_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "every input in [-1000, 1000]",
        "every input",
        "box.json: at most 0.0",
        "x <= 0",
        "x>0",
        "x=0",
        'a"b',
        "a'b",
        "a&b",
        "<b>",
        "a\nb",
        "a\x1b[2Jb",
        "größe",
        "a\u202eb",
        "\u0663",
        "x) at most 0 (y",
        "x)",
        "[0][1]",
        "x[-1]",
        "x[\u0663]",
        " x",
        "x ",
        "a/b",
        "hull of hull of x",
        "x (constraints on outputs left out) (constraints on outputs left out)",
        "whole range of everything, no inputs being given",
        "a" * 81,
        7,
        None,
        [],
    ],
)
def test_a_name_that_could_say_something_else_is_refused(text: bytes, name: object) -> None:
    with pytest.raises(RefusedError, match="certificate"):
        proof.read(changed(text, lambda region: region.update(name=name)))


PIECES = st.sampled_from(
    ["hull of ", "x.npz", "[0]", " (constraints on outputs left out)", " ", "(", "\n", "<= 0", "é"]
)


@given(st.text(max_size=300) | st.lists(PIECES, max_size=8).map("".join))
def test_every_name_becomes_one_that_is_kept(name: str) -> None:
    kept = statements._encode_name(name)
    assert statements._encode_name(kept) == kept
    assert len(kept) <= 140
    assert kept.isascii()
    assert kept.isprintable()
    assert not set(kept) & set("<>='\"&`/\\,")
    words = kept.removeprefix("hull of ").removesuffix(" (constraints on outputs left out)")
    assert " " not in words


def test_of_a_long_name_the_end_stays() -> None:
    kept = statements._encode_name("n" * 200 + ".vnnlib[7] (constraints on outputs left out)")
    assert kept.endswith("n.vnnlib[7] (constraints on outputs left out)")
    assert kept.startswith("nnn")


# --- packed lists ----------------------------------------------------------------------------

ENTRIES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 1 << 60)))


@given(ENTRIES, st.integers(0, 6), st.data())
def test_a_dual_that_was_read_is_the_one_that_was_written(
    products: list[tuple[int, int, int]], size: int, data: st.DataObject
) -> None:
    numbers = st.integers(-(1 << 60), 1 << 60)
    factor = tuple(
        tuple(data.draw(st.lists(numbers, min_size=n, max_size=n))) for n in range(1, size + 1)
    )
    complements = tuple((i, m) for i, _, m in products)
    dual = Dual(3, 4, tuple(products), complements, factor)
    written = strict.encode_dual(dual)
    read = strict.decode_dual(written)
    assert read == dual
    assert dual == read
    assert strict.encode_dual(read) == written
    assert list(map(tuple, read.products)) == products
    assert [len(x) for x in (read.products, read.complements, read.factor)] == [
        len(products),
        len(products),
        size,
    ]


def test_lists_that_differ_are_not_equal() -> None:
    one = unpack(pack([1, -2, 300]))
    assert one == [1, -2, 300] == list(one)
    assert one != [1, -2]
    assert one != [1, -2, 301]
    assert one != 7
    assert one[1] == -2
    assert one[1:] == (-2, 300)
    assert Triangle(one)[1] == (-2, 300)
    assert Entries(unpack(pack([1, 5, 2, 6])), 2)[1] == (3, 6)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes([0x80]), "ends within an integer"),
        (bytes([1, 0x80, 0x80]), "ends within an integer"),
        (bytes([0x80, 0]), "a group more than it needs"),
        (bytes([0xFF] * 37 + [1]), "more than 256 bits"),
        (bytes(packed.LARGEST_LIST + 1), "more than 4194304 integers"),
    ],
)
def test_another_spelling_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unpack(base64.b64encode(data).decode())


def side(dual: Json) -> Json:
    return {"output": 0, "sign": 1, "dual": dual}


def listed(count: int, lists: int) -> list[Json]:
    """Return duals with lists of so many integers each."""
    text = base64.b64encode(bytes(count)).decode()
    empty = {"t": 0, "tau": 0, "products": "", "complements": "", "factor": ""}
    return [side({**empty, "products": text}) for _ in range(lists)]


def with_sides(sides: list[Json]) -> Callable[[Json], None]:
    data = {"slacks": True, "sides": sides, "norm": None, "inner": []}
    return lambda region: region["parts"].append(
        {"method": "sdp", "per_output": [None], "l2": None, "data": data}
    )


def with_slopes(count: int, tasks: int) -> Callable[[Json], None]:
    text = base64.b64encode(bytes(count)).decode()
    data = {"grid": 20, "tree": "/g==", "slopes": [[text] * tasks]}
    return lambda region: region["parts"].append(
        {"method": "tuned", "per_output": [None], "l2": None, "data": data}
    )


LARGEST = 3 * (packed.LARGEST_LIST // 3) - 30_000


@pytest.mark.parametrize("half", ["cone", "slopes"])
def test_all_lists_of_a_file_are_limited_together(text: bytes, half: str) -> None:
    """Half of the integers in a cone, the other in slopes, and one list too many in either."""
    cones, tasks = (2, 2) if half == "cone" else (1, 3)
    content = changed(text, with_sides(listed(LARGEST, cones)))
    fits = changed(content, with_slopes(LARGEST, tasks))
    assert len(proof.read(fits).certificate.regions[0].parts) > 2
    with pytest.raises(RefusedError, match="all lists together have more than 16777216 integers"):
        proof.read(changed(fits, with_slopes(150_000, 1)))


def test_packed_lists_take_a_small_multiple_of_their_file(text: bytes) -> None:
    """As plain integers they took forty times as much."""
    content = changed(text, with_sides(listed(LARGEST, 3)))
    tracemalloc.start()
    try:
        proof.read(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(content)


@pytest.mark.parametrize("part", ["[]", "{}", '""', "0"])
def test_a_flood_of_values_is_refused_before_it_is_made(text: bytes, part: str) -> None:
    flood = b'{"predicate": [' + b",".join([part.encode()] * 5_000_000) + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError, match="more than 4194304 values"):
            proof.read(flood)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(flood)


def test_an_unread_list_is_held_in_three_quarters_of_its_text() -> None:
    text = pack([1] * 1_000_000)
    tracemalloc.start()
    try:
        held = unpack(text)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(held, Integers)
    assert now < 0.8 * len(text)
    assert peak < 3 * len(text)
    assert sum(held) == Decimal(1_000_000)
