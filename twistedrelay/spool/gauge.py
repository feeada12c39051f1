"""How full a spool is and how it does: for metrics, health checks and back pressure.

It changes nothing but a time that L{Gauge.probe} writes.  What has to be asked of the disk is asked by the reading thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from twistedrelay.spool.cache import HotCache
from twistedrelay.spool.layout import Layout
from twistedrelay.spool.measures import Measures
from twistedrelay.spool.queries import Queries
from twistedrelay.spool.writer import Writer


@attrs.frozen(slots=True)
class Figures:
    """A spool at one moment.

    @ivar oldest: when its oldest message came, 0.0 where it is empty.
    @ivar database: octets of the database file; C{free} of them hold nothing.
    @ivar log: octets of the write-ahead log.
    """

    messages: int
    oldest: float
    database: int
    free: int
    log: int


class Gauge:
    """See the module.

    @ivar directory: where the spool is.
    """

    def __init__(
        self,
        read: Callable[..., Deferred[Any]],
        write: Callable[..., Deferred[Any]],
        queries: Queries,
        writer: Writer,
        layout: Layout,
        cache: HotCache,
    ) -> None:
        """
        @param read: lets the reading thread do something.
        @param write: makes a change durable.
        """
        self.directory = layout.directory
        self._read = read
        self._write = write
        self._queries = queries
        self._writer = writer
        self._database = layout.database
        self._cache = cache

    @property
    def measures(self) -> Measures:
        """What the group commit costs."""
        return self._writer.measures

    @property
    def waiting(self) -> int:
        """Changes that wait for the writer's thread."""
        return self._writer.waiting

    @property
    def cached(self) -> int:
        """Octets of messages in memory."""
        return self._cache.used

    def spare_memory(self) -> None:
        """Forget what can be read again."""
        self._cache.empty()

    def figures(self) -> Deferred[Figures]:
        """All of them; with a million messages that takes the reading thread a moment."""
        return self._read(lambda: Figures(*self._queries.figures(), self._log()))

    def used_database(self) -> Deferred[int]:
        """Octets that the database really holds, its log included."""

        def ask() -> int:
            size, free = self._queries.room()
            return size - free + self._log()

        return self._read(ask)

    def probe(self, seconds: float) -> Deferred[None]:
        """Prove that it can be written to.

        @param seconds: the time, which is what is written.
        """
        return self._write(texts=(("probe", str(int(seconds))),)).addCallback(lambda _: None)

    def due(self, before: float, most: int) -> Deferred[int]:
        """How many messages are due that wait for no lane; not more than C{most} are counted."""
        return self._read(self._queries.due_count, before, most)

    def _log(self) -> int:
        try:
            return os.stat(self._database + "-wal").st_size
        except OSError:  # none while nothing was written
            return 0
