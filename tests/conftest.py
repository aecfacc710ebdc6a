"""What every test module may use: kernels one by one, and the switch that rewrites golden files."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from native_support import KERNELS, using_kernel


def pytest_configure() -> None:
    # A shell that runs the tests in the background ignores SIGINT in them, and so in every program that they start;
    # those honour that, as under nohup, and the tests that interrupt them would wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-golden", action="store_true", help="rewrite the golden files instead of comparing")


@pytest.fixture(scope="session")
def regenerate_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--regenerate-golden"))


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs once for each kernel."""
    with using_kernel(request.param):
        yield request.param
