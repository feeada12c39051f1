"""The keys of an OAuth provider, fetched by the real daemon over HTTPS."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.relay import Relay
from tests.interop import saslclient
from tests.interop.accounts import USER, Issuer, relay_with_logins
from tests.interop.test_auth import Session
from tests.network import PATIENCE


class Provider:
    """An HTTPS server with a JWK set.

    @ivar authority: who has signed its certificate.
    @ivar asked: how often it was asked.
    """

    def __init__(self, document: str) -> None:
        self.authority = trustme.CA()
        context = server_context(self.authority, "localhost")
        self.asked = 0
        self.status = 200
        self.document = document.encode()
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(provider.status)
                self.send_header("Location", f"https://localhost:{provider.port}/elsewhere")
                self.end_headers()
                self.wfile.write(provider.document)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


@pytest.fixture
def provider(issuer: Issuer) -> Iterator[Provider]:
    provider = Provider(issuer.jwks())
    yield provider
    provider.close()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def relay_with(provider: Provider, issuer: Issuer, trusted: trustme.CA, host: str = "localhost") -> Relay:
    relay = relay_with_logins(issuer, trustme.CA(), "127.0.0.1:1", "127.0.0.1:1")
    settings = relay.configuration["oauth_providers"][0]
    del settings["keys_file"]
    settings["keys_url"] = f"https://{host}:{provider.port}/keys"
    trusted.cert_pem.write_to_path(str(relay.directory / "trusted.pem"))
    relay.environment |= {"SSL_CERT_FILE": str(relay.directory / "trusted.pem")}
    relay.write()
    return relay


def log_in(relay: Relay, token: str) -> str:
    with Session(relay) as session:
        return saslclient.oauthbearer(session.say, USER, token)[:3]


def test_keys_are_fetched_once(provider: Provider, issuer: Issuer) -> None:
    with relay_with(provider, issuer, provider.authority) as relay:
        assert [log_in(relay, issuer.token()) for _ in range(3)] == ["235"] * 3
        assert log_in(relay, Issuer().token()) == "535"
        assert provider.asked == 1


@pytest.mark.parametrize("what", ["untrusted", "another name", "redirect", "too long"])
def test_keys_that_are_not_to_be_believed(provider: Provider, issuer: Issuer, what: str) -> None:
    trusted = trustme.CA() if what == "untrusted" else provider.authority
    if what == "redirect":
        provider.status = 302
    if what == "too long":
        provider.document += b" " * 300_000
    with relay_with(provider, issuer, trusted, "127.0.0.1" if what == "another name" else "localhost") as relay:
        assert log_in(relay, issuer.token()) == "454"
        assert provider.asked <= 1
