"""One login at a time until one has worked."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from twistedrelay.delivery.gate import Gate
from twistedrelay.delivery.session import NoConnection
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import RouteKey

KEY: RouteKey = ("Out", "smart.test", "user", False)
OTHER: RouteKey = ("Out", "smart.test", "other", False)
REFUSED = NoConnection(Reply(454, "4.7.0", "Login refused"))


class Attempts:
    """Attempts to connect through a gate; each waits until it is told how it ends."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.begun: list[Deferred[str]] = []
        self.results: list[Any] = []

    def begin(self, count: int = 1, key: RouteKey = KEY) -> list[Deferred[Any]]:
        def connect() -> Deferred[str]:
            waiting: Deferred[str] = Deferred()
            self.begun.append(waiting)
            return waiting

        return [Deferred.fromCoroutine(self.gate.through(key, connect)).addBoth(self._ended) for _ in range(count)]

    def _ended(self, result: Any) -> None:
        self.results.append(getattr(getattr(result, "value", None), "reply", None) or getattr(result, "value", result))


def test_a_refused_login_is_refused_for_all_who_wait() -> None:
    attempts = Attempts()
    attempts.begin(5)
    assert len(attempts.begun) == 1
    attempts.begun[0].errback(REFUSED)
    assert attempts.results == [REFUSED.reply] * 5
    attempts.begin()
    assert len(attempts.begun) == 2


def test_all_go_once_one_is_logged_in() -> None:
    attempts = Attempts()
    attempts.begin(3)
    attempts.gate.up(KEY)
    attempts.begun[0].callback("first")
    assert len(attempts.begun) == 3
    attempts.begin()
    assert len(attempts.begun) == 4


def test_one_at_a_time_after_the_last_session_has_ended_or_a_refusal() -> None:
    for end in ("down", "refused"):
        attempts = Attempts()
        attempts.gate.up(KEY)
        attempts.gate.up(KEY)
        attempts.gate.down(KEY)
        attempts.begin(2)
        assert len(attempts.begun) == 2
        getattr(attempts.gate, end)(KEY)
        attempts.begin(2)
        assert len(attempts.begun) == 3


def test_others_wait_for_themselves() -> None:
    attempts = Attempts()
    attempts.begin()
    attempts.begin(key=OTHER)
    assert len(attempts.begun) == 2


def test_whoever_went_ahead_gives_up() -> None:
    attempts = Attempts()
    first, _, third = attempts.begin(3)
    third.cancel()
    first.cancel()
    assert len(attempts.begun) == 2
    assert [type(result) for result in attempts.results] == [CancelledError] * 2


@pytest.mark.parametrize("error", [REFUSED, ZeroDivisionError()])
def test_nothing_is_left_behind(error: Exception) -> None:
    attempts = Attempts()
    attempts.begin(2)
    for place in range(2):
        if place < len(attempts.begun):
            attempts.begun[place].errback(error)
    assert len(attempts.results) == 2
    attempts.begin()
    assert not attempts.begun[-1].called
