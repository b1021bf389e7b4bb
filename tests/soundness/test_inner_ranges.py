"""Ranges inside the network that a certificate proves first: exact, and refused when damaged."""

import copy
import json
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from qdeploy import certifier, proof, quantize
from qdeploy.certifier import CertifyRequest
from qdeploy.diagnostics import RefusedError
from qdeploy.fixedpoint import Rounding
from qdeploy.ir import Box, Network, QuantizeRequest
from qdeploy.proof import kernel, ranges, sides, strict
from qdeploy.proof import statement as statements
from qdeploy.proof.certificate import ConePart, InnerStage
from qdeploy.proof.cone import DualError
from support import independent
from support.independent import Device
from support.networks import build_network

UNIT = Box((Fraction(-1),) * 2, (Fraction(1),) * 2)
WORK = 1e4
"""The search comes to its own end."""

Json = dict[str, Any]


@pytest.fixture(scope="module")
def network() -> Network:
    rng = np.random.default_rng(4)
    steps: list[object] = []
    for n_in, n_out in ((2, 4), (4, 3), (3, 1)):
        weight, bias = rng.normal(size=(n_out, n_in)), rng.normal(size=n_out)
        steps += [(weight.astype(np.float32), bias.astype(np.float32)), "relu"]
    return build_network(2, steps[:-1])


@pytest.fixture(scope="module")
def text(network: Network) -> bytes:
    program = quantize.run(network, QuantizeRequest((UNIT,), bits=6))
    spend = CertifyRequest(work=WORK, attack_budget=500, methods=frozenset({"sdp"}))
    return proof.write(proof.attest(certifier.run(network, program, (UNIT,), spend)))


def cone_of(text: bytes) -> ConePart:
    (claim,) = proof.read(text).certificate.regions
    (data,) = (part.data for part in claim.parts if part.method == "sdp")
    assert isinstance(data, ConePart)
    return data


def known_of(network: Network, text: bytes) -> kernel.Analysis:
    return kernel.analysis(network, proof.read(text).certificate.program, UNIT)


def test_ranges_inside_are_proven_and_tighten_the_bound(network: Network, text: bytes) -> None:
    assert proof.check(network, proof.read(text).certificate)
    data, known = cone_of(text), known_of(network, text)
    assert [stage.layer for stage in data.inner] == [1]
    tighter = known.tightened(data.inner, slacks=data.slacks).layers[1].d
    plain = known.tight.layers[1].d
    assert ((tighter.lo >= plain.lo) & (tighter.hi <= plain.hi)).all()
    assert ((tighter.hi - tighter.lo) < 0.95 * (plain.hi - plain.lo)).any()


def escapes(network: Network, text: bytes) -> set[str]:
    """Return which ranges some exact point leaves."""
    data, known = cone_of(text), known_of(network, text)
    found = known.tightened(data.inner, slacks=data.slacks).row(0).layers
    layers = independent.network_layers(network)
    device = Device.of(independent.predicate(text)["program"])
    unit, draw, left = Fraction(1, 1 << known.pair.grid), random.Random(1), set()
    for _ in range(300):
        x = [Fraction(draw.randint(-(1 << 12), 1 << 12), 1 << 12) for _ in range(2)]
        _, steps = independent.run(layers, device, x)
        for step, here in zip(steps, found, strict=True):
            d = [z - y for z, y in zip(step.z, step.y, strict=True)]
            for name, values, box in (
                ("y", step.y, here.y),
                ("z", step.z, here.z),
                ("d", d, here.d),
            ):
                ends = zip(values, box.lo, box.hi, strict=True)
                if not all(int(lo) <= value / unit <= int(hi) for value, lo, hi in ends):
                    left.add(name)
    return left


def test_no_exact_point_leaves_a_range_that_was_proven(network: Network, text: bytes) -> None:
    assert escapes(network, text) == set()


