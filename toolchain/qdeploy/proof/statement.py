"""The certificate as a file: an in-toto Statement whose predicate is the claim and its proof.

Canonical JSON (sorted keys, ASCII, a final newline). Reading is strict: what was read is
written again, and any difference, such as an unknown field, is refused. Corners of regions are
hexadecimal doubles and bounds are decimal strings, so that no JSON reader rounds them. A seal of
digests names the part that somebody changed; it convinces nobody of anything: the kernel does.
"""

import base64
import hashlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box, SourceTree, decode_program, encode_program, program_digest
from qdeploy.ir.naming import name_fault
from qdeploy.proof.certificate import (
    Attacked,
    Certificate,
    ConePart,
    DecisionClaim,
    DecisionKind,
    InnerStage,
    Part,
    PartData,
    RegionClaim,
    SignedDual,
    SplitPart,
    TunedPart,
    Unchanged,
    Witness,
    assumptions,
)
from qdeploy.proof.packed import Integers, pack, unpack
from qdeploy.proof.placing import Places
from qdeploy.proof.strict import LONGEST_NUMBER, STATEMENT_TYPE, Json, require_moderate
from qdeploy.proof.strict import bound as _bound
from qdeploy.proof.strict import canonical as _canonical
from qdeploy.proof.strict import decode_dual as _decode_dual
from qdeploy.proof.strict import decode_point as _decode_point
from qdeploy.proof.strict import digest as _digest
from qdeploy.proof.strict import encode_dual as _encode_dual
from qdeploy.proof.strict import encode_point as _encode_point
from qdeploy.proof.strict import integer as _integer
from qdeploy.proof.strict import list_of_texts as _list_of_texts
from qdeploy.proof.strict import parse as _parse
from qdeploy.proof.strict import refusing as _refusing
from qdeploy.proof.strict import require_seal as _require_seal
from qdeploy.proof.strict import text as _text
from qdeploy.proof.strict import texts as _texts

SCHEMA = 1
PREDICATE_TYPE = "urn:qdeploy:certificate:v1"

_FORMS = ("elf", "hex", "bin", "map", "json")
SUBJECTS = frozenset({"library", "vectors.npz", *(f"firmware.{form}" for form in _FORMS)})
"""What a certificate may name by digest beside the model."""
_LARGEST_FILE = 64 * 1024 * 1024
_LONGEST_SLOPES = 3 << 23
"""Characters of all slopes of a part."""
_LONGEST_FILE = 80
_NO_LETTER = re.compile(r"[^A-Za-z0-9_.:+-]")
"""What stands in no name of a file or range: above all no space, so that no sentence can."""
_REGION_NAME = re.compile(
    r"(hull of )?(.*?)(\[[0-9]{1,6}\])?( \(constraints on outputs left out\))?", re.DOTALL
)
_WHOLE_RANGE = re.compile(r"whole range of -?\d{1,3}\.-?\d{1,3}, no inputs being given", re.ASCII)


@dataclass(frozen=True, slots=True)
class Statement:
    """A certificate, and the digests of the files it was issued for."""

    certificate: Certificate
    subjects: Mapping[str, str]
    """Name -> SHA-256: the model's file always, `library`, and the other files of a build."""


def tree_digest(sources: SourceTree) -> str:
    """SHA-256 over the paths and contents of a source tree."""
    listing = {path: hashlib.sha256(data).hexdigest() for path, data in sources.files.items()}
    return _digest(listing)


