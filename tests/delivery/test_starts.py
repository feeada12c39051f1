"""Connections are begun some at a time."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twistedrelay.delivery.starts import GRAIN, TOGETHER, Starts


class Wanting:
    """Who wants connections; C{begun} says which were begun."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.starts = Starts(self.clock)
        self.begun: list[int] = []
        self.waiting: list[Deferred[None]] = []

    def want(self, number: int) -> None:
        if self.starts.may_go():
            self.begun.append(number)
        else:
            turn = self.starts.turn()
            self.waiting.append(turn)
            turn.addCallbacks(lambda _: self.begun.append(number), lambda failure: failure.trap(CancelledError))


def test_few_need_not_wait() -> None:
    wanting = Wanting()
    for number in range(5 * TOGETHER):
        wanting.want(number)
        wanting.clock.advance(GRAIN / TOGETHER * 1.01)
    assert wanting.begun == list(range(5 * TOGETHER))
    assert wanting.clock.getDelayedCalls() == []


def test_of_many_some_begin_in_each_turn_in_their_order() -> None:
    wanting = Wanting()
    for number in range(3 * TOGETHER + 1):
        wanting.want(number)
    for turns in (1, 2, 3):
        assert wanting.begun == list(range(turns * TOGETHER))
        wanting.clock.advance(GRAIN)
    assert len(wanting.begun) == 3 * TOGETHER + 1
    assert wanting.clock.getDelayedCalls() == []


def test_who_comes_later_stands_behind() -> None:
    wanting = Wanting()
    for number in range(TOGETHER + 1):
        wanting.want(number)
    wanting.clock.rightNow += 2 * GRAIN  # the line has not moved yet
    wanting.want(99)
    assert wanting.begun[-1] == TOGETHER - 1
    wanting.clock.advance(0)
    assert wanting.begun[-2:] == [TOGETHER, 99]


def test_what_is_given_up_takes_no_place() -> None:
    wanting = Wanting()
    for number in range(3 * TOGETHER):
        wanting.want(number)
    for turn in wanting.waiting[: TOGETHER - 1]:
        turn.cancel()
    last = wanting.waiting[TOGETHER]
    wanting.waiting[TOGETHER - 1].addCallback(lambda _: last.cancel())  # in the same turn, before its own
    wanting.clock.pump([GRAIN, GRAIN])
    assert wanting.begun[TOGETHER:] == [2 * TOGETHER - 1, *range(2 * TOGETHER + 1, 3 * TOGETHER)]
    assert wanting.clock.getDelayedCalls() == []


def test_a_clock_that_is_put_back_stops_nobody() -> None:
    wanting = Wanting()
    wanting.clock.rightNow = 1000.0
    for number in range(TOGETHER):
        wanting.want(number)
    wanting.clock.rightNow = 10.0
    wanting.want(99)
    assert wanting.begun[-1] == 99
    assert not any(isinstance(turn.result, Failure) for turn in wanting.waiting)
