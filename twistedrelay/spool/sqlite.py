"""L{SQLiteSpool}: the spool of one relay process in one directory.

Decides what is accepted while the disk is sick or the spool closes, and joins the parts.  Everything that blocks happens in threads:
one that writes, one that reads, a few for large contents.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from twistedrelay.interfaces import IContent, IContentWriter, IEventSink, ISpool, SpoolError
from twistedrelay.spool import rows, settlement
from twistedrelay.spool.blame import Blame
from twistedrelay.spool.blame import notices as last_words
from twistedrelay.spool.bodies import BodyStore
from twistedrelay.spool.cache import HotCache
from twistedrelay.spool.change import Change
from twistedrelay.spool.content import ContentWriter, StoredContent, loaded
from twistedrelay.spool.database import Database
from twistedrelay.spool.disk import Disk, copy_of, spool_error
from twistedrelay.spool.gauge import Gauge
from twistedrelay.spool.kept_store import KeptStore
from twistedrelay.spool.layout import Layout
from twistedrelay.spool.lock import DirectoryLock
from twistedrelay.spool.pool import DaemonThreadPool
from twistedrelay.spool.queries import Found, Queries
from twistedrelay.spool.recording import Recording
from twistedrelay.spool.recovery import Recovery, notices, recover
from twistedrelay.spool.writer import Writer
from twistedrelay.values import reply
from twistedrelay.values.browsing import EVERYTHING, MessagePage, MessageQuery
from twistedrelay.values.envelope import Message, MessageStatus, Outcome
from twistedrelay.values.events import ServiceEvent

_T = TypeVar("_T")
_log = Logger()


def _unheard(*_: object) -> None:
    """Nobody wants to know."""


@implementer(ISpool)
class SQLiteSpool:
    """See L{ISpool}.

    @ivar healthy: see L{ISpool}; False before L{open} and after L{close}.
    @ivar keep_delivered: messages that were delivered are kept until C{kept} is told to purge them.
    @ivar blame: notes which messages our own code works on.
    @ivar gauge: how full it is, and how it does.
    """

    def __init__(
        self,
        reactor: Any,
        directory: str,
        events: IEventSink | None = None,
        *,
        on_health: Callable[[bool, str], None] = _unheard,
        on_failure: Callable[[], None] = _unheard,
        disk: Disk | None = None,
        inline_limit: int = 64 * 1024,
        cache_budget: int = 64 * 1024 * 1024,
        cache_each: int = 16 * 1024 * 1024,
        body_threads: int = 4,
        keep_delivered: bool = False,
    ) -> None:
        """@param reactor: for C{callFromThread} and C{seconds}.
        @param events: where L{ServiceEvent}s go; without it they are logged.
        @param on_health: called on the reactor thread with (healthy, reason), to pause and resume intake and delivery; C{on_failure}
            likewise, where nothing can be written any more before another process does it.
        @param inline_limit: larger content goes to a file.
        @param cache_budget: octets of large contents kept in memory for delivery, in all.
        @param cache_each: the most for one of them.
        """
        self.healthy = False
        self.doubtful = 0
        self.blame = Blame(os.path.abspath(directory))
        self._reactor = reactor
        self._events = events
        self._on_health = on_health
        self._disk = disk or Disk()
        self._layout = Layout(os.path.abspath(directory))
        self._inline_limit = inline_limit
        self._cache = HotCache(cache_budget, cache_each)
        self._bodies = BodyStore(reactor, self._disk, self._layout.bodies, body_threads)
        self._database = Database(self._disk, self._layout)
        self._queries = Queries(self._disk, self._layout.database)
        self._reader = DaemonThreadPool(0, 1, "twistedrelay-spool-reader")
        self._writer = Writer(self._database, reactor.callFromThread, self._health, self._event, on_failure)
        self.gauge = Gauge(self._read, self._change, self._queries, self._writer, self._layout, self._cache)
        self._lock: DirectoryLock | None = None
        self.kept = KeptStore(self._read, self._change, self._message, self._queries, self._bodies)
        self.keep_delivered = keep_delivered
        self._unfinished: set[Deferred[None]] = set()
        self._closing = self._closed = False
        self._close_waiters: list[Deferred[None]] = []
        self._renewed_at = -1

    def open(self, watch: bool = False) -> Recovery:
        """Take the directory, recover, and start.  Blocks; call it in the process that goes on (threads do not survive a fork).

        @param watch: fatal signals of this process leave a traceback, and so does a reactor that does not turn (L{alive}).
        @raise SpoolError: it cannot be used; L{twistedrelay.spool.lock.SpoolHeld} where another daemon has it.
        """
        try:
            self._layout.make(self._disk)
            self._lock = DirectoryLock(self._layout.lock)
            self.blame.open(watch)
            self._database.create()
            connection = self._database.open()
            clean = self._database.begin_run()
            recovery = recover(connection, self._disk, self._layout.bodies, clean, self._reactor.seconds())
        except (OSError, sqlite3.Error, SpoolError) as error:
            self._database.disconnect()
            self._release()
            if isinstance(error, SpoolError):
                raise
            raise spool_error(f"cannot open the spool {self._layout.directory}", error) from error
        for part in (self._bodies, self._reader, self._writer):
            part.start()
        self.healthy = True
        self.doubtful = recovery.doubtful
        for level, text in (*notices(recovery), *last_words(self.blame)):
            self._event(level, text)
        return recovery

    def parked(self, lanes: Mapping[str, int]) -> Deferred[dict[str, list[int]]]:
        """See L{ISpool}."""
        return self._read(self._queries.parked, lanes)

    def parked_lanes(self) -> Deferred[list[tuple[str, int]]]:
        """See L{ISpool}."""
        return self._read(self._queries.parked_lanes)

    def statuses(self) -> Deferred[dict[MessageStatus, int]]:
        """See L{ISpool}."""
        return self._read(self._queries.statuses)

    def remembered(self) -> Deferred[dict[str, str]]:
        """See L{ISpool}."""
        return self._read(self._queries.remembered)

    def park(self, ids: Sequence[int], lane: str, until: float) -> Deferred[None]:
        """See L{ISpool}."""
        return self._change(parks=[(number, until, rows.clean(lane)) for number in ids]).addCallback(lambda _: None)

    def set_status(self, ids: Sequence[int], status: MessageStatus, failures: int | None = None, only: int | None = None) -> Deferred[int]:
        """See L{ISpool}."""
        return self._change(statuses=((list(ids), status.value, failures, only),)).addCallback(lambda change: change.found)

    def redirect(self, ids: Sequence[int], to: str) -> Deferred[int]:
        """See L{ISpool}."""
        return self._change(redirects=((list(ids), rows.clean(to) or None),)).addCallback(lambda change: change.found)

    def remember(self, key: str, value: str | None) -> Deferred[None]:
        """See L{ISpool}."""
        return self._change(texts=((rows.clean(key), None if value is None else rows.clean(value)),)).addCallback(lambda _: None)

    def _change(self, **parts: Any) -> Deferred[Change]:
        """Fires with the change once it is durable."""
        if self._closing or self._lock is None:
            return fail(self._refusal())
        made: Deferred[Change] = Deferred()
        change = Change(lambda error: made.callback(change) if error is None else made.errback(copy_of(error)), **parts)
        self._writer.submit(change)
        return made

    def alive(self) -> None:
        """The reactor turns; to be called each second."""
        if not self.blame.alive():
            self._event("warn", "nothing was done for so long that it looked like a defect; was the machine suspended?")

    def close(self) -> Deferred[None]:
        """See L{ISpool}."""
        if self._closed or self._lock is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._close_waiters.append(waiter)
        if not self._closing:
            self._closing = True
            self.healthy = False
            DeferredList(list(self._unfinished)).addCallback(lambda _: self._writer.close(self._writer_ended))
        return waiter

    def _writer_ended(self) -> None:
        """On the reactor thread, behind the last answer: what that asked of the other threads is in their queues."""
        self._bodies.refuse()
        threading.Thread(target=self._wind_up, name="twistedrelay-spool-end", daemon=True).start()

    def _wind_up(self) -> None:
        """In a thread: wait for the others."""
        try:
            self._reader.stop()
            self._queries.close()
            self._bodies.stop()
            self._release()
        finally:
            self._reactor.callFromThread(self._tell_closed)

    def _tell_closed(self) -> None:
        self._closed = True
        for waiter in self._close_waiters:
            waiter.callback(None)

    def _release(self) -> None:
        self.blame.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _health(self, healthy: bool, reason: str) -> None:
        if not self._closing:
            self.healthy = healthy
            self._on_health(healthy, reason)

    def _event(self, level: str, text: str) -> None:
        if self._events is not None:
            self._events.emit(ServiceEvent(level, text))
        else:
            _log.info("{level}: {text}", level=level, text=text)

    def _refusal(self) -> SpoolError:
        sick = self._writer.sick or (None if self._closing else self._writer.was_sick)
        return SpoolError("the spool is closed", reply.LOCAL_ERROR) if sick is None else copy_of(sick)

    def next_id(self) -> int:
        """See L{ISpool}."""
        ids = self._database.ids
        if ids.runs_low() and ids.durable != self._renewed_at:
            self._renewed_at = ids.durable
            self._writer.submit(Change(_unheard))  # any commit renews the reserve
        return ids.take()

    def new_content(self) -> IContentWriter:
        """See L{ISpool}."""
        return cast(IContentWriter, ContentWriter(self._bodies, self._cache, self._inline_limit, self._writer.trouble))

    def _track(self, submitting: Deferred[_T]) -> Deferred[_T]:
        """Something that ends with a change for the writer: L{close} waits for it."""
        over: Deferred[None] = Deferred()
        self._unfinished.add(over)

        def done(result: Any) -> Any:
            self._unfinished.discard(over)
            over.callback(None)
            return result

        return submitting.addBoth(done)

    def store(self, message: Message) -> Deferred[None]:
        """See L{ISpool}."""
        content = cast(ContentWriter, message.content)
        if not self.healthy:
            content.abort()
            return fail(self._refusal())
        if not content.file:
            return self._store(message, content)
        return self._track(content.finish().addCallback(lambda _: self._store(message, content)))

    def _store(self, message: Message, content: ContentWriter) -> Deferred[None]:
        stored: Deferred[None] = Deferred()

        def answer(error: SpoolError | None) -> None:
            if error is None:
                content.stored()
                stored.callback(None)
            else:
                (content.leave if change.unsure else content.gone)()  # a row that is there after all must find its file
                stored.errback(copy_of(error))

        change = Change(answer, taken_out=lambda: self._bodies.remove(content.file))
        try:
            settlement.add_message(change, message, content.file, content.take(partial(self._read_small, message.id)))
        except ValueError as error:
            answer(spool_error("the message cannot be stored", error))
        else:
            self._writer.submit(change)
        return stored

    def record(self, message: Message, outcomes: Sequence[Outcome], reports: Sequence[Message] = ()) -> Deferred[None]:
        """See L{ISpool}."""
        contents = [cast(ContentWriter, report.content) for report in reports] if reports else ()
        if self._closing or self._lock is None:
            for content in contents:
                content.abort()
            return fail(SpoolError("the spool is closed", reply.LOCAL_ERROR))
        recording = Recording(message, contents, self._remove)
        change = recording.change
        # a time that survives a datetime, which those who read on behind it have seen
        settlement.add_result(change, message, outcomes, round(self._reactor.seconds(), 6) if self.keep_delivered else None)
        try:
            for report, content in zip(reports, contents, strict=True):
                settlement.add_message(change, report, content.file, content.take(partial(self._read_small, report.id)))
        except ValueError as error:
            recording.refuse(spool_error("the report cannot be stored", error))
        else:
            self._writer.submit(change)
        return recording.recorded

    def _remove(self, message: Message, kept: bool) -> None:
        content = cast("ContentWriter | StoredContent", message.content)
        content.removed()
        if content.file and not kept:
            self._bodies.remove(content.file)

    def _read(self, work: Callable[..., _T], *arguments: Any) -> Deferred[_T]:
        if self._closing or self._lock is None:
            return fail(SpoolError("the spool is closed", reply.LOCAL_ERROR))
        return deferToThreadPool(self._reactor, self._reader, work, *arguments)

    def _read_small(self, number: int, offset: int, length: int) -> Deferred[bytes]:
        return self._read(self._queries.content, number, offset, length)

    def load(self, ids: Iterable[int]) -> Deferred[list[Message]]:
        """See L{ISpool}."""
        wanted = list(ids)
        return self._read(lambda: [self._message(found) for found in self._queries.load(wanted)]).addCallback(loaded)

    def due(self, before: float, limit: int) -> Deferred[list[tuple[float, int]]]:
        """See L{ISpool}."""
        return self._read(self._queries.due, before, limit)

    def waiting(self, after: tuple[float, int], limit: int) -> Deferred[list[tuple[float, int, str]]]:
        """See L{ISpool}."""
        return self._read(self._queries.waiting, after, limit)

    def browse(self, limit: int, after: int | None = None, query: MessageQuery = EVERYTHING) -> Deferred[MessagePage]:
        """See L{ISpool}."""
        return self._read(self._queries.browse, query, after, limit, self._message)

    def count(self) -> Deferred[int]:
        """See L{ISpool}."""
        return self._read(self._queries.count)

    def _message(self, found: Found) -> Message:
        reader = partial(self._bodies.read, found.file) if found.file else partial(self._read_small, found.id)
        content = StoredContent(found.size, found.data, found.file, reader, self._cache)
        return rows.message_of(found.row, found.recipients, cast(IContent, content))
