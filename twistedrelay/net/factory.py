"""The factories of the listeners: one L{ESMTPFactory} per binding, holding one L{ConnectorFactory} per receive connector.

Which connector a session belongs to depends on the address it came in on as well as on the peer's, and Twisted tells the former only
when the connection is made; so the protocol asks L{ESMTPFactory.choose} then.

Source: Exchange Server, "Receive connectors" (local and remote addresses), Set-ReceiveConnector (Banner, Fqdn).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs
from twisted.cred.portal import Portal
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.interfaces import ICertificates, IEventSink, ISpool, IUsers
from twistedrelay.net.esmtp import ESMTP
from twistedrelay.net.login import sasl_mechanisms
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.connector import ConnectorTable, ListeningBinding
from twistedrelay.policy.lockout import Lockout
from twistedrelay.policy.throttle import ConnectionCounts, MessageRates
from twistedrelay.policy.trace import rfc5322_date
from twistedrelay.values.envelope import Message
from twistedrelay.values.netrange import IPAddress
from twistedrelay.values.reply import Reply
from twistedrelay.wire.settings import ServerSettings

if TYPE_CHECKING:
    from twistedrelay.net.conversation import Conversation


@attrs.frozen(slots=True, eq=False)
class Reception:
    """What all sessions of a relay share; injected by the composition root.

    @ivar hostname: the server's own name, which the reply to a message shows.
    @ivar submit: takes a message that was committed to the spool.
    """

    hostname: str
    clock: IReactorTime
    portal: Portal
    users: IUsers
    lockout: Lockout
    acceptance: Acceptance
    counts: ConnectionCounts
    rates: MessageRates
    certificates: ICertificates
    spool: ISpool
    events: IEventSink
    submit: Callable[[Message], None]


@attrs.frozen(slots=True, eq=False)
class ConnectorFactory:
    """One receive connector, as sessions need it."""

    name: str
    connector: ReceiveConnector

    @property
    def fqdn(self) -> str:
        """The name in banner, HELO reply and trace header."""
        return self.connector.fqdn

    def settings(self, client: str) -> ServerSettings:
        """What the engine must know for a session of C{client}."""
        connector = self.connector
        mechanisms = connector.auth_mechanism
        return ServerSettings(
            fqdn=connector.fqdn,
            client_address_text=client,
            max_message_size=connector.max_message_size,
            offer_starttls="Tls" in mechanisms and not connector.implicit_tls,
            auth_mechanisms=sasl_mechanisms(connector),
            auth_requires_tls="BasicAuthRequireTLS" in mechanisms,
            implicit_tls=connector.implicit_tls,
            lenient_syntax_enabled=connector.lenient_syntax_enabled,
            require_ehlo_domain=connector.require_ehlo_domain,
            bare_linefeed_rejection_enabled=connector.bare_linefeed_rejection_enabled,
        )

    def banner(self, now: float) -> Reply:
        """The greeting: Banner where it is set (it starts with 220), else our own."""
        if self.connector.banner:
            return Reply(220, "", self.connector.banner[3:].lstrip(" -"))
        return Reply(220, "", f"{self.fqdn} twistedrelay ESMTP MAIL Service ready at {rfc5322_date(now)}")


class ESMTPFactory(Factory):
    """The sessions of one binding.

    @ivar sessions: those in progress.
    """

    noisy = False

    def __init__(self, binding: ListeningBinding, table: ConnectorTable, sites: Mapping[str, ConnectorFactory], relay: Reception) -> None:
        self.binding = binding
        self.implicit_tls = binding.implicit_tls
        self.relay = relay
        self.sessions: set[Conversation] = set()
        self._table = table
        self._sites = sites

    def buildProtocol(self, addr: IAddress | None) -> ESMTP:
        """A session; it finds its connector when it is connected."""
        session = ESMTP(self)
        session.factory = self
        return session

    def choose(self, local: IPAddress, peer: IPAddress) -> ConnectorFactory | None:
        """The receive connector for a connection, or None where none wants it."""
        today = datetime.date.fromtimestamp(self.relay.clock.seconds())
        choice = self._table.choose(self.binding, local, peer, today)
        return None if choice is None else self._sites[choice.name]
