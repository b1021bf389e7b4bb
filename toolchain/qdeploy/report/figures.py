"""The pictures of a page as positions and lengths; the templates only draw them.

Widths are in the SVG's own units. Bars share one linear scale, so lengths compare honestly.
"""

import heapq
from dataclasses import dataclass
from fractions import Fraction

from qdeploy.fixedpoint import QFormat
from qdeploy.ir import FixedNetwork
from qdeploy.ir.printing import text_down, text_up
from qdeploy.report.values import Bound, Decided, Found, Origins

BAR_LEFT = 96.0
ORIGIN_LEFT = 220.0
BAR_WIDTH = 440.0
ROW_HEIGHT = 26.0
FORMAT_WIDTH = 520.0
DECISION_WIDTH = 640.0
MOST_ORIGINS = 16
MOST_ROWS = 32
"""Outputs drawn one by one; of wider networks the worst are drawn and the rest counted."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One output: how far the device is proven to stay, and how far it was seen to go."""

    label: str
    y: float
    bound_width: float
    found_width: float
    bound_text: str
    found_text: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bound against attack, an output a row."""

    bars: tuple[Bar, ...]
    height: float
    omitted: int


def bar_chart(bound: Bound | None, found: Found) -> BarChart:
    """Draw every output, or the worst MOST_ROWS of them in output order."""
    limits = found.per_output if bound is None else bound.per_output
    scale = max(limits) or Fraction(1)
    near = [float(limit) for limit in limits]  # compares fast; Fractions tell equal ones apart
    worst = heapq.nsmallest(MOST_ROWS, range(len(limits)), key=lambda i: (-near[i], -limits[i], i))
    shown = sorted(worst)
    bars = tuple(
        Bar(
            label=f"output {index}",
            y=row * ROW_HEIGHT,
            bound_width=0.0 if bound is None else _length(bound.per_output[index] / scale),
            found_width=_length(found.per_output[index] / scale),
            bound_text="not proven" if bound is None else text_up(bound.per_output[index]),
            found_text=text_down(found.per_output[index]),
        )
        for row, index in enumerate(shown)
    )
    return BarChart(bars, len(bars) * ROW_HEIGHT, len(limits) - len(bars))


@dataclass(frozen=True, slots=True)
class Share:
    """One part of the regions, as a piece of one bar."""

    count: int
    x: float
    width: float
    share: str


def decision_bar(decided: Decided) -> dict[str, Share]:
    """Lay the shares side by side, in the order unchanged, attacked, open."""
    total, x = len(decided.statuses), 0.0
    bar = {}
    for status in ("unchanged", "attacked", "open"):
        count = decided.count(status)
        width = round(count / total * DECISION_WIDTH, 2)
        bar[status] = Share(count, round(x, 2), width, f"{1000 * count // total / 10:g} %")
        x += width
    return bar


@dataclass(frozen=True, slots=True)
class OriginBar:
    """One source of the deviation, as a bar from the left."""

    label: str
    y: float
    width: float
    share: str


def origin_bars(origins: Origins | None) -> tuple[OriginBar, ...]:
    """Draw the largest shares, on a scale from nothing to the whole bound."""
    shown = () if origins is None else origins.origins[:MOST_ORIGINS]
    return tuple(
        OriginBar(
            label=f"{origin.source} {origin.layer}".strip(),
            y=row * ROW_HEIGHT,
            width=round(origin.share * BAR_WIDTH, 2),
            share=f"{100 * origin.share:.1f} %",
        )
        for row, origin in enumerate(shown)
    )


def _length(share: Fraction) -> float:
    return round(float(share) * BAR_WIDTH, 2)


@dataclass(frozen=True, slots=True)
class FormatBar:
    """One tensor's word: from the weight of its sign bit down to its last fraction bit."""

    label: str
    format: str
    y: float
    integer_x: float
    integer_width: float
    fraction_x: float
    fraction_width: float
    range_text: str
    step_text: str


@dataclass(frozen=True, slots=True)
class FormatChart:
    """Every word on one axis of binary places; the point stands at `point_x`."""

    bars: tuple[FormatBar, ...]
    height: float
    point_x: float
    omitted: int


def format_chart(fixed: FixedNetwork) -> FormatChart:
    """Draw the words of tensors and stored arrays in program order."""
    rows = [(t.id, t.format) for t in fixed.tensors]
    rows += [
        (f"{n.name} {name}", array.format)
        for n in fixed.nodes
        for name, array in sorted(n.arrays.items())
    ]
    shown = rows[: 2 * MOST_ROWS]
    left = max(0, *(f.ib for _, f in shown))
    unit = FORMAT_WIDTH / (left + max(0, *(f.fb for _, f in shown)) or 1)
    bars = tuple(_word(label, fmt, row, (left, unit)) for row, (label, fmt) in enumerate(shown))
    return FormatChart(bars, len(bars) * ROW_HEIGHT, round(left * unit, 2), len(rows) - len(shown))


def _word(label: str, fmt: QFormat, row: int, axis: tuple[int, float]) -> FormatBar:
    """Place one word; `axis` is the place of the point and the width of one bit."""
    point, unit = axis
    start, end = point - fmt.ib, point + fmt.fb
    return FormatBar(
        label=label,
        format=str(fmt),
        y=row * ROW_HEIGHT,
        integer_x=round(start * unit, 2),
        integer_width=round(max(0, min(end, point) - start) * unit, 2),
        fraction_x=round(max(start, point) * unit, 2),
        fraction_width=round(max(0, end - max(start, point)) * unit, 2),
        range_text=f"{text_down(fmt.min)} … {text_down(fmt.max)}",
        step_text=_power(fmt.fb),
    )


def _power(fb: int) -> str:
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "2" + str(-fb).translate(superscript)


def tightness(bound: Bound | None, found: Found) -> str:
    """Say how many times the worst deviation found the bound is; nothing where none was found."""
    if bound is None or found.linf == 0:
        return ""
    return text_up(bound.linf / found.linf, 3)


def free_text(relaxed: float | None) -> str:
    """Print what free roundings reached; nothing where nobody searched, or nothing was reached."""
    return text_down(Fraction(relaxed)) if relaxed else ""


def times_free(bound: Bound | None, relaxed: float | None) -> str:
    """Say how many times what free roundings reached the bound is; nothing where it is less."""
    if bound is None or not relaxed or bound.linf < Fraction(relaxed):
        return ""
    return text_up(bound.linf / Fraction(relaxed), 3)
