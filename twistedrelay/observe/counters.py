"""Totals since the start, for C{relayctl status}.

It decides what counts as what; it keeps integers only and never looks at a message's content.  Deliveries are counted per
recipient, as Exchange's message tracking does; messages received are counted per message.
"""

from __future__ import annotations

import attrs
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.events import (
    CommandRefused,
    Connected,
    ConnectionRefused,
    Dropped,
    Event,
    LoggedIn,
    LoginFailed,
    LogonLocked,
    Poisoned,
    Receive,
    ReceiveUncertain,
    Removed,
    ReportSent,
    Resubmitted,
    Send,
    TLSFailed,
    TLSStarted,
)

#: Events that simply count one.
_COUNTED = {
    Connected: "sessions",
    ConnectionRefused: "sessions_refused",
    TLSStarted: "tls_started",
    TLSFailed: "tls_failed",
    LoggedIn: "logins",
    LoginFailed: "logins_failed",
    LogonLocked: "logons_locked",
    CommandRefused: "commands_refused",
    ReceiveUncertain: "receive_uncertain",
    ReportSent: "reports",
    Resubmitted: "resubmitted",
    Poisoned: "poisoned",
    Removed: "removed",
    Dropped: "dropped",
}

_OUTCOMES = {
    OutcomeKind.DELIVERED: "recipients_delivered",
    OutcomeKind.DEFERRED: "recipients_deferred",
    OutcomeKind.FAILED: "recipients_failed",
}


@attrs.define(slots=True)
class Totals:
    """The numbers; the field names are what C{status} shows.

    @ivar received: messages taken into the spool from outside; C{bytes_received} their octets.
    @ivar receive_uncertain: messages whose C{250} may not have reached the client.
    @ivar recipients_deferred: attempts that will be repeated, so one recipient may count several times.
    @ivar resubmitted: messages that the safety net sent again.
    @ivar send_uncertain: attempts that may have delivered without our knowing.
    """

    sessions: int = 0
    sessions_refused: int = 0
    tls_started: int = 0
    tls_failed: int = 0
    logins: int = 0
    logins_failed: int = 0
    logons_locked: int = 0
    commands_refused: int = 0
    received: int = 0
    bytes_received: int = 0
    receive_uncertain: int = 0
    recipients_delivered: int = 0
    recipients_deferred: int = 0
    recipients_failed: int = 0
    send_uncertain: int = 0
    reports: int = 0
    resubmitted: int = 0
    poisoned: int = 0
    removed: int = 0
    dropped: int = 0


@implementer(IEventSink)
class Counters:
    """Adds events up into L{totals}."""

    def __init__(self) -> None:
        self.totals = Totals()

    def emit(self, event: Event) -> None:
        """Count an event."""
        totals = self.totals
        if isinstance(event, Receive):
            totals.received += 1
            totals.bytes_received += event.message.size
        elif isinstance(event, Send):
            self._add(_OUTCOMES[event.outcome.kind])
            if event.outcome.uncertain:
                totals.send_uncertain += 1
        else:
            name = _COUNTED.get(type(event))
            if name is not None:
                self._add(name)

    def _add(self, name: str) -> None:
        setattr(self.totals, name, getattr(self.totals, name) + 1)

    def as_dict(self) -> dict[str, int]:
        """The totals by name."""
        return attrs.asdict(self.totals)
