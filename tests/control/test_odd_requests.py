"""Requests as nobody should make them, and clients that go away: always a document, never a trace in the log."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import SafetyNet, Schedule, Spool, make_api, make_message
from tests.network import PATIENCE
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.server import MAX_BODY, ControlService


class Large:
    """Content that takes a while to be read."""

    size = 50_000_000

    def read(self, offset: int, length: int) -> defer.Deferred[bytes]:
        return deferLater(reactor, 0.0, lambda: b"x" * min(length, self.size - offset))


class Waiting(Schedule):
    """A schedule whose removals take as long as a test likes."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool)
        self.removal: defer.Deferred[bool] = defer.Deferred()

    def remove(self, id: int, with_ndr: bool) -> defer.Deferred[bool]:
        return self.removal


class OddRequestTests(TestCase):
    """Each test has a daemon's control service of its own."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.path = str(Path(self.enterContext(tempfile.TemporaryDirectory())) / "c" / "s")
        self.spool = Spool({1: make_message(1)})
        self.schedule = Waiting(self.spool)
        self.api = make_api(reactor, self.spool, self.schedule, SafetyNet())
        service = ControlService(reactor, self.path, self.api)  # type: ignore[arg-type]
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.client = ControlClient(self.path)

    def talk(self, octets: bytes, then: Callable[[socket.socket], Any]) -> defer.Deferred[Any]:
        """Send octets, in a thread, and do something."""

        def work() -> Any:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(self.path)
                connection.sendall(octets)
                return then(connection)

        return deferToThread(work)

    async def ask(self, line: bytes, *fields: bytes, body: bytes = b"") -> tuple[bytes, Any]:
        """The status line of an answer, and its document."""
        head = b"\r\n".join([line + b" HTTP/1.1", b"Connection: close", b"Content-Length: %d" % len(body), *fields])
        answer = await self.talk(head + b"\r\n\r\n" + body, read_all)
        status, _, rest = answer.partition(b"\r\n")
        said = rest.partition(b"\r\n\r\n")[2]
        return status, json.loads(said) if said else None

    async def post(self, path: bytes, body: bytes) -> tuple[bytes, Any]:
        return await self.ask(b"POST " + path, b"Host: x", b"Content-Type: application/json", body=body)

    async def test_the_host_does_not_matter(self) -> None:
        for host in (b"a..b", b"a" * 70, b"[::1", b"\xff", b""):
            status, document = await self.ask(b"GET /v1/status", b"Host: " + host)
            assert (status, document["sessions"]) == (b"HTTP/1.1 200 OK", 7)

    async def test_nobody_is_sent_elsewhere(self) -> None:
        for path in (b"/v1//status", b"/v1/status/", b"/v1/../v1/status"):
            status, document = await self.ask(b"GET " + path, b"Host: x")
            assert status == b"HTTP/1.1 404 Not Found"
            assert "/v1/openapi.json" in document["detail"]

    async def test_accounts_with_slashes(self) -> None:
        _, document = await self.ask(b"DELETE /v1/users/a%2Fb%40akkaya.local", b"Host: x")
        assert "There is no user a/b@akkaya.local" in document["detail"]

    async def test_what_is_no_http_is_told_so(self) -> None:
        for octets in (b"GET /v1/status HTTP/3.0\r\nHost: x\r\n\r\n", b"GET /v1/status HTTP/1.1\r\n" + b"A: b\r\n" * 600 + b"\r\n"):
            answer = await self.talk(octets, read_all)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json")
            assert json.loads(body)["status"] == 400

    async def test_the_words_of_a_status(self) -> None:
        status, document = await self.post(b"/v1/explain", b'{"client": "x"}')
        assert status == b"HTTP/1.1 422 Unprocessable Entity"
        assert document["detail"] == "client: 'x' is no IP address"
        asked = b"PATCH /v1/connectors/IP%2FRelay", b"Host: x", b"Content-Type: application/json"
        status, document = await self.ask(*asked, body=b'{"set": {"banner": true}}')
        assert status == b"HTTP/1.1 422 Unprocessable Entity"
        assert document["errors"][0]["pointer"].startswith("/set/banner")

    async def test_a_stream_has_no_end_but_its_head_has(self) -> None:
        status, document = await self.ask(b"HEAD /v1/trace", b"Host: x")
        assert (status, document) == (b"HTTP/1.1 200 OK", None)
        assert len(self.api._relay.streams) == 0

    async def test_times_and_places_that_cannot_be(self) -> None:
        for line in (
            b"POST /v1/safety-net/requests?start=0001-01-01T00:00:00%2B14:00",
            b"POST /v1/safety-net/requests?start=9999-12-31T23:59:59-14:00",
            b"GET /v1/safety-net/messages?after=nan,1",
            b"GET /v1/safety-net/messages?after=inf,1",
            b"GET /v1/safety-net/messages?after=1," + b"9" * 900,
        ):
            assert (await self.ask(line, b"Host: x"))[0] == b"HTTP/1.1 400 Bad Request", line
        assert await self.ask(b"GET /v1/safety-net/requests", b"Host: x") == (b"HTTP/1.1 200 OK", [])
        status, _ = await self.post(b"/v1/diff", b'{"path": "/x", "files": {"/a\\u0000b": ""}}')
        assert status == b"HTTP/1.1 422 Unprocessable Entity"

    async def test_who_sends_too_much_hears_why(self) -> None:
        error = await self.assertFailure(deferToThread(self.client.post, "/v1/explain", {"client": "x" * 2 * MAX_BODY}), Refused)
        assert (error.status, str(error)) == (413, f"A body has at most {MAX_BODY} octets.")

    async def test_a_client_that_leaves_in_the_middle(self) -> None:
        self.spool.kept[1].content = Large()  # type: ignore[assignment]
        await self.talk(b"GET /v1/messages/1/content HTTP/1.1\r\nHost: x\r\n\r\n", lambda connection: connection.recv(1000))
        await deferLater(reactor, 0.1)
        assert (await deferToThread(self.client.status))["sessions"] == 7
        assert self.flushLoggedErrors() == []

    async def test_a_change_that_nobody_waits_for_is_made(self) -> None:
        ended: list[object] = []
        self.schedule.removal.addBoth(ended.append)
        await self.talk(b"DELETE /v1/messages/1 HTTP/1.1\r\nHost: x\r\n\r\n", lambda connection: None)
        await deferLater(reactor, 0.1)
        assert ended == []  # it was not cancelled
        self.schedule.removal.callback(True)
        assert ended == [True]
        assert self.flushLoggedErrors() == []


def read_all(connection: socket.socket) -> bytes:
    """All until the end."""
    return b"".join(iter(lambda: connection.recv(65536), b""))
