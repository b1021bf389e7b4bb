"""The two pages: report.html for the engineer, certificate.html for the assessor.

Self-contained HTML with inline style and SVG, no script, no link out, equal bytes for equal
material.
"""

from dataclasses import dataclass

from qdeploy.ir import Box
from qdeploy.ir.printing import side_text, text_down, text_up
from qdeploy.report._environment import render
from qdeploy.report.figures import (
    BAR_LEFT,
    BAR_WIDTH,
    DECISION_WIDTH,
    FORMAT_WIDTH,
    ORIGIN_LEFT,
    ROW_HEIGHT,
    BarChart,
    bar_chart,
    decision_bar,
    format_chart,
    free_text,
    origin_bars,
    tightness,
    times_free,
)
from qdeploy.report.values import Material, Reduced, RegionResult, Statement

MOST_SIDES = 64
MOST_REGIONS = 64

_GEOMETRY = {
    "bar_left": BAR_LEFT,
    "bar_width": BAR_WIDTH,
    "origin_left": ORIGIN_LEFT,
    "row_height": ROW_HEIGHT,
    "format_width": FORMAT_WIDTH,
}


@dataclass(frozen=True, slots=True)
class Side:
    """One input's interval, as printed."""

    index: int
    lo: str
    hi: str


@dataclass(frozen=True, slots=True)
class RegionView:
    """One region, as printed."""

    title: str
    sides: tuple[Side, ...]
    omitted_sides: int
    linf: str
    l2: str
    found: str
    tightness: str
    relaxed: str
    found_x: str
    chart: BarChart


@dataclass(frozen=True, slots=True)
class LayerView:
    """One node of the integer program, as printed."""

    name: str
    op: str
    source: str
    accumulator: str
    bound: str


def report_page(material: Material) -> bytes:
    """Return report.html."""
    return render("report.html.j2", **_values(material))


def certificate_page(material: Material) -> bytes:
    """Return certificate.html."""
    return render("certificate.html.j2", **_values(material))


def _values(material: Material) -> dict[str, object]:
    statement = material.statement
    return {
        "m": material,
        "statement": statement,
        "proven": statement.bound is not None,
        "headline": _headline(statement),
        "cut": material.network.told_cut,
        "decision": _decision(statement),
        "reduced": "" if material.reduced is None else _reduced(material.reduced),
        "regions": tuple(_region(r, i) for i, r in enumerate(statement.regions[:MOST_REGIONS])),
        "omitted_regions": max(0, len(statement.regions) - MOST_REGIONS),
        "formats": format_chart(material.fixed),
        "origins": origin_bars(material.origins),
        "layers": _layers(material),
        "g": _GEOMETRY,
        "n_in": material.network.inputs[0].size,
        "n_out": material.network.outputs[0].size,
        "max_deviation": _deviation(material),
    }


def _layers(material: Material) -> tuple[LayerView, ...]:
    sources = {node.name: node.source for node in material.network.nodes}
    return tuple(
        LayerView(
            name=node.name,
            op=node.op,
            source=sources.get(node.name, ""),
            accumulator="" if node.accumulator is None else f"int{node.accumulator.bits}",
            bound="" if node.accumulator is None else str(node.accumulator.bound),
        )
        for node in material.fixed.nodes
    )


def _headline(statement: Statement) -> dict[str, str]:
    bound = statement.bound
    found = statement.found
    return {
        "linf": "none" if bound is None else text_up(bound.linf),
        "l2": "none" if bound is None else text_up(bound.l2),
        "found": text_down(found.linf),
        "tightness": tightness(bound, found),
        "relaxed": free_text(statement.relaxed),
        "apart": times_free(bound, statement.relaxed),
    }


def _decision(statement: Statement) -> dict[str, object] | None:
    decided = statement.decided
    if decided is None:
        return None
    margin = decided.margin
    return {
        "kind": decided.kind,
        "total": len(decided.statuses),
        "width": DECISION_WIDTH,
        "margin": "" if margin is None else text_up(margin),
        **decision_bar(decided),
    }


def _reduced(reduced: Reduced) -> str:
    """Say what runs on the device in the place of the model."""
    before, after = reduced.before, reduced.after
    name = reduced.network.source.name
    what = f"it was pruned ({reduced.request})" if reduced.request else f"{name} runs in its place"
    return (
        f"The device does not run the trained network itself: {what}. Hidden neurons "
        f"{before.neurons} → {after.neurons}, parameters {before.parameters} → "
        f"{after.parameters}, zero weights {before.zeros} → {after.zeros}. What that changes is "
        "part of every bound here."
    ) + _cut_of_deployed(reduced)


def _cut_of_deployed(reduced: Reduced) -> str:
    told = "" if reduced.request else reduced.network.told_cut
    return f" Its end is cut. {told}." if told else ""


def _region(result: RegionResult, index: int) -> RegionView:
    bound, found = result.bound, result.found
    return RegionView(
        title=result.box.name or f"region {index}",
        sides=_sides(result.box),
        omitted_sides=max(0, result.box.size - MOST_SIDES),
        linf="none" if bound is None else text_up(bound.linf),
        l2="none" if bound is None else text_up(bound.l2),
        found=text_down(found.linf),
        tightness=tightness(bound, found),
        relaxed=free_text(result.relaxed),
        found_x=_point([float(v) for v in found.x]),
        chart=bar_chart(bound, found),
    )


def _sides(box: Box) -> tuple[Side, ...]:
    corners = list(zip(box.lo, box.hi, strict=True))[:MOST_SIDES]
    return tuple(Side(index, *side_text(lo, hi)) for index, (lo, hi) in enumerate(corners))


def _point(x: list[float], most: int = 8) -> str:
    shown = ", ".join(f"{v:.6g}" for v in x[:most])
    return f"({shown}{', …' if len(x) > most else ''})"


def _deviation(material: Material) -> str:
    verdict = material.verdict
    return "" if verdict is None else f"{verdict.max_deviation:.4g}"


__all__ = ["certificate_page", "report_page"]
