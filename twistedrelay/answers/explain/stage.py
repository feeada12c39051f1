"""Where sessions are rehearsed: the relay's own factories and rules, with nothing behind them that could be changed.

Made from a configuration alone, or from the parts of a running relay, whose counts, rates and locks are looked at and never touched.
Nothing is stored, sent, logged or counted by a rehearsal.
"""

from __future__ import annotations

import copy
import datetime
import functools
from typing import Any

from OpenSSL import SSL
from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from zope.interface import implementer

from twistedrelay.answers.explain.logins import Believer, Find, Verifiers
from twistedrelay.answers.explain.transport import Handshakes
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.interfaces import ICertificates, IEventSink
from twistedrelay.net.buffers import Buffers
from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory, Reception
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.checkers import AnonymousChecker
from twistedrelay.policy.connector import ConnectorTable, ListeningBinding
from twistedrelay.policy.lockout import Lock, Lockout
from twistedrelay.policy.pressure import BackPressure
from twistedrelay.policy.realm import RelayRealm
from twistedrelay.policy.throttle import ConnectionCounts, ConnectionRate, MessageRates
from twistedrelay.tls.pem import pair_of
from twistedrelay.tls.selfsigned import self_signed
from twistedrelay.tls.serverside import server_context, wants_rsa
from twistedrelay.values.envelope import Message
from twistedrelay.values.events import Event
from twistedrelay.values.netrange import IPAddress


class LookingRates(MessageRates):
    """Says what another one would, and counts nothing."""

    def __init__(self, rates: MessageRates, clock: Any) -> None:
        super().__init__(clock)
        self._rates = rates

    def admit(self, name: str, connector: ReceiveConnector, peer: IPAddress, login: str, sender: str) -> str | None:
        """As if one more came."""
        limit = connector.message_rate_limit
        over = limit is not None and self._rates.counted(name, connector, peer, login, sender) >= limit
        return "message_rate_limit" if over else None


class LookingLockout(Lockout):
    """The same for logons."""

    def __init__(self, lockout: Lockout) -> None:
        self._lockout = lockout

    def is_locked(self, peer: IPAddress, name: str) -> bool:
        """As it is."""
        return self._lockout.is_locked(peer, name)

    def failed(self, peer: IPAddress, name: str) -> Lock | None:
        """Nothing is counted."""
        return None

    def succeeded(self, peer: IPAddress, name: str) -> None:
        """Nothing is forgotten."""


class Nowhere:
    """Content and spool of a message that never comes; C{healthy} is the real spool's."""

    size = 0

    def __init__(self, healthy: bool = True) -> None:
        self.healthy = healthy

    def next_id(self) -> int:
        """No message."""
        return 0

    def new_content(self) -> Nowhere:
        """No content."""
        return self

    def unwritten(self) -> int:
        """Nothing."""
        return 0

    def abort(self) -> None:
        """Nothing was written."""


@implementer(IEventSink)
class Told(list[Event]):
    """What the session told."""

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        self.append(event)


@implementer(ICertificates)
class Passing:
    """Contexts with the versions and ciphers of each connector, and a certificate that is nobody's."""

    def __init__(self) -> None:
        self._contexts: dict[int, tuple[ReceiveConnector, SSL.Context]] = {}

    def server_context(self, connector: Any) -> SSL.Context:
        """See L{ICertificates.server_context}."""
        known = self._contexts.get(id(connector))
        if known is None:
            known = self._contexts[id(connector)] = connector, server_context(_pair(wants_rsa(connector)), "rehearsal", connector)
        return known[1]


@functools.cache
def _pair(old_clients: bool) -> Any:
    certificate, key = self_signed("rehearsal.invalid", datetime.datetime.now(datetime.UTC), old_clients)
    return pair_of([certificate], key, (), "rehearsal", "rehearsal")


def nothing(message: Message) -> None:
    """No message is sent on."""


class Stage:
    """See the module.

    @ivar told: what the sessions told.
    @ivar handshakes: those that were done.
    @ivar clock: stands still, but for the delays of the relay.
    """

    def __init__(self, config: Config, acceptance: Acceptance, find: Find, now: float, running: Reception | None = None) -> None:
        """
        @param find: whom a login name means.
        @param running: of the relay that runs with this configuration.
        """
        self.config = config
        self.acceptance = acceptance
        self.clock = Clock()
        self.clock.advance(now)
        self.told = Told()
        self.handshakes: Handshakes = {}
        self.table = ConnectorTable(config)
        clock: Any = self.clock
        portal = Portal(RelayRealm(config, acceptance), [Believer(find), AnonymousChecker()])
        spool: Any = Nowhere(running is None or running.spool.healthy)
        buffers = Buffers(config.server.max_buffered_size)
        if running is not None:
            buffers.used, buffers.full = running.buffers.used, running.buffers.full
        certificates = Passing() if running is None else running.certificates
        counts = ConnectionCounts(config.server.max_connections) if running is None else running.counts.copied()
        self.reception = Reception(
            hostname=config.server.fqdn,
            clock=clock,
            portal=portal,
            users=Verifiers(),
            lockout=LookingLockout(running.lockout) if running is not None else Lockout(clock, config.server),
            acceptance=acceptance,
            counts=counts,
            rates=LookingRates(running.rates if running is not None else MessageRates(clock), clock),
            certificates=certificates,
            spool=spool,
            events=self.told,
            buffers=buffers,
            submit=nothing,
            pressure=BackPressure() if running is None else copy.copy(running.pressure),
            connection_rate=ConnectionRate() if running is None else copy.copy(running.connection_rate),
        )
        self._sites = {name: ConnectorFactory(name, connector) for name, connector in config.receive_connectors.items()}
        self._factories: dict[ListeningBinding, ESMTPFactory] = {}

    def factory(self, binding: ListeningBinding) -> ESMTPFactory:
        """The sessions of a binding."""
        known = self._factories.get(binding)
        if known is None:
            known = self._factories[binding] = ESMTPFactory(binding, self.table, self._sites, self.reception)
        return known

    def site(self, name: str) -> ConnectorFactory:
        """A receive connector."""
        return self._sites[name]

    def take(self) -> list[Event]:
        """What was told since the last time."""
        told = list(self.told)
        self.told.clear()
        return told
