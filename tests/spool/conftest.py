"""Fixtures of the spool's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spool.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A spool in a directory of its own, closed at the end."""
    made = World(str(tmp_path / "spool"))
    yield made
    made.disk.fault = lambda step: None
    made.close()
