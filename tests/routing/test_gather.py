"""Several questions with one time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twistedrelay.routing.gather import gathered


def asked(count: int, grace: float = 2.0, longest: float = 20.0) -> tuple[Clock, list[Deferred[int]], list[Any]]:
    clock = Clock()
    questions: list[Deferred[int]] = [Deferred() for _ in range(count)]
    results: list[Any] = []
    gathered(questions, lambda answer: answer > 0, grace, longest, clock).addCallback(results.append)
    return clock, questions, results


def test_all_answers_in_order_and_no_timer_left() -> None:
    clock, questions, results = asked(3)
    questions[2].callback(0)
    questions[0].callback(1)
    questions[1].errback(RuntimeError("no answer"))
    assert results == [[1, None, 0]]
    assert clock.getDelayedCalls() == []


def test_the_others_get_less_time_once_one_is_useful() -> None:
    clock, questions, results = asked(3)
    clock.advance(10)
    questions[0].callback(0)
    clock.advance(5)
    questions[1].callback(5)
    clock.advance(1.9)
    assert results == []
    clock.advance(0.2)
    assert results == [[0, 5, None]]


def test_the_grace_never_makes_it_longer() -> None:
    clock, questions, results = asked(2)
    clock.advance(19)
    questions[0].callback(5)
    clock.advance(1.1)
    assert results == [[5, None]]


def test_only_the_first_useful_one_starts_the_grace() -> None:
    clock, questions, results = asked(3)
    questions[0].callback(5)
    clock.advance(1.5)
    questions[1].callback(5)
    clock.advance(0.6)
    assert results == [[5, 5, None]]


def test_nothing_useful_waits_for_the_whole_time_and_no_longer() -> None:
    clock, questions, results = asked(2)
    questions[0].callback(0)
    clock.advance(19.9)
    assert results == []
    clock.advance(0.2)
    assert results == [[0, None]]
    questions[1].errback(RuntimeError("too late, and nobody complains"))


def test_no_questions() -> None:
    clock, _, results = asked(0)
    assert results == [[]]
    assert clock.getDelayedCalls() == []


def test_answers_that_are_there_already_need_no_timer_and_shorten_the_wait_for_others() -> None:
    clock = Clock()
    results: list[Any] = []
    gathered([succeed(1), succeed(2)], bool, 2.0, 20.0, clock).addCallback(results.append)
    assert results == [[1, 2]]
    assert clock.getDelayedCalls() == []
    late: Deferred[int] = Deferred()
    gathered([succeed(1), late], bool, 2.0, 20.0, clock).addCallback(results.append)
    clock.advance(2.0)
    assert results[1:] == [[1, None]]
