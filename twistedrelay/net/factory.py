"""The factories of the listeners: one L{ESMTPFactory} per binding, holding one L{ConnectorFactory} per receive connector.

Which connector a session belongs to depends on the address it came in on as well as on the peer's, and Twisted tells the former only
when the connection is made; so the protocol asks L{ESMTPFactory.choose} then.

Source: Exchange Server, "Receive connectors" (local and remote addresses), Set-ReceiveConnector (Banner, Fqdn).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from twisted.cred.portal import Portal
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.interfaces import ICertificates, IEventSink, IProtocolLog, ISpool, IUsers
from twistedrelay.net.buffers import Buffers
from twistedrelay.net.esmtp import ESMTP
from twistedrelay.net.login import sasl_mechanisms
from twistedrelay.net.proxy import ProxiedConnection
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.connector import ConnectorTable, ListeningBinding
from twistedrelay.policy.lockout import Lockout
from twistedrelay.policy.pressure import BackPressure
from twistedrelay.policy.throttle import ConnectionCounts, ConnectionRate, MessageRates
from twistedrelay.policy.trace import rfc5322_date
from twistedrelay.values.envelope import Message
from twistedrelay.values.netrange import IPAddress, parse_ip
from twistedrelay.values.reply import Reply
from twistedrelay.wire.server import SMTPServer
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.traced import TracedServer

if TYPE_CHECKING:
    from twistedrelay.net.conversation import Conversation


@attrs.frozen(slots=True, eq=False)
class Reception:
    """What all sessions of a relay share; injected by the composition root.

    @ivar hostname: the server's own name, which the reply to a message shows.
    @ivar buffers: what all sessions hold in memory.
    @ivar submit: takes a message that was committed to the spool.
    @ivar protocol_log: None where no connector has protocol logging.
    @ivar pressure: whether resources run short.
    @ivar connection_rate: how many connections a minute there may be.
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
    buffers: Buffers
    submit: Callable[[Message], None]
    protocol_log: IProtocolLog | None = None
    pressure: BackPressure = attrs.Factory(BackPressure)
    connection_rate: ConnectionRate = attrs.Factory(ConnectionRate)

    def engine(self, settings: ServerSettings, session: str, is_probe: bool) -> SMTPServer:
        """The engine of a session whose connection was told: one that tells its lines where the connector has protocol logging.

        @param is_probe: it is a health probe, of which nobody was told yet.
        """
        trace = None if self.protocol_log is None else self.protocol_log.tracer(session, settings.xclient or is_probe)
        return SMTPServer(settings) if trace is None else TracedServer(settings, trace)


@attrs.frozen(slots=True, eq=False)
class ConnectorFactory:
    """One receive connector, as sessions need it.

    @ivar replies: how many replies its sessions have got, by their codes.
    """

    name: str
    connector: ReceiveConnector
    replies: dict[int, int] = attrs.field(factory=dict, repr=False)

    @property
    def fqdn(self) -> str:
        """The name in banner, HELO reply and trace header."""
        return self.connector.fqdn

    def settings(self, client: str, now: float) -> ServerSettings:
        """What the engine must know for a session of C{client} that begins now."""
        connector = self.connector
        mechanisms = connector.auth_mechanism
        hold = int(connector.max_future_release_interval) if connector.future_release_enabled else None
        return ServerSettings(
            fqdn=connector.fqdn,
            client_address_text=client,
            max_message_size=connector.max_message_size,
            size_enabled=connector.size_enabled,
            lmtp=connector.protocol == "LMTP",
            pipelining=connector.pipelining_enabled,
            enhanced_status_codes=connector.enhanced_status_codes_enabled,
            eight_bit_mime=connector.eight_bit_mime_enabled,
            chunking=connector.chunking_enabled,
            binary_mime=connector.binary_mime_enabled,
            smtp_utf8=connector.smtp_utf8_enabled,
            dsn=connector.delivery_status_notification_enabled,
            requiretls=connector.requiretls_enabled,
            deliver_by=connector.deliver_by_enabled,
            future_release=hold,
            future_release_until=0 if hold is None else int(now) + hold,
            mt_priority=connector.mt_priority_enabled,
            max_recipients=connector.max_recipients_per_message if connector.limits_enabled else None,
            offer_starttls="Tls" in mechanisms and not connector.implicit_tls,
            auth_mechanisms=sasl_mechanisms(connector),
            require_tls=connector.require_tls,
            auth_requires_tls="BasicAuthRequireTLS" in mechanisms or connector.require_tls,
            implicit_tls=connector.implicit_tls,
            lenient_syntax_enabled=connector.lenient_syntax_enabled,
            require_ehlo_domain=connector.require_ehlo_domain,
            bare_linefeed_rejection_enabled=connector.bare_linefeed_rejection_enabled,
            replies=self.replies,
        )

    def banner(self, now: float) -> Reply:
        """The greeting: Banner where it is set (it starts with 220), else our own."""
        if self.connector.banner:
            return Reply(220, "", self.connector.banner[3:].lstrip(" -"))
        protocol = "LMTP" if self.connector.protocol == "LMTP" else "ESMTP"
        return Reply(220, "", f"{self.fqdn} twistedrelay {protocol} MAIL Service ready at {rfc5322_date(now)}")

    def is_trusted(self, peer: IPAddress) -> bool:
        """Whether a peer may say by XCLIENT for whom it speaks."""
        return any(trusted.contains(peer) for trusted in self.connector.xclient_from)


class ESMTPFactory(Factory):
    """The sessions of one binding.

    @ivar sessions: those in progress, and those that wait for a PROXY header.
    """

    noisy = False

    def __init__(self, binding: ListeningBinding, table: ConnectorTable, sites: Mapping[str, ConnectorFactory], relay: Reception) -> None:
        self.binding = binding
        self.implicit_tls = binding.implicit_tls
        self.relay = relay
        self.sessions: set[Conversation | ProxiedConnection] = set()
        self._proxies = binding.proxies
        self._probes = binding.probes
        self._table = table
        self._sites = sites

    def buildProtocol(self, addr: Any) -> ESMTP | ProxiedConnection:
        """A session, which finds its connector when it is connected; for a load balancer one that waits for its header."""
        if self._proxies and self.is_proxy(peer := parse_ip(addr.host)):
            return ProxiedConnection(self, self.is_probe(peer))
        return self.session()

    def session(self) -> ESMTP:
        """A session without a connection."""
        session = ESMTP(self)
        session.factory = self
        return session

    def is_proxy(self, peer: IPAddress) -> bool:
        """Whether a peer is a load balancer, which has to send a PROXY header."""
        return any(trusted.contains(peer) for trusted in self._proxies)

    def is_probe(self, peer: IPAddress) -> bool:
        """Whether a peer's connections may be health probes."""
        return any(probe.contains(peer) for probe in self._probes)

    def choose(self, local: IPAddress, peer: IPAddress) -> ConnectorFactory | None:
        """The receive connector for a connection, or None where none wants it."""
        today = datetime.date.fromtimestamp(self.relay.clock.seconds())
        choice = self._table.choose(self.binding, local, peer, today)
        return None if choice is None else self._sites[choice.name]
