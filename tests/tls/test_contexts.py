"""Tests for L{twistedrelay.tls.contexts} and L{twistedrelay.tls.outbound}: handshakes in memory, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.ssl import Certificate as TrustedCertificate
from twisted.internet.ssl import trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test import iosim
from zope.interface.verify import verifyObject

from twistedrelay.config.load import ConfigError, load
from twistedrelay.config.schema import Certificate, Config, ReceiveConnector, Server
from twistedrelay.interfaces import ICertificates
from twistedrelay.tls.contexts import ServerContexts, ServerCreator, named_certificates
from twistedrelay.tls.outbound import ClientContexts, UntrustedPeer
from twistedrelay.tls.pem import CertificateError
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.route import TLSPolicy

if TYPE_CHECKING:
    from conftest import Authority


class Protocol:
    """What OpenSSL connections are made for; remembers why a verification failed."""

    reason: BaseException | None = None

    def failVerification(self, failure: Any) -> None:
        self.reason = failure.value


def handshake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Carry octets to and fro until both sides are content; L{SSL.Error} where one is not."""
    client.set_connect_state()
    server.set_accept_state()
    waiting = {client, server}
    for _ in range(20):
        for side, other in ((client, server), (server, client)):
            try:
                side.do_handshake()
                waiting.discard(side)
            except SSL.WantReadError:
                pass
            try:
                while True:
                    other.bio_write(side.bio_read(65536))
            except SSL.WantReadError:
                pass
        if not waiting:
            return
    raise AssertionError("the handshake does not end")


def connector(**values: Any) -> ReceiveConnector:
    return ReceiveConnector(**{"bindings": ["0.0.0.0:25"], "permission_groups": ["AnonymousUsers"], "fqdn": "relay.example", **values})


def config_of(tmp_path: Path, connectors: dict[str, ReceiveConnector], certificates: tuple[Certificate, ...] = ()) -> Config:
    server = Server(name="E", fqdn="relay.example", state_directory=str(tmp_path / "state"))
    return Config(server=server, receive_connectors=connectors, certificates=list(certificates))


def contexts_of(config: Config) -> tuple[ServerContexts, list[str]]:
    store = CertificateStore(config.certificates, config.server.state_directory)
    assert store.load() == []
    contexts = ServerContexts(store)
    return contexts, contexts.prepare(config)


def shown(context: SSL.Context, name: str = "") -> str:
    """The common name of the certificate that a server shows to a client that asks for a name."""
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    if name:
        client.set_tlsext_host_name(name.encode())
    handshake(client, ServerCreator(context).serverConnectionForTLS(Protocol()))
    certificate = client.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate.subject.rfc4514_string().split("CN=")[1].split(",")[0]


def test_interfaces(tmp_path: Path) -> None:
    contexts, _ = contexts_of(config_of(tmp_path, {"A": connector()}))
    assert verifyObject(ICertificates, contexts)
    assert verifyObject(IOpenSSLServerConnectionCreator, ServerCreator(SSL.Context(SSL.TLS_METHOD)))
    assert verifyObject(IOpenSSLClientConnectionCreator, ClientContexts().creator(TLSPolicy("may"), "a.example"))


def test_the_certificate_by_fqdn_by_name_and_self_signed(authority: Authority, tmp_path: Path) -> None:
    certificates = (authority.issue("relay.example"), authority.issue("other.example"))
    store = CertificateStore(certificates, str(tmp_path))
    store.load()
    named = store.list()[1].tls_certificate_name
    config = config_of(
        tmp_path,
        {
            "ByFqdn": connector(),
            "Named": connector(tls_certificate_name=named),
            "Alone": connector(fqdn="alone.example"),
            "Clear": connector(auth_mechanism=["None"]),
            "Off": connector(enabled=False),
        },
        certificates,
    )
    contexts, warnings = contexts_of(config)
    connectors = config.receive_connectors
    assert shown(contexts.server_context(connectors["ByFqdn"])) == "relay.example"
    assert shown(contexts.server_context(connectors["Named"])) == "other.example"
    assert shown(contexts.server_context(connectors["Alone"])) == "alone.example"
    assert warnings == ["Alone: a self-signed certificate is shown for alone.example; clients will warn or refuse"]
    assert contexts.server_context(connectors["ByFqdn"]) is contexts.server_context(connectors["ByFqdn"])
    for name in ("Clear", "Off"):
        with pytest.raises(CertificateError, match=r"no certificate is ready for relay\.example"):
            contexts.server_context(connectors[name])


