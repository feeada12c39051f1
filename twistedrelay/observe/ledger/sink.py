"""The event consumer that keeps the ledger.

It decides to which row of the ledger each session, message and refusal belongs, and adds them up in memory; every L{INTERVAL} seconds the
rows that changed go to a thread (L{twistedrelay.observe.batch}).  A message costs a few additions on the reactor and nothing on the disk.
Memory is bounded: a client with too many names, or too many clients, add to a row that stands for others.  Where the disk refuses, rows
wait as far as there is room, then they are lost, which is told once; a crash costs the last seconds.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.batch import BatchWriter
from twistedrelay.observe.ledger.file import EVERYTHING, LedgerFile, LedgerQuery, Page
from twistedrelay.observe.ledger.row import MOST_DOMAINS, Key, Row, client_of, crowd, network, others
from twistedrelay.observe.ledger.schema import FILE
from twistedrelay.observe.ledger.store import MOST_OF_CLIENT, LedgerStore
from twistedrelay.observe.readers import Readers
from twistedrelay.values import events
from twistedrelay.values.usage import Usage

INTERVAL = 5.0
MOST_ROWS = 10_000  #: in memory, that changed since they were last written
MOST_WAITING = 50_000  #: that could not be written yet
MOST_SESSIONS = 200_000
MOST_RECIPIENTS = 1000  #: of a message, whose domains are looked at

#: Questions that are answered at a time.
READERS = 2

#: Rows that one question may bring.
MOST_ANSWERED = 50_000


class _Session:
    """A session in progress.

    @ivar row: where its last message went; it is good as long as C{rows} are those that are gathered now.
    @ivar counted: the rows that it was counted in.
    """

    __slots__ = ("cipher", "client", "connector", "counted", "domain", "helo", "local", "row", "rows", "tls", "user")

    def __init__(self, connector: str, client: str, local: str) -> None:
        self.connector = connector
        self.client = client
        self.local = local
        self.helo = self.user = self.domain = self.tls = self.cipher = ""
        self.row: Row | None = None
        self.rows: dict[Key, Row] | None = None
        self.counted: set[Key] = set()


@implementer(IEventSink)
class Ledger:
    """See the module.

    @ivar own: C{"address:port"} of connections that the relay itself makes to its listeners, which are no use of it; threads add to it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: LedgerStore,
        in_thread: Callable[..., Deferred[Any]],
        report: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param in_thread: calls a function in a thread, C{deferToThread}'s way.
        @param report: told of what is lost.
        """
        self._clock = clock
        self._store = store
        self._in_thread = in_thread
        self._now = now
        self._writer: BatchWriter[Row] = BatchWriter(
            clock,
            in_thread,
            store.write,
            report,
            "the ledger",
            interval=INTERVAL,
            batch=MOST_WAITING,
            limit=MOST_WAITING,
            again=(sqlite3.OperationalError, OSError),
        )
        self._readers = Readers(READERS)
        self._sessions: dict[str, _Session] = {}
        self._ended: dict[str, _Session] = {}  # lately: a message may be committed behind the end of its session
        self._ended_before: dict[str, _Session] = {}
        self._rows: dict[Key, Row] = {}
        self._clients: dict[tuple[str, str], int] = {}
        self._call: IDelayedCall | None = None
        self._stopped = False
        self.own: set[str] = set()

    @property
    def lost(self) -> int:
        """How many rows were lost since the start."""
        return self._writer.lost

    def emit(self, event: events.Event) -> None:
        """Take an event."""
        handler = self._HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    # -- sessions --------------------------------------------------------------------------------------------------------

    def _connected(self, event: events.Connected) -> None:
        # The kernel says who a peer is, and who speaks for one by PROXY or XCLIENT: no stranger can pass for the relay.
        if event.peer in self.own or event.proxy.partition(" ")[0] in self.own:
            return
        if len(self._sessions) < MOST_SESSIONS:
            self._sessions[event.session] = _Session(event.connector, client_of(event.peer), event.local)

    def _turned_away(self, event: events.ConnectionRefused) -> None:
        if event.peer in self.own:
            return
        client = client_of(event.peer)
        session = _Session(event.connector, client if event.connector else network(client), "")
        self._row(session).refusals += 1

    def _tls(self, event: events.TLSStarted) -> None:
        session = self._sessions.get(event.session)
        if session is not None:
            session.tls, session.cipher, session.row = event.version, event.cipher, None

    def _logged_in(self, event: events.LoggedIn) -> None:
        session = self._sessions.get(event.session)
        if session is not None:
            session.user, session.row = event.user, None

    def _login_failed(self, event: events.LoginFailed) -> None:
        session = self._sessions.get(event.session)
        if session is not None and not event.temporary:
            self._row(session).refusals += 1

    def _refused(self, event: events.CommandRefused) -> None:
        session = self._sessions.get(event.session)
        if session is None:
            return
        session.helo, session.row = event.helo, None
        sender = event.command[11:-1] if event.command.startswith("MAIL FROM:<") else event.sender
        if "@" in sender:
            session.domain = sender.rpartition("@")[2].lower()
        self._row(session).refusals += 1

    def _disconnected(self, event: events.Disconnected) -> None:
        session = self._sessions.pop(event.session, None)
        if session is None:
            return
        if not session.counted:
            session.helo = event.helo
            self._row(session)
        self._ended[event.session] = session

    # -- messages --------------------------------------------------------------------------------------------------------

    def _received(self, event: events.Receive) -> None:
        message = event.message
        origin = message.origin
        session = self._sessions.get(origin.session) or self._late(origin.session)
        if session is None:
            return
        domain = message.sender.domain
        row = session.row
        if row is None or session.rows is not self._rows or session.domain != domain or session.helo != origin.helo:
            session.domain, session.helo = domain, origin.helo
            row = self._row(session)
        if message.received_at > row.last:
            row.last = message.received_at
        row.messages += 1
        row.size += message.content.size
        recipients = message.recipients
        row.recipients += len(recipients)
        domains = row.domains
        for recipient in recipients if len(recipients) == 1 else itertools.islice(recipients, MOST_RECIPIENTS):
            domain = recipient.address.domain
            if domain not in domains and len(domains) < MOST_DOMAINS:
                domains[domain] = None

    def _late(self, session: str) -> _Session | None:
        return self._ended.get(session) or self._ended_before.get(session)

    # -- rows ------------------------------------------------------------------------------------------------------------

    def _row(self, session: _Session) -> Row:
        """The row for what a session does now."""
        rows = self._rows
        key = (session.connector, session.client, session.helo, session.user, session.domain, session.tls, session.cipher)
        row = rows.get(key)
        if row is None:
            row = self._new(key, session.local)
        now = self._now()
        if now > row.last:
            row.last = now
        session.row, session.rows = row, rows
        counted = session.counted
        if row.key not in counted and len(counted) < MOST_OF_CLIENT:
            row.sessions += 1
            counted.add(row.key)
        return row

    def _new(self, key: Key, local: str) -> Row:
        """A new row, or where there is no room that of others."""
        rows, client = self._rows, key[:2]
        count = self._clients.get(client, 0)
        folded = count >= MOST_OF_CLIENT or len(rows) >= MOST_ROWS
        if folded:
            key = others(key) if len(rows) < MOST_ROWS else crowd(key)
        row = rows.get(key)
        if row is None:
            self._clients[client] = count + 1
            row = rows[key] = Row(key, local, self._now())
            if self._call is None and not self._stopped:
                self._call = self._clock.callLater(INTERVAL, self._due)
        row.folded += folded
        return row

    def _due(self) -> None:
        self._call = None
        self._hand_over()

    def _hand_over(self) -> Deferred[None]:
        """Let what came together be written; fires when it is, or could not be."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        rows, self._rows, self._clients = self._rows, {}, {}
        self._ended_before, self._ended = self._ended, {}
        add = self._writer.add
        for row in rows.values():
            add(row)
        return self._writer.flush()

    def change(self, max_age: float) -> None:
        """Keep rows for so many seconds from now on."""
        self._store.max_age = max_age

    def stop(self, patience: float) -> Deferred[None]:
        """Write the rest.  Fires when it is written, or could not be within so many seconds."""
        self._stopped = True
        for session in self._sessions.values():
            if not session.counted:
                self._row(session)
        self._hand_over()
        return self._writer.stop(self._store.close, patience)

    # -- questions -------------------------------------------------------------------------------------------------------

    def page(self, query: LedgerQuery, limit: int, after: int = 0) -> Deferred[Page]:
        """See L{LedgerFile.page}; what has just happened is found, too.  Fails with L{sqlite3.Error}."""
        return self.read(lambda file: file.page(query, limit, after))

    def rows(self, query: LedgerQuery = EVERYTHING, limit: int = MOST_ANSWERED) -> Deferred[list[Usage]]:
        """See L{LedgerFile.rows}; likewise."""
        return self.read(lambda file: file.rows(query, limit))

    def usage(self, since: float) -> Deferred[Sequence[Usage]]:
        """The clients that were seen since a time, the latest first."""
        return self.read(lambda file: file.rows(LedgerQuery(since=since), MOST_ANSWERED))

    def read(self, work: Callable[[LedgerFile], Any]) -> Deferred[Any]:
        """What a function makes of the file, in a thread."""

        def read(_: None) -> Deferred[Any]:
            return self._in_thread(work, LedgerFile(self._store.path))

        return self._readers.ask(lambda: self._hand_over().addCallback(read))

    _HANDLERS: ClassVar[dict[type[events.Event], Callable[[Any, Any], None]]] = {
        events.Connected: _connected,
        events.ConnectionRefused: _turned_away,
        events.TLSStarted: _tls,
        events.LoggedIn: _logged_in,
        events.LoginFailed: _login_failed,
        events.CommandRefused: _refused,
        events.Disconnected: _disconnected,
        events.Receive: _received,
    }


def make_ledger(
    reactor: Any,
    in_thread: Callable[..., Deferred[Any]],
    settled: Callable[[], float],
    directory: str,
    max_age: float,
    tell: Callable[[events.ServiceEvent], None],
    noticed: Callable[[str], bool],
) -> Ledger:
    """A ledger in a state directory.

    @param settled: the time by which rows are too old.
    @param tell: told of what is lost, and of new clients.
    @param noticed: whether new clients of a connector are told of.
    """

    def later(event: events.ServiceEvent) -> None:
        reactor.callFromThread(tell, event)

    store = LedgerStore(os.path.join(directory, FILE), max_age, later, noticed, reactor.seconds, settled)
    return Ledger(reactor, store, in_thread, lambda text: tell(events.ServiceEvent("warn", text, "logs_lost")), reactor.seconds)
