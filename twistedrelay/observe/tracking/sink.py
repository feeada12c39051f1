"""The event consumer that tracks messages.

It decides which Exchange event, of which source, an event of the relay is, and which facts go with it; it gathers tuples and nothing else,
for it runs for each message on the reactor.  A thread writes them in batches (L{twistedrelay.observe.batch}): where the disk refuses, as
many events wait as there is room for, then events are lost and counted, which is told once, and mail goes on.  A crash costs the events
of the last half second.

Sources: Exchange Server, "Message tracking" (events and their sources).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.batch import BatchWriter
from twistedrelay.observe.readers import Readers
from twistedrelay.observe.tracking import schema
from twistedrelay.observe.tracking.files import TrackingFiles
from twistedrelay.observe.tracking.find import Page, find
from twistedrelay.observe.tracking.query import TrackingQuery
from twistedrelay.observe.tracking.rows import Entry, Facts
from twistedrelay.observe.tracking.story import story
from twistedrelay.values import events
from twistedrelay.values.envelope import Message, Outcome, OutcomeKind
from twistedrelay.values.route import Route

INTERVAL = 0.5
BATCH = 4000
MOST_WAITING = 100_000

#: Questions that are answered at a time.
READERS = 2

_DAY = 86400.0
_KINDS = {OutcomeKind.DELIVERED: schema.SEND, OutcomeKind.DEFERRED: schema.DEFER, OutcomeKind.FAILED: schema.FAIL}
_EXPIRED = "4.7"  #: the end of the enhanced code of what waited too long


@implementer(IEventSink)
class Tracking:
    """See the module.

    @ivar path: the directory of the files.
    """

    def __init__(
        self,
        clock: IReactorTime,
        files: TrackingFiles,
        in_thread: Callable[..., Deferred[Any]],
        report: Callable[[str], None],
        *,
        subjects: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param report: told of events that are lost.
        @param subjects: whether subjects are kept.
        """
        self.path = files.path
        self._files = files
        self._in_thread = in_thread
        self._readers = Readers(READERS)
        self._subjects = subjects
        self._now = now
        self._writer: BatchWriter[Entry] = BatchWriter(
            clock,
            in_thread,
            files.write,
            report,
            "message tracking",
            interval=INTERVAL,
            batch=BATCH,
            limit=MOST_WAITING,
            again=(sqlite3.OperationalError, OSError),
        )
        self._add = self._writer.add
        self._midnight = 0.0
        self._local: dict[str, str] = {}

    def change(self, max_age: float, max_size: int, subjects: bool) -> None:
        """Other bounds, and whether subjects are kept, from the next event on; what is written stays as it is."""
        self._subjects = self._files.subjects = subjects
        self._files.max_age, self._files.max_size = max_age, max_size

    @property
    def lost(self) -> int:
        """How many events were lost since the start."""
        return self._writer.lost

    def emit(self, event: events.Event) -> None:
        """Take an event."""
        handler = self._HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def flush(self) -> Deferred[None]:
        """Fires when what happened so far is in the files, or could not be written."""
        return self._writer.flush()

    def find(self, query: TrackingQuery, limit: int, cursor: str, newest_first: bool) -> Deferred[Page]:
        """See L{twistedrelay.observe.tracking.find.find}; what has just happened is found, too."""
        return self._read(find, self.path, query, limit, cursor, newest_first=newest_first)

    def story(self, wanted: str) -> Deferred[Page]:
        """See L{twistedrelay.observe.tracking.story.story}; likewise."""
        return self._read(story, self.path, wanted)

    def _read(self, reader: Callable[..., Page], *arguments: Any, **more: Any) -> Deferred[Page]:
        def read(_: None) -> Deferred[Page]:
            return self._in_thread(reader, *arguments, **more)

        def honest(page: Page) -> Page:
            if self._writer.failing:
                page.problems.append("the latest events cannot be written, and are not found; see the log")
            return page

        return self._readers.ask(lambda: self.flush().addCallback(read).addCallback(honest))

    def stop(self, patience: float) -> Deferred[None]:
        """Write the rest.  Fires when it is written, or could not be within so many seconds."""
        return self._writer.stop(self._files.close, patience)

    # -- sessions --------------------------------------------------------------------------------------------------------

    def _connected(self, event: events.Connected) -> None:
        self._local[event.session] = event.local

    def _disconnected(self, event: events.Disconnected) -> None:
        self._local.pop(event.session, None)

    # -- messages --------------------------------------------------------------------------------------------------------

    def _received(self, event: events.Receive) -> None:
        message = event.message
        source = schema.SOURCE_NUMBERS.get(message.origin.source, schema.SMTP)
        facts = self._facts(message)
        self._add((self._now(), schema.RECEIVE, source, message.id, facts, None, _recipients(message), "", "", None, "", 0))

    def _uncertain(self, event: events.ReceiveUncertain) -> None:
        context = "the client did not get its 250, and may send the message again"
        self._about(event.message, schema.AGENTINFO, schema.SMTP, context)

    def _sent(self, event: events.Send) -> None:
        outcome, route, message = event.outcome, event.route, event.message
        kind, reply = _KINDS[outcome.kind], outcome.reply
        source = schema.SMTP
        if kind == schema.SEND:
            if route.kind != "smtp":
                kind, source = schema.DELIVER, schema.STOREDRIVER
        elif not outcome.remote:
            source = _own_source(route, reply.enhanced)
        now = self._now()
        path = ""
        if route.rewrite is not None:
            path = route.rewrite.sender(message.sender).text
            path = "" if path == message.sender.text else path
        context = ""
        if outcome.began or outcome.uncertain or outcome.converted:
            context = _context(outcome, now)
        self._add(
            (
                now,
                kind,
                source,
                message.id,
                self._facts(message) if message.received_at < self._horizon(now) else None,
                (route.connector, event.next_hop, outcome.remote, outcome.tls),
                outcome.recipient.address.text,
                outcome.told,
                path,
                reply,
                context,
                0,
            )
        )

    def _reported(self, event: events.ReportSent) -> None:
        report = event.message
        facts, recipients, about = self._facts(report), _recipients(report), event.about.id
        self._add((self._now(), schema.DSN, schema.BY_DSN, report.id, facts, None, recipients, "", "", None, event.kind, about))

    def _resubmitted(self, event: events.Resubmitted) -> None:
        message = event.message
        facts, recipients = self._facts(message), _recipients(message)
        self._add((self._now(), schema.RESUBMIT, schema.SAFETYNET, message.id, facts, None, recipients, "", "", None, "", event.about))

    def _removed(self, event: events.Removed) -> None:
        """Exchange's FAIL of source ADMIN; its recipients are those that were left."""
        message = event.message
        gone, reply = tuple([each.address.text for each in event.recipients]), event.recipients[0].last_reply
        context = "with NDR" if event.with_ndr else "without NDR"
        now = self._now()
        recipients = gone[0] if len(gone) == 1 else gone
        self._add((now, schema.FAIL, schema.ADMIN, message.id, self._facts(message), None, recipients, "", "", reply, context, 0))

    def _poisoned(self, event: events.Poisoned) -> None:
        self._about(event.message, schema.POISONMESSAGE, schema.POISON, f"failures: {event.failures}")

    def _dropped(self, event: events.Dropped) -> None:
        self._about(event.message, schema.DROP, schema.QUEUE, event.reason)

    def _about(self, message: Message, kind: int, source: int, context: str) -> None:
        """An event of the whole message."""
        facts = self._facts(message)
        self._add((self._now(), kind, source, message.id, facts, None, _recipients(message), "", "", None, context, 0))

    def _facts(self, message: Message) -> Facts:
        origin = message.origin
        local = self._local.get(origin.session, "") if origin.session else ""
        subject = message.subject if self._subjects else ""
        return (message.received_at, message.message_id, message.sender.text, message.content.size, origin, local, subject)

    def _horizon(self, now: float) -> float:
        """What is known of messages from before may not be in the file: it is of this day, or began later."""
        if now - self._midnight >= _DAY or now < self._midnight:
            self._midnight = now - now % _DAY
        horizon = self._files.horizon
        return horizon if horizon > self._midnight else self._midnight

    _HANDLERS: ClassVar[dict[type[events.Event], Callable[[Any, Any], None]]] = {
        events.Connected: _connected,
        events.Disconnected: _disconnected,
        events.Receive: _received,
        events.ReceiveUncertain: _uncertain,
        events.Send: _sent,
        events.ReportSent: _reported,
        events.Resubmitted: _resubmitted,
        events.Removed: _removed,
        events.Poisoned: _poisoned,
        events.Dropped: _dropped,
    }


