"""The protocol log: what was said in the sessions of those receive connectors that ask for it.

It decides how a session's events read among the lines of its dialogue; the format is decided by C{protocol_rows}.
What may be said at all, C{wire.traced} has decided: no secret and no content of a message comes this far.

Connectors without protocol logging cost a search in a dictionary for each event, and nothing for each line (but in sessions that may become
those of another connector, by XCLIENT).

Source: Exchange Server, "Protocol logging" (fields, events).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink, IProtocolLog
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_rows import FIELDS, Rows, Session, begins
from twistedrelay.values import events


def heading(now: float) -> str:
    """The lines that each file begins with."""
    return begins("SMTP Receive Protocol Log", FIELDS, now)


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
        self._connectors = frozenset(connectors)
        self._server = server
        self._sessions: dict[str, Session] = {}
        self._last: Session | None = None  # that ended
        self._rows = Rows(clock, directory, in_thread, report, now, "the protocol log")
        self._add = self._rows.add

    @property
    def lost(self) -> int:
        """How many lines were lost since the start."""
        return self._rows.lost

    def change(self, connectors: Collection[str], server: str) -> None:
        """Other connectors ask for it from now on; sessions that are in it stay in it to their end."""
        self._connectors, self._server = frozenset(connectors), server

    def tracer(self, session: str, may_change: bool = False) -> Callable[[str, str], None] | None:
        """See L{IProtocolLog}."""
        if session not in self._sessions and not (may_change and self._connectors):
            return None
        add, sessions = self._add, self._sessions

        def said(event: str, text: str) -> None:
            known = sessions.get(session)
            if known is not None:
                add(known, event, text)

        return said

    def emit(self, event: events.Event) -> None:
        """Take an event."""
        kind = type(event)
        if kind in self._ROWS:
            assert isinstance(event, events.SessionEvent)
            session = self._sessions.get(event.session)
            if session is not None:
                self._ROWS[kind](self, session, event)
        elif kind is events.Connected or kind is events.ConnectionRefused:
            # A session under way that is turned away, since by XCLIENT it became another client's, says so by itself.
            if event.connector in self._connectors and event.session not in self._sessions:  # type: ignore[attr-defined]
                self._begin(event)
        elif kind is events.Receive:
            message = event.message  # type: ignore[attr-defined]
            session = self._sessions.get(message.origin.session)
            if session is not None:
                self._add(session, "*", str(message.id), "message queued")

    def _begin(self, event: Any) -> None:
        local = getattr(event, "local", "")
        last = self._last
        count = last.count if last is not None and last.session == event.session else 0  # XCLIENT: the dialogue goes on
        session = Session(f"{self._server}\\{event.connector}", event.session, local, event.peer, count)
        self._add(session, "+")
        if type(event) is events.Connected:
            self._sessions[event.session] = session
        else:
            self._add(session, ">", str(event.reply))
            self._add(session, "-", context=event.limit)

    def _permissions(self, session: Session, event: events.PermissionsSet) -> None:
        self._add(session, "*", " ".join(event.rights) or "None", "Set Session Permissions")

    def _tls_started(self, session: Session, event: events.TLSStarted) -> None:
        self._add(session, "*", context=f"TLS protocol {event.version} negotiation succeeded using {event.cipher}")

    def _tls_failed(self, session: Session, event: events.TLSFailed) -> None:
        self._add(session, "*", context=f"TLS negotiation failed: {event.reason}")

    def _logged_in(self, session: Session, event: events.LoggedIn) -> None:
        self._add(session, "*", event.user, "authenticated")

    def _login_failed(self, session: Session, event: events.LoginFailed) -> None:
        self._add(session, "*", event.user, f"Inbound authentication failed with {event.mechanism}: {event.reason}")

    def _refused(self, session: Session, event: events.CommandRefused) -> None:
        if event.reason:
            self._add(session, "*", context=f"refused: {event.reason}")

    def _disconnected(self, session: Session, event: events.Disconnected) -> None:
        self._add(session, "-", context=event.reason)
        self._last = self._sessions.pop(event.session)

    _ROWS: ClassVar[Mapping[type[events.Event], Callable[[Any, Session, Any], None]]] = {
        events.PermissionsSet: _permissions,
        events.TLSStarted: _tls_started,
        events.TLSFailed: _tls_failed,
        events.LoggedIn: _logged_in,
        events.LoginFailed: _login_failed,
        events.CommandRefused: _refused,
        events.Disconnected: _disconnected,
    }

    def flush(self) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or could not be."""
        return self._rows.flush()

    def stop(self, patience: float) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or that takes too long; sessions must be over."""
        return self._rows.stop(patience)
