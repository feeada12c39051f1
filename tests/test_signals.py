"""Tests for L{twistedrelay.signals}."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from twistedrelay.signals import end_in_failure, end_on_signals, reload_on_hangup
from twistedrelay.tap import Options


class Reactor:
    """Notes what is to be called."""

    def __init__(self) -> None:
        self.stops = 0

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals have their handlers back afterwards."""
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(("terminals", "ends"), [([False, False], 0), ([False, True], 0), ([True, True], 0), ([True, False], 1)])
def test_a_hangup_reads_again_or_ends_with_the_terminal(terminals: list[bool], ends: int) -> None:
    reactor, reloads = Reactor(), []
    looks = iter(terminals)
    reload_on_hangup(reactor, lambda: reloads.append(1), lambda: next(looks))
    os.kill(os.getpid(), signal.SIGHUP)
    assert (reactor.stops, len(reloads)) == (ends, 1 - ends)


def test_a_relay_that_was_put_into_the_background_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It left its terminal of its own accord: it has a session of its own."""
    reactor, reloads = Reactor(), []
    looks, sessions = iter([True, False]), iter([1, 2])
    monkeypatch.setattr(os, "getsid", lambda pid: next(sessions))
    reload_on_hangup(reactor, lambda: reloads.append(1), lambda: next(looks))
    os.kill(os.getpid(), signal.SIGHUP)
    assert (reactor.stops, len(reloads)) == (0, 1)


def test_a_start_is_not_for_hangups_to_end() -> None:
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    Options().parseOptions(["--config", "relay.yaml"])
    for number in (signal.SIGHUP, signal.SIGUSR1):
        os.kill(os.getpid(), number)


def test_the_end() -> None:
    reactor = Reactor()
    end_on_signals(reactor)
    os.kill(os.getpid(), signal.SIGTERM)
    assert reactor.stops == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_who_cannot_go_on_stops_and_ends_as_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor, ends, statuses = Reactor(), [], []
    monkeypatch.setattr(atexit, "register", lambda end, status: ends.append((end, status)))
    monkeypatch.setattr(os, "_exit", statuses.append)
    end_in_failure(reactor)
    assert reactor.stops == 1
    ((end, status),) = ends
    end(status)
    assert statuses == [1]
