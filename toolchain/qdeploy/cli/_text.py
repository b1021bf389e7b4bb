"""The answers of build, certify and validate as a person reads them."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from qdeploy.cli._answer import columns
from qdeploy.cli._cut import cut_lines
from qdeploy.fixedpoint import QFormat
from qdeploy.ir import Firmware, FixedNetwork, Network, Verdict
from qdeploy.ir.printing import text_down, text_up
from qdeploy.report.figures import tightness
from qdeploy.report.values import Material, Origins, Reduced, Statement

MOST_ROWS = 24
MOST_NAMES = 3
MOST_ORIGINS = 6
ORIGIN_WIDTH = 40


def plural(count: int, noun: str) -> str:
    """Return `1 input`, `2 inputs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def describe_build(
    material: Material,
    look_at: Iterable[tuple[str, str]],
    seconds: Mapping[str, float],
    tolerance: str = "",
) -> str:
    """Return the whole account: model, formats, bound, firmware, validation, paths, time."""
    facts = [("model", model_line(material.network))]
    facts += cut_lines(material.network)
    facts += [("note", note) for note in material.network.notes]
    facts += [("warning", warning) for warning in material.warnings]
    facts += reduced_lines(material.reduced)
    facts += statement_lines(material.statement) + decision_lines(material.statement)
    if material.interrupted:
        facts.append(("interrupted", "the bound is the best that was found until then"))
    if tolerance:
        facts.append(("tolerance", tolerance))
    if material.firmware is not None:
        facts += [("firmware", firmware_line(material.firmware))]
    if material.verdict is not None:
        facts += verdict_lines(material.verdict)
    elif material.firmware is not None:
        facts.append(("device", "not run yet; qdeploy validate does it"))
    parts = (
        columns(facts, "  "),
        *origin_lines(material.origins),
        formats_table(material.fixed),
        columns(look_at, "  "),
        time_line(seconds),
    )
    return f"{title(material)}\n\n" + "\n\n".join(parts)


def title(material: Material) -> str:
    """Return the first line."""
    where = "" if material.firmware is None else f" on {material.firmware.board}"
    return f"{material.network.name}{where}"


def model_line(network: Network) -> str:
    """Return the model's size."""
    return ", ".join(
        (
            plural(network.inputs[0].size, "input"),
            plural(network.outputs[0].size, "output"),
            plural(network.parameter_count, "parameter"),
        )
    )


def reduced_lines(reduced: Reduced | None) -> list[tuple[str, str]]:
    """Return what runs on the device in the place of the model."""
    if reduced is None:
        return []
    before, after = reduced.before, reduced.after
    changes = [
        f"{old} to {new} {what}"
        for what, old, new in (
            ("hidden neurons", before.neurons, after.neurons),
            ("parameters", before.parameters, after.parameters),
            ("zero weights", before.zeros, after.zeros),
            ("multiplications", before.macs, after.macs),
        )
        if old != new
    ]
    what = reduced.request or f"{reduced.network.source.name} in its place"
    said = f"{what}: from {', '.join(changes)}" if changes else f"{what}: as large as before"
    deployed = [] if reduced.request else cut_lines(reduced.network)
    return [("device runs", said), *deployed]


def formats_table(fixed: FixedNetwork) -> str:
    """Return one line a tensor and stored array."""
    rows = [(t.id, t.format, t.rounding.value) for t in fixed.tensors]
    rows += [
        (f"{n.name}.{name}", array.format, "")
        for n in fixed.nodes
        for name, array in sorted(n.arrays.items())
    ]
    lines = [("tensor", "format", "bits", "range", "rounding")]
    lines += [(name, str(f), str(f.bits), format_range(f), mode) for name, f, mode in rows]
    text = columns(lines[: MOST_ROWS + 1], "  ")
    omitted = len(lines) - MOST_ROWS - 1
    return text if omitted <= 0 else f"{text}\n  and {omitted} more in build.json"


def format_range(fmt: QFormat) -> str:
    """Return the range of values, rounded inward."""
    return f"{text_up(fmt.min)} .. {text_down(fmt.max)}"


def statement_lines(statement: Statement) -> list[tuple[str, str]]:
    """Return the bound and, beside it, the attack."""
    bound, found = statement.bound, statement.found
    names = [r.box.name for r in statement.regions if r.box.name]
    where = "; ".join(names[:MOST_NAMES] + ["..."] * (len(names) > MOST_NAMES))
    inputs = plural(len(statement.regions), "region") + (f" ({where})" if where else "")
    if bound is None:
        return [
            ("bound", f"none proven over {inputs} with the means allowed"),
            ("attack", f"{text_down(found.linf)} is the largest deviation found"),
        ]
    claim = f"|device - network| <= {text_up(bound.linf)} for every input in {inputs}"
    ratio = tightness(bound, found)
    gap = f", so the bound is at most {ratio} times the true worst case" if ratio else ""
    return [
        ("bound", f"{claim}, 2-norm <= {text_up(bound.l2)}"),
        ("attack", f"{text_down(found.linf)} is the largest deviation found{gap}"),
        *_relaxed_line(statement.relaxed),
    ]


def _relaxed_line(relaxed: float | None) -> list[tuple[str, str]]:
    if relaxed is None:
        return []
    said = f"{text_down(Fraction(relaxed))} were reached if every rounding could be chosen freely"
    return [("relaxed", said)]


def decision_lines(statement: Statement) -> list[tuple[str, str]]:
    """Return in how many regions device and network are known to decide alike."""
    decided = statement.decided
    if decided is None:
        return []
    total = len(decided.statuses)
    unchanged = decided.count("unchanged")
    said = (
        f"{decided.kind} proven unchanged in {unchanged} of {plural(total, 'region')} "
        f"({percent(unchanged, total)}), changed by an input found in {decided.count('attacked')}, "
        f"open in {decided.count('open')}"
    )
    lines = [("decision", said)]
    if decided.margin is not None:
        alike = (
            f"the same wherever the network's winner leads by more than {text_up(decided.margin)}"
        )
        lines.append(("", alike))
    return lines


def origin_lines(origins: Origins | None) -> list[str]:
    """Return where the bound comes from, as far as it is worth a line."""
    if origins is None or not origins.origins:
        return []
    rows = [("where it comes from", "", "share", "")]
    for origin in origins.origins[:MOST_ORIGINS]:
        bar = "#" * round(origin.share * ORIGIN_WIDTH)
        rows.append((origin.source, origin.layer, f"{100 * origin.share:.1f} %", bar))
    return [columns(rows, "  ")]


def percent(part: int, whole: int) -> str:
    """Return a share, rounded down so that only all is 100 %."""
    return f"{1000 * part // whole / 10:g} %"


def firmware_line(firmware: Firmware) -> str:
    """Return the image's cost and its compiler."""
    stack = "" if firmware.stack_bytes is None else f", stack <= {firmware.stack_bytes}"
    cost = f"flash {firmware.flash_bytes} bytes, RAM {firmware.ram_bytes}{stack}"
    return f"{cost} ({firmware.compiler.name} {firmware.compiler.version})"


def verdict_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """Return what the device did."""
    vectors = plural(verdict.vectors, "vector")
    if not verdict.bit_exact:
        equal = f"DIFFERS from the model: {verdict.first_difference}"
    else:
        equal = f"{vectors} over {verdict.link}, every output equal bit for bit"
    lines = [("device", equal), ("deviation", _deviation(verdict))]
    if verdict.instructions is not None:
        lines.append(("speed", f"{verdict.instructions} instructions an inference"))
    if verdict.cycles is not None:
        lines.append(("speed", f"{verdict.cycles} cycles an inference"))
    if verdict.uncounted:
        lines.append(("speed", f"not counted: {verdict.uncounted}"))
    return lines


def _deviation(verdict: Verdict) -> str:
    if verdict.within_bound is None:
        found = f"{verdict.max_deviation:.4g}, " if verdict.max_deviation else ""
        return f"{found}not compared: no bound was proven, or no vector lies inside its regions"
    held = "within the bound" if verdict.within_bound else "BEYOND THE BOUND"
    return f"{verdict.max_deviation:.4g}, {held} (inputs inside the regions)"


def time_line(seconds: Mapping[str, float]) -> str:
    """Return the total and what took it."""
    split = ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    return f"  {sum(seconds.values()):.1f} s: {split}"
