"""Tests for L{twistedrelay.tls.webpost}, with servers that behave badly."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet import defer, endpoints, reactor, ssl
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from tests.network import PATIENCE
from tests.pace import PacedReactor
from twistedrelay.tls import webpost
from twistedrelay.tls.webclient import WebError
from twistedrelay.tls.webpost import LONGEST, SHOWN, poster


def written(path: str, content: bytes) -> str:
    """A file that was made."""
    Path(path).write_bytes(content)
    return path


class Server(Protocol):
    """Says what it was made to say, once a whole request is there."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.connections.append(self)
        self.seen = b""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.remove(self)

    def dataReceived(self, data: bytes) -> None:
        self.seen += data
        self.factory.seen = self.seen
        if self.seen.endswith(b"{}"):
            self.factory.answer(self.transport)


class WebPostTests(TestCase):
    timeout = PATIENCE

    def setUp(self) -> None:
        self.paced = PacedReactor(reactor)
        self.paced.start()
        self.addCleanup(self.paced.stop)
        self.ports: list[Any] = []
        self.servers: list[Any] = []

    async def serve(self, answer: Callable[[Any], object], context: Any = None) -> int:
        factory: Any = Factory.forProtocol(Server)
        factory.answer, factory.connections, factory.seen = answer, [], b""
        self.servers.append(factory)
        text = "tcp:0:interface=127.0.0.1"
        endpoint = endpoints.serverFromString(reactor, text)
        if context is not None:
            endpoint = endpoints.SSL4ServerEndpoint(reactor, 0, context, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.ports.append(port)
        return int(port.getHost().port)

    def tearDown(self) -> defer.Deferred[Any]:  # type: ignore[override]
        for server in self.servers:
            for connection in list(server.connections):
                connection.transport.abortConnection()
        return defer.DeferredList([port.stopListening() for port in self.ports])

    async def post(self, answer: Callable[[Any], object]) -> tuple[int, float, str]:
        port = await self.serve(answer)
        return await poster(self.paced, f"http://127.0.0.1:{port}/hook?a=b", "")(b"{}", {"webhook-id": "evt_1"})

    async def refused(self, answer: Callable[[Any], object]) -> str:
        """Why there is no answer."""
        with pytest.raises(WebError) as raised:
            await self.post(answer)
        return str(raised.value)

    async def test_an_answer(self) -> None:
        found = await self.post(lambda peer: peer.write(b"HTTP/1.1 204 No Content\r\n\r\n"))
        assert found == (204, 0.0, "")
        seen = self.servers[0].seen
        assert seen.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
        assert b"webhook-id: evt_1" in seen.replace(b"Webhook-Id", b"webhook-id")

    async def test_an_ipv6_address(self) -> None:
        factory: Any = Factory.forProtocol(Server)
        factory.answer, factory.connections, factory.seen = lambda peer: peer.write(b"HTTP/1.1 204 No Content\r\n\r\n"), [], b""
        try:
            port = await endpoints.TCP6ServerEndpoint(reactor, 0, interface="::1").listen(factory)
        except CannotListenError:
            raise SkipTest("there is no IPv6 here") from None
        self.ports.append(port)
        url = f"http://[::1]:{port.getHost().port}/hook"
        assert await poster(self.paced, url, "")(b"{}", {}) == (204, 0.0, "")

    async def test_a_refusal_with_its_text(self) -> None:
        answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 5\r\n\r\nlater"
        assert await self.post(lambda peer: peer.write(answer)) == (503, 17.0, "later")

    async def test_a_redirect_is_not_followed(self) -> None:
        answer = b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        assert (await self.post(lambda peer: peer.write(answer)))[0] == 307

    async def test_a_date_is_not_waited_for(self) -> None:
        answer = b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n"
        assert await self.post(lambda peer: peer.write(answer)) == (503, 0.0, "")

    async def test_garbage(self) -> None:
        assert await self.refused(lambda peer: (peer.write(b"\x00\xff\r\n\r\n" * 3), peer.loseConnection()))

    async def test_nothing(self) -> None:
        assert "the connection failed" in await self.refused(lambda peer: peer.loseConnection())

    async def test_endless_header_fields(self) -> None:
        assert await self.refused(lambda peer: peer.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * LONGEST))

    async def test_an_endless_refusal(self) -> None:
        found = await self.post(lambda peer: peer.write(b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 3 * LONGEST))
        assert found == (500, 0.0, "x" * SHOWN)

    async def test_an_endless_yes_is_a_yes(self) -> None:
        found = await self.post(lambda peer: peer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3 * LONGEST))
        assert found[0] == 200

    async def test_a_yes_that_does_not_end_holds_one_connection(self) -> None:
        self.patch(webpost, "TIMEOUT", 0.2)
        port = await self.serve(lambda peer: peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"))
        post = poster(self.paced, f"http://127.0.0.1:{port}/", "")
        for _ in range(5):
            assert await post(b"{}", {}) == (200, 0.0, "")
            assert len(self.servers[0].connections) <= 2

    async def test_silence(self) -> None:
        self.patch(webpost, "TIMEOUT", 0.2)
        assert "no answer within" in await self.refused(lambda peer: None)

    async def test_nobody_there(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # without a queue: nobody can listen there, and nobody does
            port = taken.getsockname()[1]
            with pytest.raises(WebError, match="cannot be connected to"):
                await poster(self.paced, f"http://127.0.0.1:{port}/", "")(b"{}", {})

    async def test_a_certificate_is_verified(self) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        pem = b"".join(part.bytes() for part in issued.cert_chain_pems)
        context = ssl.PrivateCertificate.loadPEM(pem + issued.private_key_pem.bytes()).options()
        port = await self.serve(lambda peer: peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), context)
        file = written(self.mktemp(), authority.cert_pem.bytes())
        assert (await poster(self.paced, f"https://localhost:{port}/", file)(b"{}", {}))[0] == 200
        other = written(self.mktemp(), trustme.CA().cert_pem.bytes())
        for trusted in (other, ""):
            with pytest.raises(WebError):
                await poster(self.paced, f"https://localhost:{port}/", trusted)(b"{}", {})


def test_a_file_without_certificates(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ValueError, match="no certificate"):
        poster(reactor, "https://localhost/", str(file))
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match="no certificate"):
        poster(reactor, "https://localhost/", str(file))
