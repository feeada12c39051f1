"""What every test may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import programs

# How long an example takes says something of the machine, and nothing of the code; and what CI tries is the same every time.
hypothesis.settings.register_profile(
    "relay", deadline=None, derandomize=programs.in_ci(), suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("relay")


def pytest_addoption(parser: pytest.Parser) -> None:
    """C{--kills N}: rounds of the kill test."""
    parser.addoption("--kills", type=int, default=15, help="how often the kill test kills the daemon (default: 15)")


def pytest_configure() -> None:
    """Modes of files do not depend on who runs the tests."""
    os.umask(0o022)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start daemons are marked by where they are."""
    for item in items:
        if item.path.parent.name in {"end_to_end", "interop"}:
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """As pytest's own, whose name holds the user, the run and the test: with a longer one, a socket in it has too long a name."""
    with tempfile.TemporaryDirectory(prefix="test-", ignore_cleanup_errors=True) as directory:
        yield Path(directory).resolve()


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """A function that finds another program by name: the test is skipped without it, and fails in CI."""

    def find(name: str) -> str:
        try:
            return programs.locate(name)
        except programs.MissingProgram as problem:
            if programs.in_ci():
                pytest.fail(str(problem))
            pytest.skip(str(problem))

    return find
