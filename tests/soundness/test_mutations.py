"""A certificate that somebody changed is refused, and the refusal names the part.

Every mutation is tried twice: as it is, when the seal names the changed part, and with the seal
made again by somebody who knows how, when only the exact check stands before a wrong yes.
"""

import base64
import copy
import dataclasses
import json
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import QFormat, Rounding
from qdeploy.ir import Activations, Box, FixedNetwork, Network, QuantizeRequest, program_digest
from qdeploy.ir.codec import decode_program
from qdeploy.proof import packed, strict
from qdeploy.proof import statement as statements
from qdeploy.proof.tree import EXACT_LEAF, LINEAR_LEAF
from support.networks import paper_network

Json = dict[str, Any]
CUT = ("Softmax 'p'", "ArgMax 'label'")
UNIT_BOX = Box((Fraction(-1),), (Fraction(1),))


def paper_program(network: Network) -> FixedNetwork:
    fmt = QFormat(8, 3)
    request = QuantizeRequest(
        (UNIT_BOX,),
        weights=fmt,
        biases=fmt,
        input_format=fmt,
        activations=Activations.EXACT,
        rounding=Rounding.TRUNC,
        quantizer=Rounding.TRUNC,
    )
    return quantize.run(network, request)


@pytest.fixture(scope="module")
def network() -> Network:
    """A network whose model goes on behind its outputs."""
    return dataclasses.replace(paper_network(3, 1), cut=CUT)


@pytest.fixture(scope="module")
def text(network: Network) -> bytes:
    program = paper_program(network)
    spend = CertifyRequest(attack_budget=2000, methods=frozenset({"sdp"}))
    certificate = certifier.run(network, program, (UNIT_BOX,), spend)
    return proof.write(proof.attest(certificate))


def region(data: Json) -> Json:
    return data["predicate"]["regions"][0]


def part(data: Json, method: str) -> Json:
    return next(p for p in region(data)["parts"] if p["method"] == method)


def dual(data: Json) -> Json:
    """The side that decides the bound."""
    return part(data, "sdp")["data"]["sides"][0]["dual"]


def edit_dual(data: Json, **changes: Callable[[list[Any]], object]) -> None:
    """Change products, complements or the factor, as lists, of the side that decides."""
    stored = dual(data)
    plain = strict.decode_dual(stored)
    lists = {name: [list(entry) for entry in getattr(plain, name)] for name in changes}
    for name, change in changes.items():
        change(lists[name])
    stored.update(strict.encode_dual(dataclasses.replace(plain, **lists)))


def put_at(*place: int, value: int) -> Callable[[list[Any]], None]:
    """Return a change of one integer in a list of lists."""
    row, column = place
    return lambda entries: entries[row].__setitem__(column, value)


def negate(column: int) -> Callable[[list[Any]], None]:
    return lambda entries: entries[0].__setitem__(column, -entries[0][column])


def twice(entries: list[Any]) -> None:
    entries += entries


def use_for_another(products: list[Any]) -> None:
    largest = max(range(len(products)), key=lambda k: products[k][2])
    products[largest][0] = 1 if products[largest][0] != 1 else 2


def ulp_below(text: str) -> str:
    number = Decimal(text)
    return str(number - Decimal((0, (1,), number.as_tuple().exponent)))


def change_code(data: Json, node: int, array: str) -> None:
    """Move one stored code of the program by one and keep all else consistent."""
    program = decode_program(data["predicate"]["program"])
    nodes = list(program.nodes)
    stored = nodes[node].arrays[array]
    raw = stored.raw.copy()
    raw.flat[0] += 1
    arrays = dict(nodes[node].arrays) | {array: dataclasses.replace(stored, raw=raw)}
    nodes[node] = dataclasses.replace(nodes[node], arrays=arrays)
    changed = dataclasses.replace(program, nodes=tuple(nodes))
    data["predicate"]["program"] = statements.encode_program(changed)
    data["predicate"]["program_digest"] = program_digest(changed)


def redigest(data: Json) -> None:
    program = decode_program(data["predicate"]["program"])
    data["predicate"]["program_digest"] = program_digest(program)


