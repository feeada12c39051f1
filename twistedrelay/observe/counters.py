"""Totals since the start, for C{relayctl status}, and the same told apart by their labels, for the metrics.

It decides what counts as what; it keeps integers only and never looks at a message's content.  Deliveries are counted per
recipient, as Exchange's message tracking does; messages received are counted per message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.tallies import OTHER, Tallies
from twistedrelay.values import events
from twistedrelay.values.envelope import OutcomeKind

#: The commands that are told apart where they are refused; C{end of data} is what follows the final dot.
_COMMANDS = frozenset(
    ("MAIL", "RCPT", "DATA", "BDAT", "END", "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "XCLIENT", "VRFY", "RSET", "NOOP", "QUIT", "HELP")
)


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
    """Adds events up into L{totals} and L{tallies}.

    @param now: the time of day, which messages have as that of their receipt.
    @ivar replies_by_connector: see L{replies}.
    @ivar losers: see L{watch_lost}.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.totals = Totals()
        self.tallies = Tallies()
        self.replies_by_connector: dict[str, dict[int, int]] = {}
        self.losers: dict[str, Callable[[], int]] = {}
        self._now = now

    def emit(self, event: events.Event) -> None:
        """Count an event."""
        count = self._COUNT.get(type(event))
        if count is not None:
            count(self, event)

    def replies(self, connector: str) -> dict[int, int]:
        """Where the sessions of a receive connector count their replies, by code; the same one whenever it is asked for."""
        return self.replies_by_connector.setdefault(connector, {})

    def watch_lost(self, what: str, lost: Callable[[], int]) -> None:
        """Records of something may be lost.

        @param what: of what, as a label: C{"tracking"}.
        @param lost: how many were since the start; called when somebody asks.
        """
        self.losers[what] = lost

    def as_dict(self) -> dict[str, int]:
        """The totals by name."""
        return attrs.asdict(self.totals)

    # -- sessions --------------------------------------------------------------------------------------------------------

    def _connected(self, event: events.Connected) -> None:
        self.totals.sessions += 1
        self.tallies.sessions.add(event.connector)

    def _connection_refused(self, event: events.ConnectionRefused) -> None:
        self.totals.sessions_refused += 1
        self.tallies.refused.add((event.connector, event.limit))

    def _disconnected(self, event: events.Disconnected) -> None:
        tallies = self.tallies
        tallies.closed.add((event.connector, event.reason))
        tallies.session_seconds.observe(event.seconds)

    def _tls_started(self, event: events.TLSStarted) -> None:
        self.totals.tls_started += 1
        self.tallies.tls.add((event.connector, event.version, event.cipher))
        if event.seconds:
            self.tallies.handshakes.observe(event.seconds)

    def _tls_failed(self, event: events.TLSFailed) -> None:
        self.totals.tls_failed += 1
        self.tallies.tls_failed.add(event.connector)

    def _logged_in(self, event: events.LoggedIn) -> None:
        self.totals.logins += 1
        self.tallies.logins.add((event.connector, event.mechanism, "success"))

    def _login_failed(self, event: events.LoginFailed) -> None:
        self.totals.logins_failed += 1
        self.tallies.logins.add((event.connector, event.mechanism, "unknown" if event.temporary else "failure"))

    def _logon_locked(self, event: events.LogonLocked) -> None:
        self.totals.logons_locked += 1
        self.tallies.locks.add(event.limit)

    def _command_refused(self, event: events.CommandRefused) -> None:
        self.totals.commands_refused += 1
        command = event.command.split(" ", 1)[0].upper()
        self.tallies.refused_commands.add((event.connector, command if command in _COMMANDS else OTHER, str(event.reply.code)))

    # -- messages --------------------------------------------------------------------------------------------------------

    def _receive(self, event: events.Receive) -> None:
        totals, tallies, message = self.totals, self.tallies, event.message
        size, connector = message.size, message.origin.connector
        totals.received += 1
        totals.bytes_received += size
        tallies.received.add(connector)
        tallies.received_octets.add(connector, size)

    def _receive_uncertain(self, event: events.ReceiveUncertain) -> None:
        self.totals.receive_uncertain += 1

    def _send(self, event: events.Send) -> None:
        totals, tallies, outcome = self.totals, self.tallies, event.outcome
        kind, connector = outcome.kind, event.route.connector
        if outcome.uncertain:
            totals.send_uncertain += 1
        if kind is OutcomeKind.DELIVERED:
            message = event.message
            totals.recipients_delivered += 1
            tallies.delivered_octets.add(connector, message.size)
            tallies.latency.observe(self._now() - message.received_at)
            tallies.outcomes.add((connector, "delivered", "250"))
            return
        if kind is OutcomeKind.DEFERRED:
            totals.recipients_deferred += 1
        else:
            totals.recipients_failed += 1
        tallies.outcomes.add((connector, kind.value, str(outcome.reply.code)))

    def _report_sent(self, event: events.ReportSent) -> None:
        self.totals.reports += 1
        self.tallies.reports.add(event.kind)

    def _resubmitted(self, event: events.Resubmitted) -> None:
        self.totals.resubmitted += 1

    def _poisoned(self, event: events.Poisoned) -> None:
        self.totals.poisoned += 1

    def _removed(self, event: events.Removed) -> None:
        self.totals.removed += 1

    def _dropped(self, event: events.Dropped) -> None:
        self.totals.dropped += 1

    # -- the rest --------------------------------------------------------------------------------------------------------

    def _connectivity(self, event: events.Connectivity) -> None:
        self.tallies.connections_out.add(event.what)
        if event.what == "connected":
            version, _, cipher = event.detail.partition(" ")
            self.tallies.tls_out.add((version, cipher) if version != "clear" else ("none", ""))

    def _service(self, event: events.ServiceEvent) -> None:
        self.tallies.notices.add(event.level)

    _COUNT: ClassVar[Mapping[type[events.Event], Callable[[Any, Any], None]]] = {
        events.Connected: _connected,
        events.ConnectionRefused: _connection_refused,
        events.Disconnected: _disconnected,
        events.TLSStarted: _tls_started,
        events.TLSFailed: _tls_failed,
        events.LoggedIn: _logged_in,
        events.LoginFailed: _login_failed,
        events.LogonLocked: _logon_locked,
        events.CommandRefused: _command_refused,
        events.Receive: _receive,
        events.ReceiveUncertain: _receive_uncertain,
        events.Send: _send,
        events.ReportSent: _report_sent,
        events.Resubmitted: _resubmitted,
        events.Poisoned: _poisoned,
        events.Removed: _removed,
        events.Dropped: _dropped,
        events.Connectivity: _connectivity,
        events.ServiceEvent: _service,
    }
