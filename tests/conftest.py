"""Options and fixtures every test may use."""

import signal

import pytest
from support.golden import Golden

# A shell's background jobs ignore Ctrl-C, and would hand that down to what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files with what came out"
    )


@pytest.fixture
def golden(request):
    """Compare text with a file under tests/golden: `golden("library/model.c", text)`."""
    return Golden(update=request.config.getoption("--update-golden"))
