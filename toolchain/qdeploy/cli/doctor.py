"""`qdeploy doctor`: what is installed, what is missing, what to install."""

import click

from qdeploy.boards import DEFAULT
from qdeploy.cli._answer import Answer, columns, json_option
from qdeploy.diagnostics import ExitCode
from qdeploy.ir import DeviceIdentity
from qdeploy.pipeline.doctor import Diagnosis, diagnose


@click.command(
    "doctor",
    short_help="List what is installed, and what to install.",
    epilog="\b\nExamples:\n  qdeploy doctor\n  qdeploy doctor --port /dev/ttyACM0",
)
@click.option(
    "--port",
    metavar="PORT",
    help="Also ask the device at this port what it is: /dev/ttyACM0, socket://HOST:PORT, ...",
)
@json_option
def command(port: str | None) -> Answer:
    """List Python, packages, compilers, emulators and serial ports, and what to install.

    Exits with 4 if the default board cannot be built and run, or nobody answers at the port.
    """
    diagnosis = diagnose(port)
    code = ExitCode.YES if diagnosis.ready else ExitCode.MISSING
    return Answer(diagnosis.data(), _text(diagnosis), code)


def _text(diagnosis: Diagnosis) -> str:
    rows = [("", "python", diagnosis.python, diagnosis.platform)]
    rows += [
        (f.kind, f.name, f.version or "missing", f.fix and f"install: {f.fix}")
        for f in diagnosis.findings
    ]
    ports = [("serial port", p.device, p.usb, p.description) for p in diagnosis.ports]
    rows += ports or [("serial port", "none", "", "plug a board in, if you want to use one")]
    if diagnosis.device is not None:
        rows.append(("device", *_device(diagnosis.device)))
    can = "can" if diagnosis.ready else "CANNOT"
    return f"{columns(rows)}\n\nThe default board, {DEFAULT}, {can} be built and run here."


def _device(device: DeviceIdentity) -> tuple[str, str, str]:
    size = f"{device.n_in} inputs, {device.n_out} outputs"
    program = f"program {device.program_digest[:16]}…, {size}, {device.compiler}"
    return device.core, f"{device.clock_hz / 1e6:g} MHz", program


COMMAND = command
