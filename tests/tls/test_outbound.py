"""Tests for L{twistedrelay.tls.outbound}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from OpenSSL import SSL
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.ssl import Certificate as TrustedCertificate
from twisted.internet.ssl import trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test import iosim

from tests.tls.handshakes import Protocol, config_of, connector, contexts_of, handshake
from twistedrelay.tls.contexts import ServerContexts, ServerCreator
from twistedrelay.tls.outbound import ClientContexts, UntrustedPeer
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.route import TLSPolicy

if TYPE_CHECKING:
    from conftest import Authority


def connect(authority: Authority, policy: TLSPolicy, host: str, *names: str, trusted: bool = True) -> Protocol:
    """A handshake of our client with a server that has a certificate for names; L{SSL.Error} where the client refuses."""
    pair_file = authority.issue(*names, file="server")
    store = CertificateStore([pair_file], str(authority.directory))
    store.load()
    other = trusted and authority.ca.cert_pem.bytes()
    trust = trustRootFromCertificates([TrustedCertificate.loadPEM(other)]) if other else None
    config = config_of(authority.directory, {"A": connector(tls_certificate_name=store.list()[0].thumbprint)})
    contexts = ServerContexts(store)
    contexts.prepare(config)
    protocol = Protocol()
    creator = ClientContexts(trust).creator(policy, host)
    client = creator.clientConnectionForTLS(protocol)
    server = SSL.Connection(contexts.server_context(config.receive_connectors["A"]), None)
    try:
        handshake(client, server)
    except SSL.Error:
        assert protocol.reason is not None
        raise protocol.reason from None
    assert server.get_servername() == (None if host[0].isdigit() else (policy.name or host).encode())
    return protocol


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_unverified_levels_take_any_certificate(authority: Authority, level: Any) -> None:
    connect(authority, TLSPolicy(level), "mx.example", "wrong.example", trusted=False)
    connect(authority, TLSPolicy(level), "192.0.2.1", "wrong.example", trusted=False)


def test_level_certificate_wants_the_chain_and_no_name(authority: Authority) -> None:
    connect(authority, TLSPolicy("certificate"), "mx.example", "wrong.example")
    with pytest.raises(UntrustedPeer, match="the server's certificate cannot be trusted: its issuer is not"):
        connect(authority, TLSPolicy("certificate"), "mx.example", "mx.example", trusted=False)


def test_level_domain_wants_the_chain_and_the_name(authority: Authority) -> None:
    connect(authority, TLSPolicy("domain"), "mx.example", "mx.example")
    connect(authority, TLSPolicy("domain", "smtp.provider.example"), "mx.example", "smtp.provider.example")
    connect(authority, TLSPolicy("domain"), "mx.provider.example", "*.provider.example")
    connect(authority, TLSPolicy("domain"), "192.0.2.1", "192.0.2.1")
    with pytest.raises(UntrustedPeer, match=r"the server's certificate is not for mx\.example"):
        connect(authority, TLSPolicy("domain"), "mx.example", "wrong.example")
    with pytest.raises(UntrustedPeer, match=r"the server's certificate is not for smtp\.provider\.example"):
        connect(authority, TLSPolicy("domain", "smtp.provider.example"), "mx.example", "mx.example")
    with pytest.raises(UntrustedPeer, match=r"is not for 192\.0\.2\.2"):
        connect(authority, TLSPolicy("domain"), "192.0.2.2", "192.0.2.1")
    with pytest.raises(UntrustedPeer, match="cannot be trusted"):
        connect(authority, TLSPolicy("domain"), "mx.example", "mx.example", trusted=False)


class Recorder(TwistedProtocol):
    """Keeps what arrives, and why the connection ended."""

    reason: BaseException | None = None
    received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value


def through_twisted(authority: Authority, policy: TLSPolicy) -> tuple[Recorder, Recorder]:
    """Our client and server by Twisted's own TLS, to the end of the handshake and some octets."""
    config = config_of(authority.directory, {"A": connector()}, (authority.issue("relay.example"),))
    contexts, _ = contexts_of(config)
    trust = trustRootFromCertificates([TrustedCertificate.loadPEM(authority.ca.cert_pem.bytes())])
    clock, recorders, sides = Clock(), (Recorder(), Recorder()), []
    context = contexts.server_context(config.receive_connectors["A"])
    creators = (ClientContexts(trust).creator(policy, "relay.example"), ServerCreator(context))
    for recorder, creator in zip(recorders, creators, strict=True):
        factory = TLSMemoryBIOFactory(creator, not sides, Factory.forProtocol(lambda recorder=recorder: recorder), clock)  # type: ignore[misc]
        sides.append(factory.buildProtocol(None))
    client, server = sides
    pump = iosim.connect(server, iosim.makeFakeServer(server), client, iosim.makeFakeClient(client))
    if recorders[0].transport is not None:
        recorders[0].transport.write(b"hello")
    for _ in range(20):
        clock.advance(0)
        pump.pump()
    return recorders


def test_through_twisted(authority: Authority) -> None:
    client, server = through_twisted(authority, TLSPolicy("domain"))
    assert (client.reason, server.received) == (None, b"hello")
    client, server = through_twisted(authority, TLSPolicy("domain", "wrong.example"))
    assert isinstance(client.reason, UntrustedPeer)
    assert str(client.reason) == "the server's certificate is not for wrong.example"
    assert server.received == b""


def test_level_none_has_no_tls() -> None:
    with pytest.raises(ValueError, match="has no TLS"):
        ClientContexts().creator(TLSPolicy("none"), "mx.example")


def test_contexts_are_made_once() -> None:
    contexts = ClientContexts()
    contexts.warm()
    first = contexts.creator(TLSPolicy("encrypt"), "a.example").clientConnectionForTLS(Protocol())
    second = contexts.creator(TLSPolicy("may"), "b.example").clientConnectionForTLS(Protocol())
    assert first.get_context() is second.get_context()
