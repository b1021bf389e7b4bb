"""The compilers the runtime must please, and the flags it must be clean under."""

import importlib.util
import sys
from pathlib import Path

from support.tools import missing, require_tool

STRICT = (
    *("-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion"),
    *("-Wsign-conversion", "-Wshadow", "-Wundef", "-Wstrict-prototypes"),
    *("-Wmissing-prototypes", "-Wvla", "-Wdouble-promotion", "-Werror"),
)

HOST = {"gcc": "gcc", "clang": "clang"}
"""Compiler -> Debian package."""

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33")


def host(compiler):
    """Return the command of a host compiler, strict."""
    return [require_tool(compiler, HOST[compiler]), *STRICT]


def arm_gcc(cpu):
    """Return the command of the Arm GCC for a core, strict."""
    program = require_tool("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    return [program, f"-mcpu={cpu}", "-mthumb", *STRICT]


def zig_clang(cpu):
    """Return the command of the clang in the ziglang wheel for a core, strict."""
    include = _zig().parent / "lib" / "include"
    target = ["--target=arm-none-eabi", f"-mcpu={cpu}", "-mthumb", "-mfloat-abi=soft"]
    headers = ["-nostdlibinc", "-isystem", str(include)]
    return [*zig("clang"), *target, *headers, *STRICT]


def zig(tool):
    """Return the command of a tool inside the ziglang wheel."""
    _zig()
    return [sys.executable, "-m", "ziglang", tool]


def _zig():
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        missing("the ziglang package is missing: pip install '.[run]'")
    return Path(spec.origin)


CROSS = {"gcc": arm_gcc, "clang": zig_clang}


def zig_host():
    """Return the command of the wheel's clang for objects of this machine, not strict."""
    include = _zig().parent / "lib" / "include"
    return [*zig("clang"), "-nostdlibinc", "-isystem", str(include)]
