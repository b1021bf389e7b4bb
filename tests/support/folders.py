"""Build folders that somebody changed, with as much of the rest made to fit as one likes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qdeploy import proof


def rewritten(folder: Path, change: Callable[[Any], object]) -> None:
    """Change what build.json states."""
    data = json.loads((folder / "build.json").read_text())
    change(data)
    (folder / "build.json").write_text(json.dumps(data))


def accounted(folder: Path) -> None:
    """Let build.json state the digests that the folder's files have."""
    data = json.loads((folder / "build.json").read_text())
    for name in data["files"]:
        data["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    data["certificate"]["sha256"] = data["files"]["certificate.json"]
    (folder / "build.json").write_text(json.dumps(data))


def attested(folder: Path, change: Callable[[proof.Statement], proof.Statement]) -> None:
    """Change the certificate, and seal it again."""
    statement = change(proof.read((folder / "certificate.json").read_bytes()))
    (folder / "certificate.json").write_bytes(proof.write(statement))


def bound_again(folder: Path, name: str, content: bytes) -> None:
    """Put another file among the firmware's, and bind it by the certificate as a build would."""
    (folder / "firmware" / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    attested(folder, lambda s: replace(s, subjects={**s.subjects, name: digest}))


def made_otherwise(folder: Path, key: str, value: object) -> None:
    """Change what firmware.json says of how the image came about, and bind it again."""
    made = json.loads((folder / "firmware" / "firmware.json").read_text())
    bound_again(folder, "firmware.json", json.dumps({**made, key: value}).encode())


def renamed(folder: Path, name: str) -> None:
    """Let the certificate be about a model of another name."""

    def change(statement: proof.Statement) -> proof.Statement:
        return proof.attest(replace(statement.certificate, model_name=name))

    attested(folder, change)