def make_tracking(
    reactor: Any,
    in_thread: Callable[..., Deferred[Any]],
    settled: Callable[[], float],
    path: str,
    *,
    max_age: float,
    max_size: int,
    subjects: bool,
    report: Callable[[str], None],
) -> Tracking:
    """Tracking to a directory.

    @param settled: the time by which files are too old.
    @param report: told what goes wrong.
    """
    told = lambda text: reactor.callFromThread(report, text)  # noqa: E731
    files = TrackingFiles(path, max_age, max_size, told, reactor.seconds, settled, subjects=subjects)
    return Tracking(reactor, files, in_thread, report, subjects=subjects, now=reactor.seconds)


def _recipients(message: Message) -> str | tuple[str, ...]:
    recipients = message.recipients
    return recipients[0].address.text if len(recipients) == 1 else tuple([each.address.text for each in recipients])


def _context(outcome: Outcome, now: float) -> str:
    """What else is to be said of an attempt."""
    words = ("uncertain" if outcome.uncertain else "", "converted" if outcome.converted else "")
    return " ".join(filter(None, (*words, schema.took(max(0.0, now - outcome.began)) if outcome.began else "")))


def _own_source(route: Route, enhanced: str) -> int:
    """Where a verdict of our own comes from."""
    if enhanced.endswith(_EXPIRED):
        return schema.QUEUE
    return schema.ROUTING if route.delivery_type == "Unreachable" else schema.SMTP