def test_the_name_that_clients_ask_for(authority: Authority, tmp_path: Path) -> None:
    certificates = (authority.issue("relay.example"), authority.issue("other.example"))
    config = config_of(tmp_path, {"A": connector(), "B": connector(tls_certificate_name="")}, certificates)
    contexts, _ = contexts_of(config)
    context = contexts.server_context(config.receive_connectors["A"])
    assert [shown(context, name) for name in ("", "relay.example", "OTHER.example", "nobody.example")] == [
        "relay.example", "relay.example", "other.example", "relay.example",
    ]  # fmt: skip
    store = CertificateStore(certificates, str(tmp_path))
    store.load()
    named = config_of(tmp_path, {"A": connector(tls_certificate_name=store.list()[0].thumbprint)}, certificates)
    contexts, _ = contexts_of(named)
    assert shown(contexts.server_context(named.receive_connectors["A"]), "other.example") == "relay.example"


def test_tls_is_1_2_or_newer(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"A": connector()})
    contexts, _ = contexts_of(config)
    context = contexts.server_context(config.receive_connectors["A"])
    for version, name in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")):
        client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        client_context.set_max_proto_version(version)
        client, server = SSL.Connection(client_context, None), ServerCreator(context).serverConnectionForTLS(Protocol())
        handshake(client, server)
        assert server.get_protocol_version_name() == name
    old = SSL.Context(SSL.TLS_CLIENT_METHOD)
    old.set_cipher_list(b"ALL:@SECLEVEL=0")
    old.set_min_proto_version(SSL.TLS1_VERSION)
    old.set_max_proto_version(SSL.TLS1_1_VERSION)
    with pytest.raises(SSL.Error):
        handshake(SSL.Connection(old, None), ServerCreator(context).serverConnectionForTLS(Protocol()))


def test_sessions_resume_at_their_own_connector_only(authority: Authority, tmp_path: Path) -> None:
    config = config_of(tmp_path, {"A": connector(), "B": connector()}, (authority.issue("relay.example"),))
    contexts, _ = contexts_of(config)
    first, second = (contexts.server_context(item) for item in config.receive_connectors.values())
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(client_context, None)
    handshake(client, SSL.Connection(first, None))
    session = client.get_session()
    assert session is not None
    resumed = []
    for context in (first, second):
        again = SSL.Connection(client_context, None)
        again.set_session(session)
        handshake(again, SSL.Connection(context, None))
        resumed.append(again.master_key() == client.master_key())
    assert resumed == [True, False]


def test_refresh_changes_new_connections(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("relay.example", file="mail")
    config = config_of(tmp_path, {"A": connector()}, (certificate,))
    contexts, _ = contexts_of(config)
    before = contexts.server_context(config.receive_connectors["A"])
    assert contexts.refresh() == []
    assert contexts.server_context(config.receive_connectors["A"]) is before
    Path(certificate.certificate).write_text("garbage")
    assert contexts.refresh() == [f"{certificate.certificate}: holds no certificate in PEM form; its last good version stays in use"]
    assert contexts.server_context(config.receive_connectors["A"]) is before
    authority.issue("relay.example", "second.example", file="mail")
    assert contexts.refresh() == []
    after = contexts.server_context(config.receive_connectors["A"])
    assert after is not before
    assert shown(before) == shown(after) == "relay.example"


def test_named_certificates_that_are_missing(authority: Authority, tmp_path: Path) -> None:
    good = authority.issue("relay.example")
    text = f"""\
server: {{name: E, fqdn: relay.example, state_directory: state}}
receive_connectors:
  A:
    bindings: ["0.0.0.0:25"]
    permission_groups: [AnonymousUsers]
    tls_certificate_name: "<I>CN=x<S>CN=y"
certificates:
  - {{certificate: {good.certificate}, private_key: {good.private_key}}}
  - {{certificate: absent.pem, private_key: absent.key}}
"""
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, [named_certificates])
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        f"{file}:6: receive_connectors.A.tls_certificate_name: the certificate '<I>CN=x<S>CN=y' is not in the store; there are: <I>"
    )
    assert str(problem).endswith(f"({tmp_path}/absent.pem: cannot be read: No such file or directory)")
    contexts = ServerContexts(CertificateStore([], str(tmp_path)))
    off = config_of(tmp_path, {"A": connector(enabled=False, tls_certificate_name="0" * 40)})
    assert contexts.problems(off) == []
    missing = config_of(tmp_path, {"A": connector(tls_certificate_name="0" * 40)})
    assert [item.path for item in contexts.problems(missing)] == [("receive_connectors", "A", "tls_certificate_name")]
    assert "is not in the store" in contexts.prepare(missing)[0]


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
