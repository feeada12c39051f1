"""One broken consumer hurts nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from twistedrelay.observe.fanout import REPORT_INTERVAL, EventSink
from twistedrelay.values.events import Event, ServiceEvent


class Broken:
    """Always raises."""

    def emit(self, event: Event) -> None:
        raise RuntimeError("broken")


class Kept:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def reports() -> Iterator[list[dict[str, Any]]]:
    """What is logged."""
    found: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(found.append)
    yield found
    globalLogPublisher.removeObserver(found.append)


def test_all_get_every_event_in_order() -> None:
    first, second = Kept(), Kept()
    sink = EventSink([first, second])
    sent = [ServiceEvent("info", str(n)) for n in range(5)]
    for event in sent:
        sink.emit(event)
    assert first.events == second.events == sent


def test_a_broken_consumer_is_logged_at_intervals_and_hurts_nobody(reports: list[dict[str, Any]]) -> None:
    now = 0.0
    kept = Kept()
    sink = EventSink([Broken(), kept, Broken()], monotonic=lambda: now)
    for _ in range(100):
        sink.emit(ServiceEvent("info", "x"))
    assert len(kept.events) == 100
    assert len(reports) == 2  # one for each of the two
    assert reports[0]["consumer"] == "Broken"
    assert isinstance(reports[0]["log_failure"].value, RuntimeError)
    now = REPORT_INTERVAL
    sink.emit(ServiceEvent("info", "x"))
    assert len(reports) == 4
    assert reports[2]["failures"] == 101
