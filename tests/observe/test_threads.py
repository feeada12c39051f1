"""Tests for L{twistedrelay.observe.threads}."""

from __future__ import annotations

import threading

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from twistedrelay.observe.threads import RecordThreads


class RecordThreadsTests(TestCase):
    """With real threads."""

    timeout = 30

    async def test_work_is_done_elsewhere(self) -> None:
        threads = RecordThreads(reactor)
        found = await gatherResults([threads.run(divmod, number, 3) for number in range(5)])
        assert found == [divmod(number, 3) for number in range(5)]
        assert await threads.run(threading.get_ident) != threading.get_ident()
        threads.stop()

    async def test_the_end_does_not_wait_for_work_that_hangs(self) -> None:
        threads = RecordThreads(reactor, most=1)
        begun, over = threading.Event(), threading.Event()

        def hang() -> bool:
            begun.set()
            return over.wait()

        hanging = threads.run(hang)
        assert begun.wait(20)
        threads.stop()
        assert all(thread.daemon for thread in threads.pool.threads), "they keep no process alive"
        over.set()
        assert await hanging is True

    def test_no_thread_before_there_is_work(self) -> None:
        threads = RecordThreads(reactor)
        threads.stop()
        assert (threads.pool.started, list(threads.pool.threads)) == (False, [])
