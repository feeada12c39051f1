"""Tests for L{twistedrelay.relayctl.moments}."""

from __future__ import annotations

import datetime

import pytest

from twistedrelay.relayctl.moments import moment

NOW = datetime.datetime(2026, 11, 22, 16, 5, 7, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("now", "2026-11-22T16:05:07+00:00"),
        ("today", "2026-11-22T00:00:00+00:00"),
        ("Yesterday", "2026-11-21T00:00:00+00:00"),
        ("2h", "2026-11-22T14:05:07+00:00"),
        ("90 m", "2026-11-22T14:35:07+00:00"),
        ("7s", "2026-11-22T16:05:00+00:00"),
        ("1w", "2026-11-15T16:05:07+00:00"),
        ("9:30", "2026-11-22T09:30:00+00:00"),
        ("09:30:15", "2026-11-22T09:30:15+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T12:00", "2026-11-01T12:00:00+00:00"),
        ("2026-11-01 12:00", "2026-11-01T12:00:00+00:00"),
        ("2026-11-01T12:00+03:00", "2026-11-01T12:00:00+03:00"),
        ("2026-11-01T12:00:00.500Z", "2026-11-01T12:00:00.500000+00:00"),
    ],
)
def test_times(text: str, when: str) -> None:
    assert moment(text, NOW).isoformat() == when


@pytest.mark.parametrize("text", ["", "soon", "2x", "25:00", "2026-13-01", "999999w", "2h2h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        moment(text, NOW)
