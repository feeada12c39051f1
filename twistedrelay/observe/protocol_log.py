"""The protocol log: what was said in the sessions of those receive connectors that ask for it.

It decides how a session's dialogue and events read in Exchange's format: a line of comma-separated values for each line that was said
and for each thing that happened, with the session's number and its own.  What may be said at all, C{wire.traced} has decided: no secret
and no content of a message comes this far.

Lines are gathered, and written by a thread, one batch at a time.  Where the disk is too slow or refuses, lines are lost and counted, and
sessions go on.  Connectors without protocol logging cost a search in a dictionary for each event, and nothing for each line.

Source: Exchange Server, "Protocol logging" (fields, events).
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twistedrelay import __version__
from twistedrelay.interfaces import IEventSink, IProtocolLog
from twistedrelay.observe.batch import BatchWriter
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.values import events
from twistedrelay.values.printable import escape

#: Seconds that a line may wait for company.
FLUSH_INTERVAL = 1.0

#: Lines that go to the disk without waiting.
BATCH = 500

#: Lines in memory at most; what comes then is lost.
MAX_WAITING = 10_000

#: Longest text of one value.
MAX_TEXT = 2000

FIELDS = "date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"


@attrs.define(slots=True, eq=False)
class _Session:
    """What is the same in all lines of a session, and how many there were."""

    identity: str
    session: str
    local: str
    remote: str
    count: int = 0


#: Time, session, sequence number, event, data, context.
_Row = tuple[float, _Session, int, str, str, str]


def heading(now: float) -> str:
    """The lines that each file begins with."""
    date = _timestamp(now)
    log_type = "SMTP Receive Protocol Log"
    return f"#Software: twistedrelay\n#Version: {__version__}\n#Log-type: {log_type}\n#Date: {date}\n#Fields: {FIELDS}\n"


def _timestamp(when: float) -> str:
    """In UTC with milliseconds: C{2026-11-22T06:30:15.123Z}."""
    return datetime.datetime.fromtimestamp(when, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _value(text: str) -> str:
    """A value among commas, without anything that could end its line (RFC 4180)."""
    text = escape(text[:MAX_TEXT])
    return '"' + text.replace('"', '""') + '"' if any(character in text for character in ',"') else text


def _line(row: _Row) -> str:
    when, session, number, event, data, context = row
    where = f"{_value(session.identity)},{session.session},{number},{session.local},{session.remote}"
    return f"{_timestamp(when)},{where},{event},{_value(data)},{_value(context)}\n"


@implementer(IEventSink, IProtocolLog)
class ProtocolLog:
    """The log of all sessions of some receive connectors.

    @param connectors: the names of those connectors.
    @param server: the server's name, for C{SERVER\\Connector}.
    @param in_thread: calls a function in a thread, C{deferToThread}'s way.
    @param report: told when lines are lost, once until lines are written again.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: LogDirectory,
        connectors: Collection[str],
        server: str,
        in_thread: Callable[..., Deferred[None]],
        report: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._connectors = frozenset(connectors)
        self._server = server
        self._now = now
        self._sessions: dict[str, _Session] = {}
        self._writer = BatchWriter(
            clock, in_thread, self._write_rows, report, "the protocol log", interval=FLUSH_INTERVAL, batch=BATCH, limit=MAX_WAITING
        )

    def tracer(self, session: str) -> Callable[[str, str], None] | None:
        """See L{IProtocolLog}."""
        known = self._sessions.get(session)
        if known is None:
            return None
        add = self._add
        return lambda event, text: add(known, event, text)

    def emit(self, event: events.Event) -> None:
        """Take an event."""
        kind = type(event)
        if kind in self._ROWS:
            assert isinstance(event, events.SessionEvent)
            session = self._sessions.get(event.session)
            if session is not None:
                self._ROWS[kind](self, session, event)
        elif kind is events.Connected or kind is events.ConnectionRefused:
            if event.connector in self._connectors:  # type: ignore[attr-defined]
                self._begin(event)
        elif kind is events.Receive:
            message = event.message  # type: ignore[attr-defined]
            session = self._sessions.get(message.origin.session)
            if session is not None:
                self._add(session, "*", str(message.id), "message queued")

    def _begin(self, event: Any) -> None:
        local = getattr(event, "local", "")
        session = _Session(f"{self._server}\\{event.connector}", event.session, local, event.peer)
        self._add(session, "+")
        if type(event) is events.Connected:
            self._sessions[event.session] = session
        else:
            self._add(session, ">", str(event.reply))
            self._add(session, "-", context=event.limit)

    def _permissions(self, session: _Session, event: events.PermissionsSet) -> None:
        self._add(session, "*", " ".join(event.rights) or "None", "Set Session Permissions")

    def _tls_started(self, session: _Session, event: events.TLSStarted) -> None:
        self._add(session, "*", context=f"TLS protocol {event.version} negotiation succeeded using {event.cipher}")

    def _tls_failed(self, session: _Session, event: events.TLSFailed) -> None:
        self._add(session, "*", context=f"TLS negotiation failed: {event.reason}")

    def _logged_in(self, session: _Session, event: events.LoggedIn) -> None:
        self._add(session, "*", event.user, "authenticated")

    def _login_failed(self, session: _Session, event: events.LoginFailed) -> None:
        self._add(session, "*", event.user, f"Inbound authentication failed with {event.mechanism}: {event.reason}")

    def _refused(self, session: _Session, event: events.CommandRefused) -> None:
        if event.reason:
            self._add(session, "*", context=f"refused: {event.reason}")

    def _disconnected(self, session: _Session, event: events.Disconnected) -> None:
        self._add(session, "-", context=event.reason)
        del self._sessions[event.session]

    _ROWS: ClassVar[Mapping[type[events.Event], Callable[[Any, _Session, Any], None]]] = {
        events.PermissionsSet: _permissions,
        events.TLSStarted: _tls_started,
        events.TLSFailed: _tls_failed,
        events.LoggedIn: _logged_in,
        events.LoginFailed: _login_failed,
        events.CommandRefused: _refused,
        events.Disconnected: _disconnected,
    }

    # -- lines to the disk -----------------------------------------------------------------------------------------------

    def _add(self, session: _Session, event: str, data: str = "", context: str = "") -> None:
        number = session.count
        session.count = number + 1
        self._writer.add((self._now(), session, number, event, data, context))

    def _write_rows(self, rows: list[_Row]) -> None:
        """In the thread."""
        self._directory.append("".join([_line(row) for row in rows]))

    def stop(self) -> Deferred[None]:
        """Write what waits.  Fires when it is written; sessions must be over."""
        return self._writer.stop().addCallback(lambda _: self._directory.close())