def tighten_everything(data: Json) -> None:
    for place in (region(data), part(data, "sdp")):
        place["per_output"] = [ulp_below(b) for b in place["per_output"]]
    region(data)["linf"] = ulp_below(region(data)["linf"])
    region(data)["l2"] = ulp_below(region(data)["l2"])


def loosen_linf(data: Json) -> None:
    region(data)["linf"] = str(Decimal(region(data)["linf"]) * 2)


def flip_constraint(data: Json) -> None:
    """Use the largest multiplier for another product of forms."""
    edit_dual(data, products=use_for_another)


def flip_side(data: Json) -> None:
    for side in part(data, "sdp")["data"]["sides"]:
        side["sign"] = -side["sign"]


def negative_multiplier(data: Json) -> None:
    edit_dual(data, products=negate(2))


def negative_complement(data: Json) -> None:
    edit_dual(data, complements=negate(1))


def foreign_constraint(data: Json) -> None:
    edit_dual(data, products=put_at(0, 1, value=10_000))


def lower_t(data: Json) -> None:
    dual(data)["t"] -= 1 << 30


def lower_tau(data: Json) -> None:
    dual(data)["tau"] = -1


def zero_factor(data: Json) -> None:
    edit_dual(data, factor=lambda rows: rows.__setitem__(slice(None), [[0] * len(r) for r in rows]))


def short_factor(data: Json) -> None:
    edit_dual(data, factor=list.pop)


def remove_part(data: Json) -> None:
    region(data)["parts"] = [p for p in region(data)["parts"] if p["method"] != "sdp"]


def remove_every_part(data: Json) -> None:
    region(data)["parts"] = []


def remove_side(data: Json) -> None:
    part(data, "sdp")["data"]["sides"].pop()


def double_part(data: Json) -> None:
    region(data)["parts"].append(copy.deepcopy(part(data, "linear")))


def rename_method(data: Json) -> None:
    part(data, "interval")["method"] = "magic"


def data_for_interval(data: Json) -> None:
    part(data, "interval")["data"] = copy.deepcopy(part(data, "sdp")["data"])


def widen_region(data: Json) -> None:
    region(data)["hi"] = [(2.0).hex()]


def shrink_region(data: Json) -> None:
    region(data)["hi"] = [(0.5).hex()]


def empty_region(data: Json) -> None:
    region(data)["hi"] = [(-2.0).hex()]


def no_regions(data: Json) -> None:
    data["predicate"]["regions"] = []


def change_weight(data: Json) -> None:
    change_code(data, 0, "weight")


def change_bias(data: Json) -> None:
    change_code(data, 1, "bias")


def change_output_format(data: Json) -> None:
    """One fraction bit less on a hidden tensor, shift and clamp consistent."""
    tensor = data["predicate"]["program"]["tensors"][1]
    tensor["format"][1] -= 1
    data["predicate"]["program"]["nodes"][0]["integers"]["shift"] += 1
    bits = sum(tensor["format"])
    data["predicate"]["program"]["nodes"][0]["integers"]["clamp_hi"] = (1 << (bits - 1)) - 1
    redigest(data)


def change_rounding(data: Json) -> None:
    data["predicate"]["program"]["tensors"][0]["rounding"] = "floor"
    redigest(data)


def truncate_accumulator(data: Json) -> None:
    """State a bound that the sums do exceed."""
    data["predicate"]["program"]["nodes"][0]["accumulator"][2] = 1
    redigest(data)


def move_clamp(data: Json) -> None:
    data["predicate"]["program"]["nodes"][0]["integers"]["clamp_hi"] -= 1
    redigest(data)


def change_shift(data: Json) -> None:
    data["predicate"]["program"]["nodes"][0]["integers"]["shift"] += 1
    redigest(data)


def change_model(data: Json) -> None:
    data["predicate"]["model"]["sha256"] = "1" * 64
    data["subject"][0]["digest"]["sha256"] = "1" * 64


def change_digest(data: Json) -> None:
    data["predicate"]["program_digest"] = "0" * 64


def exaggerate_attack(data: Json) -> None:
    region(data)["attack"]["linf"] = region(data)["linf"]


