"""Tests for L{twistedrelay.observe.readers}."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from twistedrelay.observe.readers import Readers


class Threads:
    """What is worked at."""

    def __init__(self) -> None:
        self.readers = Readers(2)
        self.begun: list[Deferred[str]] = []

    def work(self) -> Deferred[str]:
        self.begun.append(Deferred())
        return self.begun[-1]

    def ask(self) -> Deferred[str]:
        asked = self.readers.ask(self.work)
        asked.addErrback(lambda failure: failure.type.__name__)
        return asked


@pytest.fixture
def threads() -> Threads:
    return Threads()


def test_so_many_at_a_time(threads: Threads) -> None:
    found: list[str] = []
    for _ in range(3):
        threads.ask().addCallback(found.append)
    assert len(threads.begun) == 2
    threads.begun[1].callback("second")
    threads.begun[2].errback(ValueError())
    threads.begun[0].callback("first")
    assert found == ["second", "ValueError", "first"]


def test_who_waits_no_longer_keeps_the_place_of_the_thread(threads: Threads) -> None:
    found: list[str] = []
    asked = [threads.ask().addCallback(found.append) for _ in range(4)]
    for each in asked[:3]:
        each.cancel()
    assert found == [CancelledError.__name__] * 3
    assert len(threads.begun) == 2, "both threads are still at work"
    threads.begun[0].callback("nobody wants it")
    threads.begun[2].callback("the fourth")
    threads.begun[1].errback(ValueError("nobody wants it either"))
    assert found[3:] == ["the fourth"]
    assert len(threads.begun) == 3, "the third was not asked"