def attest(
    certificate: Certificate,
    library: SourceTree | None = None,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> Statement:
    """Bind a certificate to the library and the files that were made from its program."""
    subjects = {_model_subject(certificate): certificate.model_sha256}
    if library is not None:
        subjects["library"] = tree_digest(library)
    subjects |= {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return Statement(certificate, subjects)


def _model_subject(certificate: Certificate) -> str:
    return f"model/{certificate.model_name}"


def write(statement: Statement) -> bytes:
    """Return the statement's canonical text."""
    return (_canonical(_encode(statement)) + "\n").encode("ascii")


def read(text: bytes) -> Statement:
    """Read a statement; nothing in it is believed by that.

    Raises:
        RefusedError: the text is no certificate of this schema; the reason names the part.
    """
    if len(text) > _LARGEST_FILE:
        raise RefusedError(f"certificate: larger than {_LARGEST_FILE} bytes")
    data = _parse(text)
    _check_seal(data)
    statement = _refusing("certificate", lambda: _decode(data))
    if program_digest(statement.certificate.program) != data["predicate"]["program_digest"]:
        raise RefusedError("program digest: the program is not the one it names")
    if _canonical(_encode(statement)) != _canonical(data):
        raise RefusedError("certificate: it has fields or spellings that its schema does not")
    return statement


# --- the seal --------------------------------------------------------------------------------


def _check_seal(data: Json) -> None:
    predicate = _refusing("certificate", lambda: data["predicate"])
    stated = _refusing("certificate", lambda: _texts(predicate["seal"]))
    actual = _refusing("certificate", lambda: _seal(predicate, data["subject"]))
    _require_seal(stated, actual)


def _seal(predicate: Json, subject: object) -> dict[str, str]:
    seal = {
        "model": _digest(predicate["model"]),
        "subject": _digest(subject),
        "assumptions": _digest(predicate["assumptions"]),
        "program digest": _digest(predicate["program_digest"]),
        "work": _digest(predicate["work"]),
    }
    program = predicate["program"]
    seal["program formats"] = _digest(program["tensors"])
    for node in program["nodes"]:
        for array, content in node["arrays"].items():
            seal[f"program {node['name']} {array}"] = _digest(content)
    nodes = [{k: v for k, v in node.items() if k != "arrays"} for node in program["nodes"]]
    seal["program structure"] = _digest([nodes, program["inputs"], program["outputs"]])
    for index, region in enumerate(predicate["regions"]):
        seal |= _seal_region(region, f"region {index}")
    if "cut" in predicate:
        seal["cut"] = _digest(predicate["cut"])
    if "places" in predicate:
        seal["places"] = _digest(predicate["places"])
    if "library_name" in predicate:
        seal["library name"] = _digest(predicate["library_name"])
    if "decision" in predicate:
        seal |= _seal_decision(predicate["decision"])
    return seal


def _seal_decision(decision: Json) -> dict[str, str]:
    return {
        "decision": _digest([decision["kind"], decision["grid"]]),
        "decision cases": _digest(decision["cases"]),
        "decision pairs": _digest(decision["pairs"]),
    }


def _seal_region(region: Json, name: str) -> dict[str, str]:
    seal = {
        f"{name} box": _digest([region["lo"], region["hi"], region["name"]]),
        f"{name} bound": _digest([region["per_output"], region["linf"], region["l2"]]),
        f"{name} attack": _digest(region["attack"]),
    }
    for part in region["parts"]:
        bound = {k: v for k, v in part.items() if k != "data"}
        seal[f"{name} method {part['method']} bound"] = _digest(bound)
        if part["data"] is not None:
            seal[f"{name} method {part['method']} proof"] = _digest(part["data"])
    return seal


# --- encoding --------------------------------------------------------------------------------


def _encode(statement: Statement) -> Json:
    certificate = statement.certificate
    subject = [
        {"name": name, "digest": {"sha256": sha}}
        for name, sha in sorted(statement.subjects.items())
    ]
    predicate: Json = {
        "schema": SCHEMA,
        "model": {"name": certificate.model_name, "sha256": certificate.model_sha256},
        "program": encode_program(certificate.program),
        "program_digest": program_digest(certificate.program),
        "regions": [_encode_region(claim) for claim in certificate.regions],
        "work": None if certificate.work is None else repr(float(certificate.work)),
        "assumptions": list(assumptions(certificate.cut)),
    }
    if certificate.cut:
        predicate["cut"] = list(certificate.cut)
    if certificate.places is not None:
        predicate["places"] = [list(rows) for rows in certificate.places]
    if certificate.library_name is not None:
        predicate["library_name"] = certificate.library_name
    if certificate.decision is not None:
        predicate["decision"] = _encode_decision(certificate.decision)
    predicate["seal"] = _seal(predicate, subject)
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": subject,
        "predicate": predicate,
    }


def _encode_region(claim: RegionClaim) -> Json:
    return {
        "name": _encode_name(claim.box.name),
        "lo": _encode_point(claim.box.lo),
        "hi": _encode_point(claim.box.hi),
        "per_output": [str(b) for b in claim.per_output],
        "linf": str(claim.linf),
        "l2": str(claim.l2),
        "attack": {"x": _encode_point(claim.attack.x), "linf": str(claim.attack.linf)},
        "parts": [_encode_part(part) for part in claim.parts],
    }


def _encode_part(part: Part) -> Json:
    return {
        "method": part.method,
        "per_output": [None if b is None else str(b) for b in part.per_output],
        "l2": None if part.l2 is None else str(part.l2),
        "data": _encode_data(part.data),
    }


def _encode_data(data: PartData | None) -> Json | None:
    match data:
        case None:
            return None
        case ConePart():
            return _encode_cone(data)
        case SplitPart():
            return {"grid": data.grid, "tree": _encode_bytes(data.tree)}
        case TunedPart():
            slopes = [[_pack_slopes(task) for task in leaf] for leaf in data.leaves]
            return {"grid": data.grid, "tree": _encode_bytes(data.tree), "slopes": slopes}


def _pack_slopes(task: Sequence[int]) -> str:
    return task.text if isinstance(task, Integers) else pack(task)


def _encode_cone(data: ConePart) -> Json:
    return {
        "slacks": data.slacks,
        "sides": _encode_sides(data.sides),
        "norm": None if data.norm is None else _encode_dual(data.norm),
        "inner": [{"layer": s.layer, "sides": _encode_sides(s.sides)} for s in data.inner],
    }


def _encode_sides(sides: Sequence[SignedDual]) -> list[Json]:
    return [{"output": s.output, "sign": s.sign, "dual": _encode_dual(s.dual)} for s in sides]


def _encode_bytes(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _encode_decision(claim: DecisionClaim) -> Json:
    pairs = claim.pairs
    return {
        "kind": claim.kind.value,
        "grid": claim.grid,
        "cases": [_encode_case(case) for case in claim.cases],
        "pairs": None if pairs is None else [[str(b) for b in row] for row in pairs],
    }


def _encode_case(case: Unchanged | Attacked | None) -> Json | None:
    match case:
        case None:
            return None
        case Attacked():
            return {"x": _encode_point(case.x)}
        case Unchanged():
            network, device = _encode_bytes(case.network), _encode_bytes(case.device)
            return {"winner": case.winner, "network": network, "device": device}


# --- decoding --------------------------------------------------------------------------------


def _decode(data: Json) -> Statement:
    if (data["_type"], data["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ValueError("it is not a qdeploy certificate")
    predicate = data["predicate"]
    if predicate["schema"] != SCHEMA:
        raise ValueError(f"schema {predicate['schema']} is not {SCHEMA}")
    certificate = Certificate(
        _text(predicate["model"]["name"]),
        _text(predicate["model"]["sha256"]),
        decode_program(predicate["program"]),
        tuple(_decode_region(region) for region in predicate["regions"]),
        None if predicate["work"] is None else _work(predicate["work"]),
        _decode_decision(predicate["decision"]) if "decision" in predicate else None,
        _decode_places(predicate["places"]) if "places" in predicate else None,
        cut=_list_of_texts(predicate.get("cut", [])),
        library_name=_library_name(predicate["library_name"])
        if "library_name" in predicate
        else None,
    )
    _require_moderate(certificate)
    subjects = {_text(s["name"]): _text(s["digest"]["sha256"]) for s in data["subject"]}
    if subjects.get(_model_subject(certificate)) != certificate.model_sha256:
        raise ValueError("the model is not among its subjects")
    if not subjects.keys() <= {_model_subject(certificate), *SUBJECTS}:
        raise ValueError("it has subjects that no build has")
    return Statement(certificate, subjects)


def _require_moderate(certificate: Certificate) -> None:
    data = [part.data for claim in certificate.regions for part in claim.parts]
    duals = itertools.chain.from_iterable(d.duals for d in data if isinstance(d, ConePart))
    leaves = itertools.chain.from_iterable(d.leaves for d in data if isinstance(d, TunedPart))
    require_moderate(duals, map(len, itertools.chain.from_iterable(leaves)))


def _decode_region(region: Json) -> RegionClaim:
    name = _text(region["name"])
    if name != _encode_name(name):
        raise ValueError("a region's name has letters that none may have")
    box = Box(_decode_point(region["lo"]), _decode_point(region["hi"]), name)
    attack = Witness(_decode_point(region["attack"]["x"]), _bound(region["attack"]["linf"]))
    return RegionClaim(
        box,
        tuple(_bound(b) for b in region["per_output"]),
        _bound(region["linf"]),
        _bound(region["l2"]),
        tuple(_decode_part(part) for part in region["parts"]),
        attack,
    )


def _decode_part(part: Json) -> Part:
    return Part(
        _text(part["method"]),
        tuple(None if b is None else _bound(b) for b in part["per_output"]),
        None if part["l2"] is None else _bound(part["l2"]),
        _decode_data(part["data"]),
    )


def _decode_data(data: Json | None) -> PartData | None:
    if data is None:
        return None
    if "slopes" in data:
        return _decode_tuned(data)
    return _decode_split(data) if "tree" in data else _decode_cone(data)


def _decode_split(data: Json) -> SplitPart:
    return SplitPart(_integer(data["grid"]), _decode_tree(data["tree"]))


def _decode_tuned(data: Json) -> TunedPart:
    if sum(len(task) for leaf in data["slopes"] for task in leaf) > _LONGEST_SLOPES:
        raise ValueError("there are more slopes than anybody would check")
    slopes = tuple(tuple(map(unpack, leaf)) for leaf in data["slopes"])
    return TunedPart(_integer(data["grid"]), _decode_tree(data["tree"]), slopes)


def _decode_tree(tree: object) -> bytes:
    if not isinstance(tree, str):
        raise TypeError("a tree is a text in base64")
    return base64.b64decode(tree, validate=True)


def _decode_decision(data: Json) -> DecisionClaim:
    pairs = data["pairs"]
    return DecisionClaim(
        DecisionKind(_text(data["kind"])),
        _integer(data["grid"]),
        tuple(_decode_case(case) for case in data["cases"]),
        None if pairs is None else tuple(tuple(_bound(b) for b in row) for row in pairs),
    )


def _decode_case(case: Json | None) -> Unchanged | Attacked | None:
    if case is None:
        return None
    if "x" in case:
        return Attacked(_decode_point(case["x"]))
    network, device = (_decode_tree(case[name]) for name in ("network", "device"))
    return Unchanged(_integer(case["winner"]), network, device)


def _decode_places(layers: object) -> Places:
    if not isinstance(layers, list) or not all(isinstance(rows, list) for rows in layers):
        raise TypeError("places are lists of lists")
    return tuple(tuple(_integer(row) for row in rows) for rows in layers)


def _decode_cone(data: Json) -> ConePart:
    norm = None if data["norm"] is None else _decode_dual(data["norm"])
    if not isinstance(data["slacks"], bool):
        raise TypeError("slacks is neither true nor false")
    inner = tuple(
        InnerStage(_integer(s["layer"]), _decode_sides(s["sides"])) for s in data["inner"]
    )
    return ConePart(data["slacks"], _decode_sides(data["sides"]), norm, inner)


def _decode_sides(sides: list[Json]) -> tuple[SignedDual, ...]:
    return tuple(
        SignedDual(_integer(s["output"]), _integer(s["sign"]), _decode_dual(s["dual"]))
        for s in sides
    )


def _encode_name(name: str) -> str:
    """Return a region's name as a person may sign it and no reader can take it for a statement.

    It is the name of a file or a range in few letters, and words around it that are ours. A name
    that is one already stays as it is; of a long one the middle is left out.
    """
    found = _REGION_NAME.fullmatch(name)
    if found is None or _WHOLE_RANGE.fullmatch(name):
        return name
    before, file, index, note = found.groups(default="")
    plain = _NO_LETTER.sub("_", file)
    if len(plain) > _LONGEST_FILE:
        half = _LONGEST_FILE // 2 - 1
        plain = f"{plain[:half]}..{plain[-half:]}"
    return f"{before}{plain}{index}{note}"


def _library_name(value: object) -> str:
    name = _text(value)
    if name_fault(name):
        raise ValueError(f"the library's name {name_fault(name)}")
    return name


def _work(value: object) -> float:
    """Return a budget; another spelling of it is noticed when it is written again."""
    work = float(_text(value)[:LONGEST_NUMBER])
    if not 0 <= work < math.inf:
        raise ValueError("the work is no non-negative number")
    return work