def move_attack(data: Json) -> None:
    region(data)["attack"]["x"] = [(3.0).hex()]


def drop_assumption(data: Json) -> None:
    data["predicate"]["assumptions"].pop()


def remove_cut(data: Json) -> None:
    """Claim the whole model's outputs."""
    del data["predicate"]["cut"]


def remove_cut_and_its_assumption(data: Json) -> None:
    remove_cut(data)
    data["predicate"]["assumptions"] = list(proof.assumptions(()))


def empty_cut(data: Json) -> None:
    data["predicate"]["cut"] = []


def shorten_cut(data: Json) -> None:
    """Claim the probabilities, and nothing but the label cut."""
    data["predicate"]["cut"] = list(CUT[1:])
    data["predicate"]["assumptions"] = list(proof.assumptions(CUT[1:]))


def rename_cut(data: Json) -> None:
    data["predicate"]["cut"][0] = "Softmax 'q'"


def text_for_cut(data: Json) -> None:
    data["predicate"]["cut"] = CUT[0]


def escape_in_cut(data: Json) -> None:
    data["predicate"]["cut"][0] = "Softmax '\x1b[2J'"


def unknown_field(data: Json) -> None:
    region(data)["trust me"] = True


def float_bound(data: Json) -> None:
    region(data)["linf"] = 0.25


def huge_integer(data: Json) -> None:
    dual(data)["t"] = 1 << 5000


def true_for_integer(data: Json) -> None:
    dual(data)["tau"] = True


def toggle_slacks(data: Json) -> None:
    """The factor then has rows for another cone; a layer without slack has none to toggle."""
    cone = part(data, "sdp")["data"]
    cone["slacks"] = "yes"


MUTATIONS: dict[Callable[[Json], None], str] = {
    tighten_everything: "region 0 bound",
    loosen_linf: "region 0 bound",
    flip_constraint: "region 0 method sdp proof",
    flip_side: "region 0 method sdp proof",
    negative_multiplier: "region 0 method sdp proof",
    negative_complement: "region 0 method sdp proof",
    foreign_constraint: "region 0 method sdp proof",
    lower_t: "region 0 method sdp proof",
    lower_tau: "region 0 method sdp proof",
    zero_factor: "region 0 method sdp proof",
    short_factor: "region 0 method sdp proof",
    remove_part: "region 0 method sdp bound",
    remove_every_part: "region 0 method interval bound",
    remove_side: "region 0 method sdp proof",
    double_part: "",
    rename_method: "region 0 method interval bound",
    data_for_interval: "region 0 method interval proof",
    widen_region: "region 0 box",
    shrink_region: "region 0 box",
    empty_region: "region 0 box",
    no_regions: "region 0 attack",
    change_weight: "program ",
    change_bias: "program ",
    change_output_format: "program ",
    change_rounding: "program ",
    truncate_accumulator: "program ",
    move_clamp: "program ",
    change_shift: "program ",
    change_model: "model",
    change_digest: "program digest",
    exaggerate_attack: "region 0 attack",
    move_attack: "region 0 attack",
    drop_assumption: "assumptions",
    remove_cut: "cut",
    remove_cut_and_its_assumption: "assumptions",
    empty_cut: "cut",
    shorten_cut: "assumptions",
    rename_cut: "cut",
    text_for_cut: "cut",
    escape_in_cut: "cut",
    unknown_field: "",
    float_bound: "certificate",
    huge_integer: "certificate",
    true_for_integer: "region 0 method sdp proof",
    toggle_slacks: "region 0 method sdp proof",
}


def verify(network: Network, data: Json) -> None:
    text = json.dumps(data).encode()
    proof.check(network, proof.read(text).certificate)


def test_the_untouched_certificate_is_proven(network: Network, text: bytes) -> None:
    (proven,) = proof.check(network, proof.read(text).certificate)
    assert str(proven.linf) == region(json.loads(text))["linf"]


