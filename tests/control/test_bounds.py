"""What a request waits for, and what goes on when it waits no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twistedrelay.answers.waiting import to_its_end
from twistedrelay.control.bounds import ANSWER_TIMEOUT, in_time
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.reply import LOCAL_ERROR


class BoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cancelled: list[Deferred[int]] = []
        self.work: Deferred[int] = Deferred(self.cancelled.append)
        self.clock = Clock()
        self.relay: Any = SimpleNamespace(clock=self.clock)

    def test_what_takes_too_long_is_waited_for_no_more_and_goes_on(self) -> None:
        answer = in_time(self.relay, self.work)
        self.clock.advance(ANSWER_TIMEOUT)
        self.failureResultOf(answer, TimeoutError)
        assert self.cancelled == []
        self.work.callback(1)

    def test_an_answer_in_time(self) -> None:
        answer = in_time(self.relay, self.work)
        self.work.callback(1)
        assert self.successResultOf(answer) == 1
        assert self.clock.getDelayedCalls() == []

    def test_who_waits_no_more_ends_nothing_and_what_fails_then_is_logged(self) -> None:
        answer = to_its_end(self.work)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        assert self.cancelled == []
        self.work.errback(Failure(SpoolError("sick", LOCAL_ERROR)))
        assert len(self.flushLoggedErrors(SpoolError)) == 1
