"""What the group commit costs, and whether its thread still works.

Written by the writer's thread, read by anybody; it decides nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from twistedrelay.values.histogram import MANY, Histogram


class Measures:
    """See the module.

    @ivar batches: changes in a transaction.
    @ivar syncs: seconds of the commits themselves, which end when the disk has all of it.
    @ivar commits: seconds from the moment when the first change of a transaction was handed over until it is durable.
    @ivar failures: transactions that the disk did not take.
    @ivar committed_at: when the last transaction was durable, by L{now}; minus infinity where none was.
    @ivar now: a clock that is never set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.batches = Histogram(MANY)
        self.syncs = Histogram()
        self.commits = Histogram()
        self.failures = 0
        self.committed_at = -math.inf
        self.now = now
        self._busy_since: float | None = None
        self._thread: threading.Thread | None = None

    def watch(self, thread: threading.Thread) -> None:
        """This is the thread."""
        self._thread = thread

    def busy(self) -> None:
        """The thread begins a step that ends soon, unless something is wrong."""
        self._busy_since = self.now()

    def idle(self) -> None:
        """The thread waits for work."""
        self._busy_since = None

    def committed(self, changes: int, since: float, seconds: float) -> None:
        """A transaction is durable.

        @param since: when its first change was handed over.
        @param seconds: how long the commit itself took.
        """
        now = self.committed_at = self.now()
        self.batches.observe(changes)
        self.syncs.observe(seconds)
        self.commits.observe(now - since)

    def stalled(self) -> float:
        """Seconds that the thread has been at the same step; infinity where it is dead, though nobody ended it."""
        thread, since = self._thread, self._busy_since
        if thread is not None and not thread.is_alive():
            return math.inf
        return 0.0 if since is None else self.now() - since
