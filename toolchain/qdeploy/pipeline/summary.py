"""build.json: the machine-readable account of a build (docs/SPEC.md, "build.json")."""

import hashlib
from typing import Any

from qdeploy.diagnostics import ExitCode
from qdeploy.ir import Box, Firmware, FixedNetwork, Network, Verdict, program_digest
from qdeploy.ir.printing import float_down, float_up
from qdeploy.ops import known_ops
from qdeploy.pipeline.stopwatch import Stopwatch
from qdeploy.proof import Certificate
from qdeploy.report.values import (
    Bound,
    Decided,
    Found,
    Material,
    Origins,
    Reduced,
    RegionResult,
    Size,
    Statement,
)

BUILD_SCHEMA = 1


def certificate_summary(material: Material, code: ExitCode, watch: Stopwatch) -> dict[str, Any]:
    """Return all that stands in the answer of `certify`; `build` adds firmware and validation."""
    seconds = watch.seconds()
    return {
        "schema": BUILD_SCHEMA,
        "answer": code.name.lower(),
        "interrupted": material.interrupted,
        "warnings": list(material.warnings),
        "qdeploy": material.qdeploy,
        "model": describe_model(material.network),
        "formats": describe_formats(material.fixed),
        "program_digest": material.program_digest,
        "pruning": _reduced(material.reduced),
        "certificate": {
            **describe_statement(material.statement, seconds.get("certify", 0.0)),
            "origins": _origins(material.origins),
        },
        "seconds": {"total": watch.total(), "stages": seconds},
    }


def derived_summary(
    network: Network, certificate: Certificate, statement: Statement
) -> dict[str, Any]:
    """Return of the same answer what the model and a checked certificate tell."""
    return {
        "schema": BUILD_SCHEMA,
        "model": describe_model(network),
        "formats": describe_formats(certificate.program),
        "program_digest": program_digest(certificate.program),
        "certificate": {**describe_statement(statement, None), "origins": None},
    }


def describe_model(network: Network) -> dict[str, Any]:
    """Return the `model` part."""
    return {
        "sha256": network.source.sha256,
        "name": network.name,
        "file": network.source.name,
        "inputs": sum(t.size for t in network.inputs),
        "outputs": sum(t.size for t in network.outputs),
        "macs": sum(known_ops()[n.op].multiplications(n) for n in network.nodes),
        "parameters": network.parameter_count,
        "cut": list(network.cut),
        "notes": list(network.notes),
    }


def describe_formats(fixed: FixedNetwork) -> list[dict[str, Any]]:
    """Return the `formats` part: every tensor, then every stored array, in program order."""
    rows: list[dict[str, Any]] = [
        {
            "tensor": t.id,
            "ib": t.format.ib,
            "fb": t.format.fb,
            "rounding": t.rounding.value,
            "bits": t.format.bits,
        }
        for t in fixed.tensors
    ]
    rows += [
        {
            "tensor": f"{node.name}.{name}",
            "ib": array.format.ib,
            "fb": array.format.fb,
            "rounding": None,
            "bits": array.format.bits,
        }
        for node in fixed.nodes
        for name, array in sorted(node.arrays.items())
    ]
    return rows


def describe_box(box: Box) -> dict[str, Any]:
    """Return a region's corners; they are doubles, so JSON holds them exactly."""
    return {
        "lo": [float(v) for v in box.lo],
        "hi": [float(v) for v in box.hi],
        "name": box.name,
    }


def _bound(bound: Bound | None) -> dict[str, Any]:
    if bound is None:
        return {"linf": None, "l2": None, "per_output": None}
    return {
        "linf": float_up(bound.linf),
        "l2": float_up(bound.l2),
        "per_output": [float_up(b) for b in bound.per_output],
    }


def _found(found: Found, relaxed: float | None) -> dict[str, Any]:
    return {
        "linf": float_down(found.linf),
        "per_output": [float_down(d) for d in found.per_output],
        "x": [float(v) for v in found.x],
        "relaxed": relaxed,
    }


def _decided(decided: Decided | None) -> dict[str, Any] | None:
    if decided is None:
        return None
    counts = {name: decided.count(name) for name in ("unchanged", "attacked", "open")}
    total = len(decided.statuses)
    margin = decided.margin
    return {
        "kind": decided.kind,
        **counts,
        "shares": {name: count / total for name, count in counts.items()},
        "margin": None if margin is None else float_up(margin),
        "regions": [
            {
                "status": status,
                "winner": decided.winners[index],
                "x": None if x is None else [float(v) for v in x],
                "pairs": None
                if decided.pairs is None
                else [float_up(b) for b in decided.pairs[index]],
            }
            for index, (status, x) in enumerate(zip(decided.statuses, decided.points, strict=True))
        ],
    }


def _region(result: RegionResult) -> dict[str, Any]:
    return {
        **describe_box(result.box),
        **_bound(result.bound),
        "attack": _found(result.found, result.relaxed),
    }


def describe_statement(statement: Statement, seconds: float | None) -> dict[str, Any]:
    """Return the `certificate` part."""
    return {
        "status": "inconclusive" if statement.bound is None else "proven",
        **_bound(statement.bound),
        "regions": [_region(r) for r in statement.regions],
        "attack": _found(statement.found, statement.relaxed),
        "methods": list(statement.methods),
        "decision": _decided(statement.decided),
        "seconds": seconds,
        "sha256": statement.certificate_sha256,
    }


def _reduced(reduced: Reduced | None) -> dict[str, Any] | None:
    """Return the `pruning` part: what runs on the device in the place of the model."""
    if reduced is None:
        return None
    source = reduced.network.source
    return {
        "request": reduced.request or None,
        "deployed": None
        if reduced.request
        else {"name": source.name, "sha256": source.sha256, "cut": list(reduced.network.cut)},
        "before": _size(reduced.before),
        "after": _size(reduced.after),
        "rows": [list(rows) for rows in reduced.rows],
    }


def _size(size: Size) -> dict[str, int]:
    return {
        "neurons": size.neurons,
        "parameters": size.parameters,
        "zeros": size.zeros,
        "macs": size.macs,
    }


def _origins(origins: Origins | None) -> dict[str, Any] | None:
    """Return where the bound over the worst region comes from."""
    if origins is None:
        return None
    shares = [
        {"layer": o.layer, "source": o.source, "share": round(o.share, 4)} for o in origins.origins
    ]
    return {"region": origins.region, "output": origins.output, "shares": shares}


def describe_firmware(firmware: Firmware) -> dict[str, Any]:
    """Return the `firmware` part."""
    return {
        **describe_making(firmware),
        "flash_bytes": firmware.flash_bytes,
        "ram_bytes": firmware.ram_bytes,
        "sha256": hashlib.sha256(firmware.elf).hexdigest(),
    }


def describe_making(firmware: Firmware) -> dict[str, Any]:
    """Return what the image itself does not tell: what firmware.json holds."""
    return {
        "board": firmware.board,
        "board_facts": dict(firmware.board_facts),
        "compiler": f"{firmware.compiler.name} {firmware.compiler.version}",
        "compiler_flags": list(firmware.compiler.flags),
        "stack_bytes": firmware.stack_bytes,
    }


def describe_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return the `validation` part."""
    return {
        "link": verdict.link,
        "vectors": verdict.vectors,
        "bit_exact": verdict.bit_exact,
        "max_deviation": verdict.max_deviation,
        "within_bound": verdict.within_bound,
        "instructions": verdict.instructions,
        "cycles": verdict.cycles,
        "uncounted": verdict.uncounted or None,
        "first_difference": verdict.first_difference,
    }
