"""Programs a test needs: found, or the test says what to install."""

import os
import shutil
from typing import NoReturn

import pytest


def require_tool(name: str, package: str) -> str:
    """Return the path of the program `name`.

    Where it is missing the test fails under CI=true, so that nothing is skipped there
    unnoticed, and is skipped with the name of the package to install anywhere else.
    """
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is missing: install {package}")
    return path


def missing(reason: str) -> NoReturn:
    """Fail under CI=true, skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
