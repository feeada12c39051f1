"""Tests for L{twistedrelay.policy.threads}."""

from __future__ import annotations

import threading
import time
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.network import PATIENCE
from twistedrelay.policy.threads import CheckThreads, LoginUnavailable


class CheckThreadsTests(TestCase):
    """Real threads."""

    def setUp(self) -> None:
        self.threads = CheckThreads(reactor, "PAM", threads=1, waiting=2)  # type: ignore[arg-type]
        self.addCleanup(self.threads.stop)
        self.begun = threading.Event()
        self.go = threading.Event()
        self.addCleanup(self.go.set)
        self.ran: list[str] = []

    def hold(self, result: str) -> str:
        """A check that takes until it may end."""
        self.ran.append(result)
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return result

    def test_results(self) -> Any:
        self.go.set()
        return self.threads.run(self.hold, "good").addCallback(self.assertEqual, "good")

    async def test_a_refusal_stays_one_and_the_rest_is_trouble(self) -> None:
        def refuse() -> None:
            raise UnauthorizedLogin("no")

        def break_down() -> None:
            raise OSError("the disk is gone")

        refusal = await self.assertFailure(self.threads.run(refuse), UnauthorizedLogin)
        assert str(refusal) == "no"
        trouble = await self.assertFailure(self.threads.run(break_down), LoginUnavailable)
        assert str(trouble) == "OSError: the disk is gone"

    async def test_only_so_many_wait(self) -> None:
        running = [self.threads.run(self.hold, str(number)) for number in range(3)]
        error = await self.assertFailure(self.threads.run(self.hold, "too many"), LoginUnavailable)
        assert "too many logins wait for PAM" in str(error)
        self.go.set()
        assert await gatherResults(running) == ["0", "1", "2"]
        assert await self.threads.run(self.hold, "again") == "again"

    async def test_what_nobody_waits_for_is_not_begun(self) -> None:
        first = self.threads.run(self.hold, "first")
        second: Deferred[Any] = self.threads.run(self.hold, "second")
        while not self.begun.is_set():
            self.begun.wait(0.1)
        second.cancel()
        await self.assertFailure(second, CancelledError)
        self.go.set()
        assert await first == "first"
        assert await self.threads.run(self.hold, "third") == "third"
        assert self.ran == ["first", "third"]

    async def test_after_the_end(self) -> None:
        self.threads.stop()
        await self.assertFailure(self.threads.run(self.hold, "late"), LoginUnavailable)

    def test_a_check_that_never_ends_does_not_hold_up_the_end(self) -> None:
        running = self.threads.run(self.hold, "stuck")
        assert self.begun.wait(PATIENCE)
        began = time.monotonic()
        self.threads.stop()
        assert time.monotonic() - began < 10
        assert not running.called
        running.addErrback(lambda _: None).cancel()
