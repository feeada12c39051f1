"""A relay without network, disk and time: real engine, policy and sessions on transports that only remember."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from OpenSSL import SSL
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.wire.test_scram import verifier
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import ICertificates, IContentWriter, IEventSink, ISpool, IUsers
from twistedrelay.net.buffers import Buffers
from twistedrelay.net.factory import ConnectorFactory, ESMTPFactory, Reception
from twistedrelay.net.sessions import Sessions
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.checkers import make_portal
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.policy.lockout import Lockout
from twistedrelay.policy.throttle import ConnectionCounts, MessageRates
from twistedrelay.tls.pem import CertificateError
from twistedrelay.values.envelope import Message
from twistedrelay.values.events import Event

FQDN = "relay.akkaya.local"
NOON = 1_800_000_000.0
CLIENT = "192.168.1.30"
PASSWORD = "secret word"


@implementer(IContentWriter)
class FakeContent:
    """Content in memory; C{waiting} octets pretend to wait for the disk."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.waiting = 0
        self.aborted = 0
        self.on_drained: list[Deferred[None]] = []

    @property
    def octets(self) -> bytes:
        return b"".join(self.chunks)

    def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.size += len(chunk)

    def backlog(self) -> int:
        return self.waiting

    def unwritten(self) -> int:
        return self.size

    def drained(self) -> Deferred[None]:
        if not self.waiting:
            return succeed(None)
        self.on_drained.append(Deferred())
        return self.on_drained[-1]

    def drain(self, result: Failure | None = None) -> None:
        self.waiting = 0
        waiting, self.on_drained = self.on_drained, []
        for deferred in waiting:
            deferred.callback(result)  # type: ignore[arg-type]

    def abort(self) -> None:
        self.aborted += 1

    def in_memory(self) -> Sequence[bytes]:
        return self.chunks

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return succeed(self.octets[offset : offset + length])


@implementer(ISpool)
class FakeSpool:
    """A spool that keeps messages in a list.

    @ivar held: where it is a list, stores wait there until somebody fires them.
    @ivar error: what stores fail with.
    """

    def __init__(self) -> None:
        self.healthy = True
        self.doubtful = 0
        self.contents: list[FakeContent] = []
        self.stored: list[Message] = []
        self.held: list[Deferred[None]] | None = None
        self.error: Exception | None = None
        self.make_content: Callable[[], FakeContent] = FakeContent
        self._ids = 0

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def new_content(self) -> FakeContent:
        self.contents.append(self.make_content())
        return self.contents[-1]

    def store(self, message: Message) -> Deferred[None]:
        if self.error is not None:
            return fail(self.error)
        self.stored.append(message)
        if self.held is None:
            return succeed(None)
        self.held.append(Deferred())
        return self.held[-1]


@implementer(IUsers)
class FakeUsers:
    """One account; C{answer} replaces what it says."""

    address = "cengiz@akkaya.local"
    send_as = ()

    def __init__(self) -> None:
        self.answer: Callable[[], Deferred[Any]] | None = None

    def verify(self, name: str, password: str) -> Deferred[Any]:
        if self.answer is not None:
            return self.answer()
        return succeed(self if (name.lower(), password) == (self.address, PASSWORD) else None)

    def find(self, name: str) -> Deferred[Any]:
        return succeed(self if name.lower() == self.address else None)

    def scram(self, name: str) -> Deferred[Any]:
        if self.answer is not None:
            return self.answer()
        known = name.lower() == self.address
        return succeed((self, verifier(PASSWORD)) if known else (None, verifier("nobody's password")))


@implementer(ICertificates)
class FakeCertificates:
    """One context for all, or none."""

    def __init__(self) -> None:
        self.context: SSL.Context | None = None

    def server_context(self, connector: object) -> SSL.Context:
        if self.context is None:
            raise CertificateError("no certificate")
        return self.context


@implementer(IEventSink)
class Events(list[Event]):
    """Keeps what was emitted."""

    def emit(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self if type(event) is kind]


class Transport(StringTransport):
    """A TCP transport: closing takes its time, and nothing is written behind it.

    @ivar full: the peer does not read, so what is written stays here.
    """

    protocol: Any
    full = False
    closed = False
    lingered = False

    def write(self, data: bytes) -> None:
        if not self.disconnecting:
            super().write(data)
            if self.full and self.producer is not None:
                self.producer.pauseProducing()

    def loseConnection(self) -> None:
        assert self.producer is None, "a producer would keep the connection open"
        super().loseConnection()

    def lingering_close(self) -> None:
        """The same, for a peer that may still be sending."""
        self.lingered = True
        self.loseConnection()

    def startTLS(self, creator: object) -> None:
        """The handshake begins; the TLS layer takes the producer over, and knows of no pause."""
        producer, streaming = self.producer, self.streaming
        self.unregisterProducer()
        self.full = False
        self.registerProducer(producer, streaming)

    def abortConnection(self) -> None:
        self.close()

    def close(self, reason: Failure | None = None) -> None:
        """The connection ends."""
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(*([] if reason is None else [reason]))

    @property
    def reading(self) -> bool:
        return self.producerState == "producing"


