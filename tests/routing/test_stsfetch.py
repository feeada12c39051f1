"""Tests for L{twistedrelay.routing.stsfetch}: with a real web server, real TLS and the real reactor."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from tests.routing.names import FakeNames
from twistedrelay.routing import stsfetch
from twistedrelay.routing.mtasts import Policy, PolicyError
from twistedrelay.routing.stsfetch import LONGEST, PolicyFetcher
from twistedrelay.tls.outbound import ClientContexts

POLICY = b"version: STSv1\nmode: enforce\nmx: mx.example.test\nmax_age: 86400\n"

Answer = Callable[[BaseHTTPRequestHandler], None]


def plain(status: int = 200, kind: str = "text/plain; charset=utf-8", body: bytes = POLICY, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def without_length(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "text/plain")
    request.end_headers()
    request.wfile.write(POLICY)


def without_end(request: BaseHTTPRequestHandler) -> None:
    """A header of any number of fields."""
    request.send_response(200)
    for number in range(1000):
        request.send_header(f"X-{number}", "x" * 8000)
        request.flush_headers()
    request.end_headers()


def silent(request: BaseHTTPRequestHandler) -> None:
    request.rfile.read(1)


class WebServer:
    """An HTTPS server on a free port of 127.0.0.1.

    @ivar paths: what was asked for, with the host.
    """

    def __init__(self, context: ssl.SSLContext | None, answer: Answer) -> None:
        self.paths: list[str] = []
        paths = self.paths

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = True
                paths.append(f"{self.headers['Host']}{self.path}")
                answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if context is not None:  # each handshake in its own thread: one that hangs holds up neither the others nor the end
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class FetchTests(TestCase):
    private = True

    def setUp(self) -> None:
        self.authority = trustme.CA()
        self.names = FakeNames()
        self.names.records["mta-sts.example.test", "A"] = ["127.0.0.1"]

    def context(self, *names: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(made)
        return made

    def fetch(self, answer: Answer, *names: str, context: ssl.SSLContext | None = None) -> Deferred[Policy]:
        self.server = WebServer(context or self.context(*(names or ("mta-sts.example.test",))), answer)
        self.addCleanup(self.server.close)
        return self.get(self.server.port)

    def get(self, port: int) -> Deferred[Policy]:
        trust = x509.load_pem_x509_certificates(self.authority.cert_pem.bytes())
        return PolicyFetcher(reactor, self.names, ClientContexts(trust=trust), port, private=self.private)("example.test")

    @inlineCallbacks
    def refused(self, waiting: Deferred[Policy], failure: str, text: str) -> Any:
        error: Any = yield self.assertFailure(waiting, PolicyError)
        assert error.failure == failure
        assert text in str(error)

    @inlineCallbacks
    def test_a_policy(self) -> Any:
        policy: Any = yield self.fetch(plain())
        assert policy == Policy("enforce", ("mx.example.test",), 86400)
        assert self.server.paths == ["mta-sts.example.test/.well-known/mta-sts.txt"]

    @inlineCallbacks
    def test_answers_that_are_no_policy(self) -> Any:
        fetch, invalid = "sts-policy-fetch-error", "sts-policy-invalid"
        for answer, failure, text in (
            (plain(404), fetch, "the answer is 404"),
            (plain(404, body=b"x" * 1_000_000), fetch, "the answer is 404"),
            (plain(302, Location="https://mta-sts.example.test/elsewhere"), fetch, "the answer is 302"),
            (plain(kind="text/html"), fetch, "'text/html' and not text/plain"),
            (plain(body=POLICY + b"x" * LONGEST), fetch, "longer than 65536 octets"),
            (plain(body=b"hello"), invalid, "its version is not STSv1"),
            (without_length, fetch, "the answer is not whole"),
            (without_end, fetch, "Connection lost"),
        ):
            yield self.refused(self.fetch(answer), failure, text)
            assert len(self.server.paths) == 1
        gc.collect()  # nothing was left that nobody looks at

    @inlineCallbacks
    def test_certificates(self) -> Any:
        yield self.refused(self.fetch(plain(), "example.test"), "sts-webpki-invalid", "not for mta-sts.example.test")
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("mta-sts.example.test").configure_cert(stranger)
        yield self.refused(self.fetch(plain(), context=stranger), "sts-webpki-invalid", "cannot be trusted")
        assert self.server.paths == []
        policy: Any = yield self.fetch(plain(), "*.example.test")
        assert policy.mode == "enforce"

    @inlineCallbacks
    def test_a_server_that_says_nothing(self) -> Any:
        for timeout in (0.0, 0.001, 0.01, 0.2):  # whatever it is at by then
            self.patch(stsfetch, "TIMEOUT", timeout)
            yield self.refused(self.fetch(silent), "sts-policy-fetch-error", "no answer in time")

    @inlineCallbacks
    def test_hosts(self) -> Any:
        """The next address where one is dead; none at all; a DNS that does not answer."""
        self.names.records["mta-sts.example.test", "A"] = ["127.99.99.99", "127.0.0.1"]
        yield self.fetch(plain())
        self.names.records.clear()
        yield self.refused(self.get(1), "sts-policy-fetch-error", "no address")
        self.names.failing = {("mta-sts.example.test", "A"), ("mta-sts.example.test", "AAAA")}
        yield self.refused(self.get(1), "sts-policy-fetch-error", "The DNS gave no answer")

    @inlineCallbacks
    def test_private_addresses(self) -> Any:
        """Whoever sends mail says where we connect to."""
        self.private = False
        yield self.refused(self.fetch(plain()), "sts-policy-fetch-error", "its addresses are private or of this host")
        assert self.server.paths == []

    @inlineCallbacks
    def test_nobody_listens(self) -> Any:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # without a queue: nobody can listen there, and nobody does
            yield self.refused(self.get(taken.getsockname()[1]), "sts-policy-fetch-error", "refused")

    @inlineCallbacks
    def test_no_tls(self) -> Any:
        server = WebServer(None, plain())
        self.addCleanup(server.close)
        yield self.refused(self.get(server.port), "sts-webpki-invalid", "")
