"""Reaching a host with several addresses."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from twistedrelay.delivery.reach import STAGGER, Race, same_host
from twistedrelay.values.route import Target


def target(host: str, address: str) -> Target:
    return Target(host, address, 25)


class Dropped:
    """Stands for a connection."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Attempts:
    """Connections under way."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.begun: dict[int, Deferred[Any]] = {}
        self.cancelled: list[int] = []
        self.results: list[Any] = []
        self.errors: list[Any] = []
        self.race = Race(self.clock, [partial(self.attempt, number) for number in range(count)])
        self.race.finished.addCallbacks(self.results.append, self.errors.append)

    def attempt(self, number: int) -> Deferred[Any]:
        begun: Deferred[Any] = Deferred(lambda _: self.cancelled.append(number))
        self.begun[number] = begun
        return begun


def test_families_take_turns_within_one_host() -> None:
    a4, a44, a6, a66, b4 = (
        target("a", "192.0.2.1"),
        target("a", "192.0.2.2"),
        target("a", "2001:db8::1"),
        target("a", "2001:db8::2"),
        target("b", "192.0.2.3"),
    )
    assert same_host([a6, a66, a4, a44, b4]) == [a6, a4, a66, a44]
    assert same_host([a4, a44, b4, a6]) == [a4, a44]
    assert same_host([b4, a4]) == [b4]
    assert same_host([None]) == [None]


def test_the_next_begins_after_a_while_and_the_first_to_answer_wins() -> None:
    attempts = Attempts(3)
    attempts.clock.advance(STAGGER * 0.9)
    assert list(attempts.begun) == [0]
    attempts.clock.advance(STAGGER * 0.2)
    assert list(attempts.begun) == [0, 1]
    winner = Dropped()
    attempts.begun[1].callback(winner)
    assert attempts.results == [(1, winner)]
    assert attempts.cancelled == [0]
    assert attempts.race.failures == {}
    attempts.clock.advance(60)
    assert list(attempts.begun) == [0, 1]
    assert attempts.clock.getDelayedCalls() == []


def test_the_next_begins_at_once_where_one_failed() -> None:
    attempts = Attempts(2)
    attempts.begun[0].errback(OSError("refused"))
    assert list(attempts.begun) == [0, 1]
    attempts.begun[1].callback(winner := Dropped())
    assert attempts.results == [(1, winner)]
    assert [str(failure.value) for failure in attempts.race.failures.values()] == ["refused"]


def test_all_fail() -> None:
    attempts = Attempts(2)
    attempts.clock.advance(STAGGER)
    attempts.begun[1].errback(OSError("second"))
    assert not attempts.errors
    attempts.begun[0].errback(OSError("first"))
    assert [str(error.value) for error in attempts.errors] == ["first"]
    assert set(attempts.race.failures) == {0, 1}
    assert attempts.clock.getDelayedCalls() == []


def test_a_second_connection_of_the_same_turn_is_dropped() -> None:
    first, second, clock = Dropped(), Dropped(), Clock()
    late: Deferred[Any] = Deferred(lambda deferred: deferred.callback(second))  # it had come about when it was given up
    won: list[Any] = []
    Race(clock, [lambda: late, lambda: succeed(first)]).finished.addCallback(won.append)  # type: ignore[arg-type]
    clock.advance(STAGGER)
    assert won == [(1, first)]
    assert (first.aborted, second.aborted) == (False, True)


def test_failures_that_come_at_once() -> None:
    race = Race(Clock(), [lambda: fail(OSError("one")), lambda: fail(OSError("two"))])
    errors: list[Any] = []
    race.finished.addErrback(errors.append)
    assert str(errors[0].value) == "two"


def test_nobody_wants_it_any_more() -> None:
    attempts = Attempts(2)
    attempts.race.finished.cancel()
    assert attempts.cancelled == [0]
    assert attempts.errors[0].check(CancelledError)
    assert attempts.clock.getDelayedCalls() == []


@pytest.mark.parametrize("count", [1, 2])
def test_one_that_answers_at_once_is_alone(count: int) -> None:
    clock = Clock()
    won: list[Any] = []
    answer: Any = Dropped()
    Race(clock, [lambda: succeed(answer)] * count).finished.addCallback(won.append)
    assert won[0][0] == 0
    assert clock.getDelayedCalls() == []