def wrong_side(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges._cut
    turned = lambda known, ends: true(known, [(v, -s, raw) for v, s, raw in ends])  # noqa: E731
    monkeypatch.setattr(ranges, "_cut", turned)


def too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    true = sides.side_bound
    monkeypatch.setattr(sides, "side_bound", lambda facts, side: true(facts, side) / 2)


def next_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    true = ranges._cut

    def shifted(known, ends):
        width = known[0].lo.shape[1]
        return true(known, [(v // width * width + (v + 1) % width, s, raw) for v, s, raw in ends])

    monkeypatch.setattr(ranges, "_cut", shifted)


@pytest.mark.parametrize("damage", [wrong_side, too_deep, next_neuron], ids=lambda f: f.__name__)
def test_a_wrong_cut_is_left_by_some_point(
    damage, network: Network, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch)
    assert escapes(network, text) != set()


# --- what is damaged on purpose --------------------------------------------------------------


def stages(data: Json) -> list[Json]:
    (part,) = (p for p in data["predicate"]["regions"][0]["parts"] if p["method"] == "sdp")
    return part["data"]["inner"]


def lower_end(data: Json) -> None:
    stages(data)[0]["sides"][0]["dual"]["t"] -= 1 << 34


def drop_end(data: Json) -> None:
    """The cone of the outputs is another one then."""
    del stages(data)[0]["sides"][:]


def repeat_end(data: Json) -> None:
    stages(data)[0]["sides"].append(copy.deepcopy(stages(data)[0]["sides"][0]))


def repeat_stage(data: Json) -> None:
    stages(data).append(copy.deepcopy(stages(data)[0]))


def first_layer(data: Json) -> None:
    stages(data)[0]["layer"] = 0


def output_layer(data: Json) -> None:
    stages(data)[0]["layer"] = 2


def no_layer(data: Json) -> None:
    stages(data)[0]["layer"] = -1


def no_neuron(data: Json) -> None:
    stages(data)[0]["sides"][-1]["output"] = 9


def no_sign(data: Json) -> None:
    stages(data)[0]["sides"][0]["sign"] = 0


def foreign_factor(data: Json) -> None:
    dual = strict.decode_dual(stages(data)[0]["sides"][0]["dual"])
    stored = stages(data)[0]["sides"][0]["dual"]
    stored["factor"] = strict.pack([v for row in dual.factor[:-1] for v in row])


def negative_multiplier(data: Json) -> None:
    stored = stages(data)[0]["sides"][0]
    dual = strict.decode_dual(stored["dual"])
    (i, j, multiplier), *rest = dual.products
    changed = ((i, j, -multiplier), *rest)
    stored["dual"]["products"] = strict._pack_entries(changed)


def text_for_layer(data: Json) -> None:
    stages(data)[0]["layer"] = "1"


DAMAGES: dict[Callable[[Json], None], str] = {
    lower_end: "factor does not prove",
    drop_end: "factor does not prove",
    repeat_end: "stands twice",
    repeat_stage: "out of order",
    first_layer: "no hidden layer",
    output_layer: "no hidden layer",
    no_layer: "no hidden layer",
    no_neuron: "no neuron",
    no_sign: "no neuron",
    foreign_factor: "wrong shape",
    negative_multiplier: "multiplier is negative",
    text_for_layer: "malformed",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damaged_ranges_are_refused(damage, network: Network, text: bytes) -> None:
    data = json.loads(text)
    damage(data)
    predicate = data["predicate"]
    predicate["seal"] = statements._seal(predicate, data["subject"])
    with pytest.raises(RefusedError, match=DAMAGES[damage]):
        proof.check(network, proof.read(json.dumps(data).encode()).certificate)


def test_great_cones_inside_are_refused_before_they_are_built(
    network: Network, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, known = cone_of(text), known_of(network, text)
    monkeypatch.setattr(sides, "LARGEST_CONE", 4)
    monkeypatch.setattr(sides.cone, "build_inner", None)
    with pytest.raises(DualError, match="over 4"):
        known.tightened(data.inner, slacks=data.slacks)


def test_more_stages_than_anybody_would_wait_for_are_refused(
    network: Network, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has every enclosure computed again."""
    data, known = cone_of(text), known_of(network, text)
    monkeypatch.setattr(kernel, "LARGEST_ANALYSIS", 10 * ranges.analysis_operations(known.pair))
    certificate = proof.read(text).certificate
    (claim,) = certificate.regions
    many = ConePart(data.slacks, data.sides, data.norm, (InnerStage(1, ()),) * 11)
    parts = tuple(
        kernel.Part(p.method, p.per_output, p.l2, many) if p.method == "sdp" else p
        for p in claim.parts
    )
    claim = kernel.replace(claim, parts=parts)
    with pytest.raises(RefusedError, match="too many stages"):
        proof.check(network, kernel.replace(certificate, regions=(claim,)))


def test_more_proofs_than_anybody_would_wait_for_are_refused(
    network: Network, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any of them: a layer may name six ends a neuron, each with a factor of its own."""
    data = cone_of(text)
    ends = [side for stage in data.inner for side in stage.sides]
    duals = [side.dual for side in (*ends, *data.sides)]
    duals += [] if data.norm is None else [data.norm]
    work = sum(len(dual.factor) ** 3 for dual in duals)
    monkeypatch.setattr(kernel, "LARGEST_PROOFS", work)
    assert proof.check(network, proof.read(text).certificate)
    monkeypatch.setattr(kernel, "LARGEST_PROOFS", work - 1)
    monkeypatch.setattr(kernel, "side_bound", None)
    monkeypatch.setattr(sides, "side_bound", None)
    with pytest.raises(RefusedError, match="more than anybody waits for"):
        proof.check(network, proof.read(text).certificate)


def test_ranges_inside_of_wide_networks_are_proven_on_a_coarse_grid(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their enclosures are int64, the facts of a cone are not."""
    monkeypatch.setattr(kernel, "LARGEST_FINE_ANALYSIS", 0)
    program = quantize.run(network, QuantizeRequest((UNIT,), bits=6, rounding=Rounding.TRUNC))
    spend = CertifyRequest(work=1.0, attack_budget=500, methods=frozenset({"sdp"}))
    found = proof.attest(certifier.run(network, program, (UNIT,), spend))
    again = proof.read(proof.write(found)).certificate
    known = kernel.analysis(network, program, UNIT)
    assert known.tight.layers[1].d.lo.dtype == np.int64
    facts = known.cone(slacks=False)
    assert {type(v) for v in (*facts.forms.flat, *facts.objective.rows.flat)} == {int}
    (claim,) = again.regions
    assert "sdp" in {part.method for part in claim.parts}
    assert proof.check(network, again)