def test_reading_and_writing_give_the_same_bytes(text: bytes) -> None:
    assert proof.write(proof.read(text)) == text


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_a_changed_part_is_refused_by_name(mutate, network: Network, text: bytes) -> None:
    data = json.loads(text)
    mutate(data)
    with pytest.raises(RefusedError) as refusal:
        verify(network, data)
    assert refusal.value.what.startswith(MUTATIONS[mutate])


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_a_changed_part_is_refused_under_a_new_seal(mutate, network: Network, text: bytes) -> None:
    data = json.loads(text)
    mutate(data)
    predicate = data["predicate"]
    predicate["seal"] = statements._seal(predicate, data["subject"])
    with pytest.raises(RefusedError):
        verify(network, data)


@pytest.mark.parametrize("change", [remove_cut_and_its_assumption, shorten_cut, rename_cut])
def test_only_the_networks_own_end_may_be_cut(change, network: Network, text: bytes) -> None:
    """Statement, assumptions and seal agree with each other: the check alone says no."""
    data = json.loads(text)
    change(data)
    predicate = data["predicate"]
    predicate["assumptions"] = list(proof.assumptions(predicate.get("cut", ())))
    predicate["seal"] = statements._seal(predicate, data["subject"])
    with pytest.raises(RefusedError, match="cut: the certificate is about other outputs"):
        verify(network, data)


def test_a_cut_that_the_model_has_not_is_refused(network: Network, text: bytes) -> None:
    whole = dataclasses.replace(network, cut=())
    with pytest.raises(RefusedError, match="cut: the certificate is about other outputs"):
        verify(whole, json.loads(text))


def test_where_nothing_is_cut_no_word_says_so(network: Network) -> None:
    whole = dataclasses.replace(network, cut=())
    spend = CertifyRequest(work=0.0, attack_budget=500)
    certificate = certifier.run(whole, paper_program(whole), (UNIT_BOX,), spend)
    predicate = json.loads(proof.write(proof.attest(certificate)))["predicate"]
    assert "cut" not in predicate
    assert not re.search(r"\bcut\b", " ".join(predicate["assumptions"]))


@pytest.mark.parametrize("bits", [8, 16])
def test_every_single_code_of_the_program_matters(bits: int, network: Network) -> None:
    """Any weight moved by one code, all else consistent, is another claim and is refused."""
    request = QuantizeRequest((UNIT_BOX,), bits=bits, work=0.0)
    program = quantize.run(network, request)
    spend = CertifyRequest(work=0.0, attack_budget=500)
    text = proof.write(proof.attest(certifier.run(network, program, (UNIT_BOX,), spend)))
    for node in range(len(program.nodes)):
        for array in ("weight", "bias"):
            data = json.loads(text)
            change_code(data, node, array)
            predicate = data["predicate"]
            predicate["seal"] = statements._seal(predicate, data["subject"])
            with pytest.raises(RefusedError):
                verify(network, data)


# --- shapes, types and sizes nobody's tool would write ------------------------------------------


def tensor(data: Json) -> Json:
    return data["predicate"]["program"]["tensors"][0]


def node(data: Json) -> Json:
    return data["predicate"]["program"]["nodes"][0]


def put(place: Callable[[Json], Json], key: str, value: object) -> Callable[[Json], None]:
    return lambda data: place(data).__setitem__(key, value)


def repeat_products(data: Json) -> None:
    edit_dual(data, products=twice)


def repeat_complements(data: Json) -> None:
    edit_dual(data, complements=twice)


def huge_factor(data: Json) -> None:
    edit_dual(data, factor=put_at(0, 0, value=1 << 4000))


def respell(change: Callable[[bytes], bytes]) -> Callable[[Json], None]:
    """Return an edit of the bytes behind the packed factor."""

    def edit(data: Json) -> None:
        stored = dual(data)
        stored["factor"] = base64.b64encode(change(base64.b64decode(stored["factor"]))).decode()

    return edit


def longer(data: bytes) -> bytes:
    """The last integer with an empty group more: the same number in another spelling."""
    return data[:-1] + bytes([data[-1] | 128, 0])


def extra_subject(data: Json) -> None:
    data["subject"].append({"name": "innocent.exe", "digest": {"sha256": "0" * 64}})


