"""What is installed here, what is missing, and what to install for it."""

import importlib.metadata
import platform
from dataclasses import asdict, dataclass
from typing import Any

from qdeploy import __version__, boards, crossbuild, deploy
from qdeploy.deploy.links._ports import PortStatus, attached_ports
from qdeploy.diagnostics import install
from qdeploy.ir import DeviceIdentity

REQUIRED = ("clarabel", "jinja2", "numpy", "onnx", "pyserial")
RUN = ("capstone", "unicorn", "ziglang")
OPTIONAL = {"python-flint": "pip install python-flint"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is there or not."""

    kind: str
    """`package`, `arm compiler`, `host compiler` or `emulator`."""
    name: str
    version: str | None
    """None where it is missing."""
    fix: str
    """What to install; empty where nothing is missing."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything `qdeploy doctor` says."""

    python: str
    platform: str
    findings: tuple[Finding, ...]
    ports: tuple[PortStatus, ...]
    ready: bool
    """Whether the default board can be built and run here."""
    device: DeviceIdentity | None
    """What answered at the port that was asked about."""

    def data(self) -> dict[str, Any]:
        """Return what --json prints."""
        return {
            "qdeploy": __version__,
            "python": self.python,
            "platform": self.platform,
            "findings": [asdict(f) for f in self.findings],
            "ports": [asdict(p) for p in self.ports],
            "default_board": boards.DEFAULT,
            "ready": self.ready,
            "device": None if self.device is None else asdict(self.device),
        }


def diagnose(port: str | None = None) -> Diagnosis:
    """Look at this computer and, with a port, at the device there.

    Raises:
        MissingToolError: nobody answers at the port.
    """
    findings = (*_packages(), *_compilers(), *_emulators())
    present = {(f.kind, f.name) for f in findings if f.version is not None}
    emulator = boards.load(boards.DEFAULT).emulator
    plays = emulator is not None and ("emulator", emulator.tool) in present
    compiles = any(kind == "arm compiler" for kind, _ in present)
    return Diagnosis(
        platform.python_version(),
        f"{platform.system()} {platform.machine()}",
        findings,
        attached_ports(),
        ready=plays and compiles,
        device=None if port is None else deploy.identify(port),
    )


def _packages() -> list[Finding]:
    fixes = dict.fromkeys(REQUIRED, install())
    fixes |= dict.fromkeys(RUN, install("run"))
    fixes |= OPTIONAL
    return [_finding("package", name, _version(name), fix) for name, fix in fixes.items()]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _compilers() -> list[Finding]:
    return [
        _finding(f"{status.target} compiler", status.name, status.version, status.fix)
        for status in crossbuild.status()
    ]


def _emulators() -> list[Finding]:
    return [_finding("emulator", s.name, s.version, s.fix) for s in deploy.status()]


def _finding(kind: str, name: str, version: str | None, fix: str) -> Finding:
    return Finding(kind, name, version, "" if version is not None else fix)