class Client:
    """The peer of one session."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def session(self) -> Any:
        """Who has the connection now."""
        return self.transport.protocol

    def send(self, octets: bytes) -> None:
        """Octets arrive."""
        if not self.transport.closed:
            self.session.dataReceived(octets)

    def said(self) -> str:
        """All that was said since the last time."""
        octets = self.transport.value()
        self.transport.clear()
        return octets.decode()

    def codes(self) -> list[int]:
        """The codes of the replies since the last time."""
        return [int(line[:3]) for line in self.said().splitlines() if re.match(r"\d{3} ", line)]

    def command(self, line: str) -> str:
        """A command, and all that was said."""
        self.send(line.encode() + b"\r\n")
        return self.said()

    def begin(self, sender: str = "a@client.example", *recipients: str) -> Client:
        """Up to the 354."""
        self.said()
        envelope = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients or ("user@akkaya.local",))]
        self.send("".join(f"{line}\r\n" for line in ["EHLO client.example", *envelope, "DATA"]).encode())
        codes = self.codes()
        assert codes[-1] == 354, codes
        return self

    def login(self, password: str = PASSWORD, name: str = FakeUsers.address) -> str:
        """AUTH PLAIN."""
        return self.command("AUTH PLAIN " + b64encode(f"\0{name}\0{password}".encode()).decode())

    @property
    def is_closing(self) -> bool:
        return bool(self.transport.disconnecting)


def configuration(connectors: dict[str, dict[str, Any]] | None = None, server: dict[str, Any] | None = None, **keys: Any) -> Config:
    """A configuration from receive connectors (keys that differ from an ordinary one)."""
    ordinary = {
        "bindings": ["0.0.0.0:25"],
        "remote_ip_ranges": ["0.0.0.0/0", "::/0"],
        "fqdn": FQDN,
        "permission_groups": ["AnonymousUsers", "ExchangeUsers"],
        "auth_mechanism": ["Tls", "BasicAuth"],
        "tarpit_interval": "0s",
        "auth_tarpit_interval": "0s",
    }
    return Config.model_validate(
        {
            "server": {"name": "EXCSERVER", "fqdn": FQDN, "state_directory": "/var/lib/twistedrelay", **(server or {})},
            "accepted_domains": {"akkaya.local": {"next_hop": "mailbox.akkaya.local:25"}},
            "receive_connectors": {name: {**ordinary, **given} for name, given in (connectors or {"Default Frontend": {}}).items()},
            **keys,
        }
    )


class Relay:
    """All that sessions need, and the sessions."""

    def __init__(
        self,
        connectors: dict[str, dict[str, Any]] | None = None,
        portal: Portal | None = None,
        clock: Any = None,
        keys: dict[str, Any] | None = None,
        **server: Any,
    ) -> None:
        """
        @param keys: sections besides.
        @param server: keys of C{server:}.
        """
        self.config = configuration(connectors, server, **(keys or {}))
        if clock is None:
            clock = Clock()
            clock.advance(NOON)
        self.clock = clock
        self.spool = FakeSpool()
        self.users = FakeUsers()
        self.certificates = FakeCertificates()
        self.events = Events()
        self.submitted: list[Message] = []
        table = ConnectorTable(self.config)
        self.counts = ConnectionCounts(self.config.server.max_connections)
        self.buffers = Buffers(self.config.server.max_buffered_size)
        self.reception = Reception(
            hostname=FQDN,
            clock=self.clock,
            portal=portal or make_portal(self.config, self.users, clock=self.clock),
            users=self.users,
            lockout=Lockout(self.clock, self.config.server),
            acceptance=Acceptance(self.config),
            counts=self.counts,
            rates=MessageRates(self.clock),
            certificates=self.certificates,
            spool=self.spool,
            events=self.events,
            buffers=self.buffers,
            submit=self.submitted.append,
        )
        sites = {name: ConnectorFactory(name, connector) for name, connector in self.config.receive_connectors.items()}
        self.factories = [ESMTPFactory(binding, table, sites, self.reception) for binding in table.bindings]
        self.sessions = Sessions(self.factories, self.buffers)

    def replace(self, **parts: Any) -> None:
        """Let coming sessions have other parts."""
        self.reception = attrs.evolve(self.reception, **parts)
        for factory in self.factories:
            factory.relay = self.reception

    def connect(self, peer: str = CLIENT, local: str = "192.168.1.5", port: int = 25) -> Client:
        """A client connects."""
        factory = next(factory for factory in self.factories if factory.binding.port == port)
        kind = IPv6Address if ":" in peer else IPv4Address
        there, here = kind("TCP", peer, 50000), kind("TCP", local, port)
        session = factory.buildProtocol(there)
        transport = Transport(here, there)
        transport.protocol = session
        session.makeConnection(transport)
        return Client(transport)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Time goes by, with a sweep a second."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(step, end - self.clock.seconds()))
            self.sessions.sweep(self.clock.seconds())
