"""A similarity claim as a file: an in-toto Statement of its own predicate type.

As strict as `qdeploy.proof.statement`: what was read is written again, and any difference is
refused. Every part has a digest in the seal, which names what was changed and proves nothing.
"""

import re
from fractions import Fraction

from qdeploy.diagnostics import RefusedError
from qdeploy.ir import Box
from qdeploy.proof.certificate import ARITHMETIC, SignedDual, told_cut
from qdeploy.proof.similarity import (
    Apart,
    Constraints,
    Question,
    Relation,
    Similarity,
    Theorem,
    TheoremProof,
)
from qdeploy.proof.strict import (
    STATEMENT_TYPE,
    Json,
    bound,
    canonical,
    decode_dual,
    decode_point,
    digest,
    encode_dual,
    encode_point,
    integer,
    list_of_texts,
    parse,
    refusing,
    require_moderate,
    require_seal,
    text,
    texts,
)

PREDICATE_TYPE = "urn:qdeploy:similarity:v1"
SCHEMA = 1
_REFERENCE = (
    "Both networks are the ONNX graphs as stored, evaluated over the real numbers on their stored "
    "parameters."
)
_ALWAYS = (
    "The statement covers every pair of real inputs of the stated regions and relation.",
    "The importer reads the accepted operators as the ONNX standard defines them.",
    *ARITHMETIC,
)
_LARGEST_FILE = 64 * 1024 * 1024
_DELTA_BITS = 300
"""Formats have at most 256 fraction bits."""
_MARK = f'"predicateType":"{PREDICATE_TYPE}"'.encode("ascii")


def is_similarity(source: bytes) -> bool:
    """Whether a file says it is of this kind; what it is worth, `read_similarity` tells."""
    return _MARK in source


def write_similarity(claim: Similarity) -> bytes:
    """Return the claim's canonical text."""
    return (canonical(_encode(claim)) + "\n").encode("ascii")


def read_similarity(source: bytes) -> Similarity:
    """Read a claim; nothing in it is believed by that.

    Raises:
        RefusedError: the text is no claim of this schema; the reason names the part.
    """
    if len(source) > _LARGEST_FILE:
        raise RefusedError(f"certificate: larger than {_LARGEST_FILE} bytes")
    data = parse(source)
    _check_seal(data)
    claim = refusing("certificate", lambda: _decode(data))
    if canonical(_encode(claim)) != canonical(data):
        raise RefusedError("certificate: it has fields or spellings that its schema does not")
    return claim


def _seal(predicate: Json) -> dict[str, str]:
    return {name: digest(part) for name, part in predicate.items() if name != "seal"}


def _check_seal(data: Json) -> None:
    stated = refusing("certificate", lambda: texts(data["predicate"]["seal"]))
    require_seal(stated, refusing("certificate", lambda: _seal(data["predicate"])))


def _encode(claim: Similarity) -> Json:
    question, theorem = claim.question, claim.theorem
    models = [
        {"name": name, "sha256": sha, **({"cut": list(cut)} if cut else {})}
        for name, sha, cut in zip(claim.names, claim.digests, claim.cuts, strict=True)
    ]
    predicate: Json = {
        "schema": SCHEMA,
        "models": models,
        "regions": [_encode_box(box) for box in (question.first, question.second)],
        "relation": {"kind": question.relation.value, "delta": str(question.delta)},
        "places": [list(rows) for rows in claim.places],
        "constraints": claim.constraints.value,
        "sides": [
            {"output": s.output, "sign": s.sign, "dual": encode_dual(s.dual)} for s in claim.sides
        ],
        "theorem": {
            "gammas": [str(gamma) for gamma in theorem.gammas],
            "constant": str(theorem.constant),
            "proof": None if theorem.proof is None else _encode_proof(theorem.proof),
        },
        "per_output": [str(b) for b in claim.per_output],
        "attack": {
            "x1": encode_point(claim.attack.x1),
            "x2": encode_point(claim.attack.x2),
            "linf": str(claim.attack.linf),
        },
        "assumptions": [_REFERENCE, *_told_cuts(claim), *_ALWAYS],
    }
    predicate["seal"] = _seal(predicate)
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": [
            {"name": f"model/{m['name']}", "digest": {"sha256": m["sha256"]}} for m in models
        ],
        "predicate": predicate,
    }


def _told_cuts(claim: Similarity) -> list[str]:
    """Say which model's end is no part of the statement, where something was cut."""
    both = zip(("first", "second"), claim.cuts, strict=True)
    return [f"Of the {which} model: {said}" for which, cut in both for said in told_cut(cut)]


def _encode_proof(proof: TheoremProof) -> Json:
    return {"factors": list(proof.factors), "dual": encode_dual(proof.dual)}


def _encode_box(box: Box) -> Json:
    return {"lo": encode_point(box.lo), "hi": encode_point(box.hi)}


def _decode(data: Json) -> Similarity:
    if (data["_type"], data["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ValueError("it is no similarity claim of qdeploy")
    predicate = data["predicate"]
    if predicate["schema"] != SCHEMA:
        raise ValueError(f"schema {predicate['schema']} is not {SCHEMA}")
    first, second = (
        (text(m["name"]), text(m["sha256"]), list_of_texts(m.get("cut", [])))
        for m in predicate["models"]
    )
    claim = Similarity(
        names=(first[0], second[0]),
        digests=(first[1], second[1]),
        cuts=(first[2], second[2]),
        question=_decode_question(predicate),
        places=tuple(tuple(integer(r) for r in rows) for rows in predicate["places"]),
        constraints=Constraints(predicate["constraints"]),
        sides=tuple(
            SignedDual(integer(s["output"]), integer(s["sign"]), decode_dual(s["dual"]))
            for s in predicate["sides"]
        ),
        theorem=_decode_theorem(predicate["theorem"]),
        per_output=tuple(bound(b) for b in predicate["per_output"]),
        attack=Apart(
            decode_point(predicate["attack"]["x1"]),
            decode_point(predicate["attack"]["x2"]),
            bound(predicate["attack"]["linf"]),
        ),
    )
    theorem = claim.theorem.proof
    proof = () if theorem is None else (theorem.dual,)
    require_moderate((*(side.dual for side in claim.sides), *proof))
    return claim


def _decode_question(predicate: Json) -> Question:
    first, second = (
        Box(decode_point(region["lo"]), decode_point(region["hi"]))
        for region in predicate["regions"]
    )
    relation = Relation(predicate["relation"]["kind"])
    delta = _fraction(text(predicate["relation"]["delta"]))
    if delta < 0 or max(delta.numerator, delta.denominator).bit_length() > _DELTA_BITS:
        raise ValueError("the inputs' distance is negative or no reasonable number")
    if (relation is Relation.QUANTISED) != (delta > 0):
        raise ValueError("quantised inputs have a distance, and only they")
    return Question(first, second, relation, delta)


def _fraction(written: str) -> Fraction:
    """Read n or n/d: a power of ten would be short to write and long to hold."""
    if re.fullmatch(r"[0-9]{1,90}(/[0-9]{1,90})?", written) is None:
        raise ValueError("the inputs' distance is no fraction")
    return Fraction(written)


def _decode_theorem(data: Json) -> Theorem:
    x1, x2, x = (bound(gamma) for gamma in data["gammas"])
    proof = None if data["proof"] is None else _decode_proof(data["proof"])
    return Theorem((x1, x2, x), bound(data["constant"]), proof)


def _decode_proof(data: Json) -> TheoremProof:
    x1, x2, x = (integer(factor) for factor in data["factors"])
    return TheoremProof((x1, x2, x), decode_dual(data["dual"]))
