"""Tests for L{twistedrelay.tls.outbound}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test import iosim

from tests.tls.handshakes import Protocol, config_of, connector, contexts_of, handshake
from twistedrelay.tls import outbound
from twistedrelay.tls.contexts import ServerContexts, ServerCreator
from twistedrelay.tls.outbound import ClientContexts, UntrustedPeer, client_context, objection_of
from twistedrelay.tls.store import CertificateError, CertificateStore
from twistedrelay.values.route import TLSA, TLSPolicy

if TYPE_CHECKING:
    from conftest import Authority


def authorities(authority: Authority) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(authority.ca.cert_pem.bytes())


def connect(authority: Authority, policy: TLSPolicy, host: str, *names: str, trusted: bool = True) -> Protocol:
    """A handshake of our client with a server that has a certificate for names; L{SSL.Error} where the client refuses."""
    pair_file = authority.issue(*names, file="server")
    store = CertificateStore([pair_file], str(authority.directory))
    store.load()
    trust = authorities(authority) if trusted else None
    config = config_of(authority.directory, {"A": connector(tls_certificate_name=store.list()[0].thumbprint)})
    contexts = ServerContexts(store)
    contexts.prepare(config)
    protocol = Protocol()
    creator = ClientContexts(trust=trust).creator(policy, host)
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
    trust = authorities(authority)
    clock, recorders, sides = Clock(), (Recorder(), Recorder()), []
    context = contexts.server_context(config.receive_connectors["A"])
    creators = (ClientContexts(trust=trust).creator(policy, "relay.example"), ServerCreator(context))
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
    second = contexts.creator(TLSPolicy("dane", tlsa=(TLSA(3, 1, 1, bytes(32)),)), "b.example").clientConnectionForTLS(Protocol())
    assert first.get_context() is second.get_context()


def old_server(authority: Authority, version: int) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    made = authority.ca.issue_cert("mx.example", key_type=trustme.KeyType.RSA)
    context.use_privatekey(load_pem_private_key(made.private_key_pem.bytes(), None))
    context.use_certificate(x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()))
    return SSL.Connection(context, None)


@pytest.mark.parametrize(
    ("policy", "works"),
    [
        (TLSPolicy("may"), True),
        (TLSPolicy("domain", lenient=True), True),
        (TLSPolicy("encrypt"), False),
        (TLSPolicy("domain"), False),
        (TLSPolicy("dane"), False),
    ],
)
def test_old_versions_where_clear_text_is_the_alternative(authority: Authority, policy: TLSPolicy, works: bool) -> None:
    """TLS 1.0 is better than nothing, and no promise."""
    client = ClientContexts(trust=authorities(authority)).creator(policy, "mx.example").clientConnectionForTLS(Protocol())
    server = old_server(authority, SSL.TLS1_VERSION)
    if works:
        handshake(client, server)
        assert client.get_protocol_version_name() == "TLSv1"
    else:
        with pytest.raises(SSL.Error):
            handshake(client, server)


def test_lenient_policies_remember_what_was_wrong(authority: Authority) -> None:
    """MTA-STS testing: the session goes on, and what would have ended it can be told."""
    for names, trusted, failure in (
        (("mx.example",), True, None),
        (("wrong.example",), True, "certificate-host-mismatch"),
        (("mx.example",), False, "certificate-not-trusted"),
    ):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        made = authority.ca.issue_cert(*names)
        context.use_privatekey(load_pem_private_key(made.private_key_pem.bytes(), None))
        context.use_certificate(x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()))
        contexts = ClientContexts(trust=authorities(authority) if trusted else [])
        client = contexts.creator(TLSPolicy("domain", lenient=True), "mx.example").clientConnectionForTLS(Protocol())
        handshake(client, SSL.Connection(context, None))
        objection = objection_of(client)
        assert getattr(objection, "failure", None) == failure


@pytest.mark.parametrize("level", ["domain", "dane"])
def test_a_certificate_that_we_cannot_read(authority: Authority, monkeypatch: pytest.MonkeyPatch, level: Any) -> None:
    """It proves nothing, and is no reason for clear text where nothing has to be proven."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(outbound, "verify", broken)
    monkeypatch.setattr(outbound, "_verify_name", broken)
    contexts = ClientContexts(trust=authorities(authority))
    lenient = contexts.creator(TLSPolicy(level, lenient=True), "mx.example").clientConnectionForTLS(Protocol())
    handshake(lenient, asking_server(authority))
    assert "cannot be read" in str(objection_of(lenient))
    strict = contexts.creator(TLSPolicy(level), "mx.example").clientConnectionForTLS(Protocol())
    with pytest.raises(SSL.Error):
        handshake(strict, asking_server(authority))


@pytest.mark.parametrize(("name", "host"), [("bücher.example", "mx.example"), ("", "bücher.example")])
def test_names_beyond_ascii(name: str, host: str) -> None:
    """Told before there is a connection: it would break in the middle of STARTTLS."""
    with pytest.raises(CertificateError, match="not in ASCII"):
        ClientContexts().creator(TLSPolicy("domain", name), host)


def test_no_session_is_kept_or_asked_for() -> None:
    """No tickets and no sessions: nothing that one login or policy could lend another."""
    context = client_context(SSL.TLS1_2_VERSION, None)
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF
    assert context.set_options(SSL.OP_ALL) & SSL.OP_NO_TICKET


def asking_server(authority: Authority) -> SSL.Connection:
    """A server that asks for a certificate and takes any."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    made = authority.ca.issue_cert("mx.example")
    context.use_privatekey(load_pem_private_key(made.private_key_pem.bytes(), None))
    context.use_certificate(x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()))
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    return SSL.Connection(context, None)


def test_our_certificate(authority: Authority) -> None:
    """Shown where the policy names it and the server asks; a renewed one is shown from then on; without it there is no session."""

    def seen(policy: TLSPolicy) -> x509.Certificate | None:
        client, server = contexts.creator(policy, "mx.example").clientConnectionForTLS(Protocol()), asking_server(authority)
        handshake(client, server)
        return server.get_peer_certificate(as_cryptography=True)

    named = {"organization_name": "Example", "organization_unit_name": "Mail"}
    files = authority.issue("relay.example", **named)
    store = CertificateStore([files], str(authority.directory))
    store.load()
    contexts = ClientContexts(store)
    name = store.list()[0].tls_certificate_name
    assert seen(TLSPolicy("may")) is None
    for level in ("may", "encrypt"):
        assert seen(TLSPolicy(level, certificate=name)) == store.pairs()[0].certificate  # type: ignore[arg-type]
    assert seen(TLSPolicy("may", certificate=store.list()[0].thumbprint)) == store.pairs()[0].certificate
    before = store.pairs()[0].certificate
    authority.issue("relay.example", **named)
    store.refresh()
    renewed = seen(TLSPolicy("encrypt", certificate=name))
    assert renewed == store.pairs()[0].certificate != before
    with pytest.raises(CertificateError, match="is not in the store"):
        contexts.creator(TLSPolicy("may", certificate="0" * 40), "mx.example")
    with pytest.raises(CertificateError, match="is not in the store"):
        ClientContexts().creator(TLSPolicy("may", certificate=name), "mx.example")
