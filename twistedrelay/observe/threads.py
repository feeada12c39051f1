"""Threads for the files of logs and records, apart from those that mail needs.

Log files may be on a disk of their own, or on another machine's.  It decides that such a disk, where it hangs, holds up what it was asked
and nothing else: neither mail, which waits for other threads, nor the end of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

#: More than there are writers, deleters and readers of files.
MOST = 20

T = TypeVar("T")


class _Pool(ThreadPool):
    threadFactory = staticmethod(partial(threading.Thread, daemon=True))  # type: ignore[assignment]


class RecordThreads:
    """See the module.

    @ivar pool: the threads.
    """

    def __init__(self, reactor: Any, most: int = MOST) -> None:
        self._reactor = reactor
        self.pool = _Pool(0, most, "twistedrelay-records")

    def run(self, work: Callable[..., T], *arguments: Any, **more: Any) -> Deferred[T]:
        """Call a function in one of the threads, the first of which begins when it is needed."""
        if not self.pool.started:
            self.pool.start()
        return deferToThreadPool(self._reactor, self.pool, work, *arguments, **more)

    def stop(self) -> None:
        """End the threads, unless some are held by a disk that does not answer: those end with the process."""
        if self.pool.started and not self.pool.working:
            self.pool.stop()
