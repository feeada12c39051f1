"""Who is sent no BDAT."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twistedrelay.delivery import nochunks
from twistedrelay.delivery.nochunks import SECONDS, NoChunks


def test_for_a_day() -> None:
    clock = Clock()
    known = NoChunks(clock)
    assert "a" not in known
    known.add("a")
    clock.advance(SECONDS - 1)
    assert "a" in known
    assert "b" not in known
    known.add("a")
    clock.advance(SECONDS - 1)
    assert "a" in known, "it was noticed again"
    clock.advance(1)
    assert "a" not in known


def test_it_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nochunks, "MOST", 3)
    known = NoChunks(Clock())
    for remote in "abcad":
        known.add(remote)
    assert [remote for remote in "abcd" if remote in known] == ["a", "c", "d"]