def double_subject(data: Json) -> None:
    data["subject"].append(copy.deepcopy(data["subject"][0]))


def many_regions(data: Json) -> None:
    """Light ones, without data: their number alone must do."""
    regions = data["predicate"]["regions"]
    for part in regions[0]["parts"]:
        part["data"] = None
    regions[1:] = regions[:1] * 5000


HOSTILE: dict[str, Callable[[Json], None]] = {
    "a work that is no number": lambda d: d["predicate"].__setitem__("work", "nan"),
    "an infinite work": lambda d: d["predicate"].__setitem__("work", "inf"),
    "a negative work": lambda d: d["predicate"].__setitem__("work", "-1.0"),
    "a work in another spelling": lambda d: d["predicate"].__setitem__("work", "1_0.0"),
    "a work of another type": lambda d: d["predicate"].__setitem__("work", 5),
    "a shape of 2^70": put(tensor, "shape", [1 << 70]),
    "a shape that wraps around 64 bits": put(tensor, "shape", [7, 7905747460161236407]),
    "a negative shape": put(tensor, "shape", [-1]),
    "a format of three numbers": put(tensor, "format", [4, 4, 4]),
    "a format of texts": put(tensor, "format", ["4", "4"]),
    "a tensor of 38 bits": put(tensor, "format", [35, 3]),
    "a shift of 2^40": lambda d: node(d)["integers"].__setitem__("shift", 1 << 40),
    "a clamp that is a text": lambda d: node(d)["integers"].__setitem__("clamp_lo", "0"),
    "a clamp that is nothing": lambda d: node(d)["integers"].__setitem__("clamp_lo", None),
    "an operator that is a list": put(node, "op", []),
    "an operator that is an object": put(node, "op", {}),
    "an unknown operator": put(node, "op", "conv"),
    "a node without a name": put(node, "name", None),
    "a node with a path for a name": put(node, "name", "../../evil"),
    "inputs that are a text": put(node, "inputs", "input"),
    "an accumulator of texts": put(node, "accumulator", [64, "6", 5]),
    "a region named in escapes": put(region, "name", "\x1b[2J\nproven"),
    "a region named as a claim": put(region, "name", "every input in [-1000, 1000]"),
    "a region named by half a character": put(region, "name", "\ud800"),
    "a corner that is infinite": put(region, "hi", ["inf"]),
    "a corner that is no number": put(region, "hi", ["nan"]),
    "a bound of NaN": put(region, "linf", "NaN"),
    "a bound of megabytes": put(region, "linf", "1" * 3_000_000),
    "a negative bound": put(region, "linf", "-1"),
    "products twice": repeat_products,
    "complementarities twice": repeat_complements,
    "a factor of 4000 bits": huge_factor,
    "a factor that is no triangle": lambda d: edit_dual(d, factor=lambda rows: rows[1].pop()),
    "a factor that ends within an integer": respell(lambda b: b + b"\x80"),
    "a factor in another spelling": respell(longer),
    "a factor of an endless integer": respell(lambda _: b"\xff" * 1_000_000),
    "a factor of millions": respell(lambda _: bytes(packed.LARGEST_LIST + 1)),
    "a factor that is no base64": lambda d: dual(d).__setitem__("factor", "no base64"),
    "a factor in plain numbers": lambda d: dual(d).__setitem__("factor", [[1]]),
    "products that end within an entry": lambda d: dual(d).__setitem__("products", "AAA="),
    "a foreign subject": extra_subject,
    "a subject twice": double_subject,
    "thousands of regions": many_regions,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_certificates_are_refused_under_a_new_seal(
    name: str, network: Network, text: bytes
) -> None:
    data = json.loads(text)
    HOSTILE[name](data)
    predicate = data["predicate"]
    predicate["seal"] = statements._seal(predicate, data["subject"])
    with pytest.raises(RefusedError) as refusal:
        verify(network, data)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("seal", [[], [["a", "b"], [None, 2]], {"model": 3}, None, "model"])
def test_a_seal_of_another_type_is_refused(seal: object, network: Network, text: bytes) -> None:
    data = json.loads(text)
    data["predicate"]["seal"] = seal
    with pytest.raises(RefusedError):
        verify(network, data)


# --- trees -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def split_text(network: Network) -> bytes:
    program = quantize.run(network, QuantizeRequest((UNIT_BOX,), bits=12))
    spend = CertifyRequest(work=0.2, attack_budget=2000, methods=frozenset({"split"}))
    return proof.write(proof.attest(certifier.run(network, program, (UNIT_BOX,), spend)))


def edit_tree(data: Json, change: Callable[[bytes], bytes]) -> None:
    stored = part(data, "split")["data"]
    tree = change(base64.b64decode(stored["tree"]))
    stored["tree"] = base64.b64encode(tree).decode()


def set_grid(data: Json, grid: int) -> None:
    part(data, "split")["data"]["grid"] = grid


LEAVES = bytes([LINEAR_LEAF, EXACT_LEAF])
TREES: dict[str, Callable[[Json], None]] = {
    "a leaf is missing": lambda d: edit_tree(d, lambda t: t[:-1]),
    "a leaf too many": lambda d: edit_tree(d, lambda t: t + LEAVES[:1]),
    "no tree": lambda d: edit_tree(d, lambda _: b""),
    "only the root": lambda d: edit_tree(d, lambda _: LEAVES[:1]),
    "an axis that is none": lambda d: edit_tree(d, lambda t: bytes([1]) + t[1:]),
    "another kind of leaf": lambda d: edit_tree(d, lambda t: t.replace(LEAVES[1:], LEAVES[:1])),
    "a grid too coarse": lambda d: set_grid(d, 3),
    "another grid": lambda d: set_grid(d, 40),
    "a grid beyond reason": lambda d: set_grid(d, 1 << 40),
    "a negative grid": lambda d: set_grid(d, -1),
    "a grid that 64-bit sums were not proven for": lambda d: set_grid(d, 13),
}


def test_the_untouched_tree_is_proven(network: Network, split_text: bytes) -> None:
    tree = base64.b64decode(part(json.loads(split_text), "split")["data"]["tree"])
    assert set(tree) == {0, *LEAVES}
    assert proof.check(network, proof.read(split_text).certificate)


@pytest.mark.parametrize("name", TREES)
def test_a_changed_tree_is_refused_under_a_new_seal(
    name: str, network: Network, split_text: bytes
) -> None:
    data = json.loads(split_text)
    TREES[name](data)
    predicate = data["predicate"]
    predicate["seal"] = statements._seal(predicate, data["subject"])
    with pytest.raises(RefusedError, match="region 0, method split"):
        verify(network, data)


def test_another_network_is_refused(text: bytes) -> None:
    other = dataclasses.replace(paper_network(4, 1), cut=CUT)
    with pytest.raises(RefusedError, match="region 0"):
        proof.check(other, proof.read(text).certificate)
    renamed = dataclasses.replace(other, source=dataclasses.replace(other.source, sha256="2" * 64))
    with pytest.raises(RefusedError, match="another model"):
        proof.check(renamed, proof.read(text).certificate)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"predicate": 3, "subject": []}',
        b'{"predicate": {"seal": []}, "subject": []}',
    ],
)
def test_garbage_is_refused_without_a_traceback(garbage: bytes) -> None:
    with pytest.raises(RefusedError, match="certificate"):
        proof.read(garbage)


def strange_schema(data: Json) -> None:
    data["predicate"]["schema"] = "\x1b[2J\ud800" * 1000


def strange_array(data: Json) -> None:
    arrays = data["predicate"]["program"]["nodes"][0]["arrays"]
    arrays["\x1b[2J\ud800"] = arrays["bias"]


@pytest.mark.parametrize("mutate", [strange_schema, strange_array])
def test_what_a_refusal_quotes_can_be_printed(text: bytes, mutate: Callable[[Json], None]) -> None:
    """No lone surrogate, which no terminal takes, no control character, and no flood of text."""
    data = json.loads(text)
    mutate(data)
    with pytest.raises(RefusedError) as refusal:
        proof.read(json.dumps(data).encode("ascii"))
    assert refusal.value.what.isprintable()
    assert len(refusal.value.what) < 2000
