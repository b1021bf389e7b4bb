"""What report.html and certificate.html promise: truth, no active content, equal bytes."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from qdeploy.ir import Tensor, exact
from qdeploy.report import certificate_page, report_page
from support.materials import firmware, material, small_network, verdict

PAGES = (report_page, certificate_page)
VOID = {"meta", "br"}


class Tags(HTMLParser):
    """Every tag closes the one that is open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(page):
    tags = Tags()
    tags.feed(page.decode("utf-8"))
    assert not tags.open
    return tags


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("with_device", [True, False])
@pytest.mark.parametrize("with_bound", [True, False])
def test_pages_are_well_formed_and_load_nothing(page, with_device, with_bound):
    tags = parse(page(material(with_device=with_device, with_bound=with_bound)))
    assert not tags.seen & {"script", "link", "img", "iframe", "object", "base", "form"}
    values = [v or "" for name, v in tags.attributes if name in {"src", "href", "style", "action"}]
    assert not [v for v in values if re.search(r"//|url\(", v)]


@pytest.mark.parametrize("page", PAGES)
def test_equal_material_gives_equal_bytes(page):
    assert page(material()) == page(material())


@pytest.mark.parametrize("page", PAGES)
def test_names_from_a_hostile_model_stay_text(page):
    hostile = small_network("<script>alert(1)</script>")
    html = page(replace(material(), network=hostile)).decode()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_a_bound_is_rounded_up_and_an_attack_down():
    html = certificate_page(material()).decode()
    assert "at most 0.0200</b>" in html or "at most 0.02</b>" in html
    assert "0.01562" in html  # 1/64 = 0.015625
    assert "0.01563" not in html


def test_without_a_proof_nothing_is_promised():
    html = certificate_page(material(with_bound=False)).decode()
    assert "Nothing is promised" in html
    assert "at most" not in html.split("For which inputs")[0]


def test_a_device_that_differs_is_said_in_red_with_the_place():
    different = replace(material(), verdict=verdict(bit_exact=False))
    html = report_page(different).decode()
    assert 'class="bad">differ: vector 3, output 0: expected 5, got 6<' in html


def test_the_certificate_names_every_assumption_and_how_to_check_it():
    html = certificate_page(material()).decode()
    for assumption in material().statement.assumptions:
        assert assumption.replace("'", "&#39;") in html
    assert "qdeploy verify certificate.json --model controller.onnx" in html


def test_an_unknown_stack_is_not_called_zero():
    unknown = replace(material(), firmware=replace(firmware(), stack_bytes=None))
    html = report_page(unknown).decode()
    assert "not derived" in html
    assert "None" not in html


def test_one_output_is_not_one_of_several():
    network = small_network()
    y = Tensor("dense_1", (1,), "y")
    row = {"weight": exact([[0.5, -1.0]]), "bias": exact([0.0])}
    node = replace(network.nodes[0], parameters=row)
    alone = replace(network, outputs=(y,), nodes=(node,), tensors=(network.inputs[0], y))
    single = replace(material(), network=alone)
    words = " ".join(certificate_page(single).decode().split())
    assert "below, the output of the device program differs" in words


def searched(relaxed):
    """The small build's material, its only region searched with free roundings."""
    known = material()
    region = replace(known.statement.regions[0], relaxed=relaxed)
    return replace(known, statement=replace(known.statement, regions=(region,)))


@pytest.mark.parametrize("page", PAGES)
def test_what_free_roundings_reach_stands_on_both_pages_rounded_down(page):
    html = page(searched(0.0190619)).decode()
    assert "So it reached <b>0.01906</b>" in html
    assert "This bound is 1.05\u00d7 that number" in html  # 0.02 / 0.0190619 = 1.0492...
    assert "free" not in page(material()).decode()


@pytest.mark.parametrize("page", PAGES)
def test_a_bound_below_the_free_roundings_is_explained(page):
    html = page(searched(0.5)).decode()
    assert "This bound is below it" in html
    assert "\u00d7 that number" not in html
