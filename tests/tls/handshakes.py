"""TLS handshakes in memory, without a network, and the configurations they are made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL

from twistedrelay.config.schema import Certificate, Config, ReceiveConnector, Server
from twistedrelay.tls.contexts import ServerContexts, ServerCreator
from twistedrelay.tls.store import CertificateStore


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
    return contexts, [event.text for event in contexts.prepare(config)]


def shown(context: SSL.Context, name: str = "") -> str:
    """The common name of the certificate that a server shows to a client that asks for a name."""
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    if name:
        client.set_tlsext_host_name(name.encode())
    handshake(client, ServerCreator(context).serverConnectionForTLS(Protocol()))
    certificate = client.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate.subject.rfc4514_string().split("CN=")[1].split(",")[0]
