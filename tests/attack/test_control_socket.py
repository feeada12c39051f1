"""Malformed HTTP of every kind at the control socket: each connection ends, the daemon goes on and says nothing of a defect."""

from __future__ import annotations

import random
import socket
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api, make_message
from tests.network import PATIENCE, eventually
from twistedrelay.control.client import ControlClient, NoDaemon
from twistedrelay.control.server import ControlService
from twistedrelay.observe.places import RESERVED

REQUESTS = (
    b"GET /v1/messages?filter=Status+-eq+'Retry'&limit=10 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/queues/EXCSERVER%5Cmail.example.org HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    (
        b"POST /v1/messages/changes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\r\n"
        b'{"action": "suspend", "ids": [1]} '
    ),
    b"POST /v1/queues/x/suspend?reason=a&seconds=5 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"DELETE /v1/messages/1?with_ndr=true HTTP/1.0\r\n\r\n",
    b"GET /v1/messages/1/content HTTP/1.1\r\nHost: x\r\nRange: bytes=0-5\r\nConnection: close\r\n\r\n",
    b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9\r\n\r\n--x\r\n\r\n\r\n",
)
SPICES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\xff\xfe",
        b"%",
        b"%zz",
        b"%00",
        b"%C3%28",
        b" ",
        b"\t",
        b":",
        b"HTTP/9.9",
        b"../",
        b"//",
        b"?",
        b"&&",
    ),
    *(b"Content-Length: -5\r\n", b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"fffffffffff\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"[" * 3000, b'{"ids":' * 500, b"a" * 70_000),
)


def spoiled(chance: random.Random) -> bytes:
    """A request with some things wrong in it."""
    octets = bytearray(chance.choice(REQUESTS))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(octets) + 1)
        match chance.randrange(4):
            case 0:
                octets[place:place] = chance.choice(SPICES)
            case 1:
                del octets[place : place + chance.randint(1, 20)]
            case 2:
                octets[place : place + 1] = bytes([chance.randrange(256)])
            case _:
                octets[place:place] = chance.choice(REQUESTS)
    return bytes(octets)


class ControlSocketTests(TestCase):
    """Against the API over stand-ins, on a UNIX socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.path = str(Path(self.enterContext(tempfile.TemporaryDirectory())) / "s")
        spool = Spool({number: make_message(number) for number in range(1, 30)})
        service = ControlService(reactor, self.path, make_api(reactor, spool, Schedule(spool)))  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)

    def send(self, octets: bytes) -> bytes:
        """Say all of it and nothing more; what is answered."""
        got = b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.path)
            try:
                connection.sendall(octets)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    got += chunk
            except (BrokenPipeError, ConnectionResetError):
                pass
        return got

    async def test_spoiled_requests(self) -> None:
        chance = random.Random(20_261_122)

        def attack() -> list[bytes]:
            return [self.send(spoiled(chance)) for _ in range(300)]

        answers = await deferToThread(attack)
        statuses = {answer.split()[1] for answer in answers if answer.startswith(b"HTTP/1.1 ")}
        assert not {status for status in statuses if status.startswith(b"5")} - {b"501", b"505"}
        assert {b"200", b"400"} <= statuses
        assert (await deferToThread(ControlClient(self.path).status))["sessions"] == 7
        assert self.flushLoggedErrors() == []

    async def test_connections_that_say_nothing_are_bounded(self) -> None:
        def attack() -> tuple[int, bool]:
            silent = [socket.socket(socket.AF_UNIX) for _ in range(RESERVED + 20)]
            for each in silent:
                each.setblocking(False)
            closed = 0
            for each in silent:
                eventually(lambda each=each: not each.connect_ex(self.path), "there is room in the backlog")  # type: ignore[misc]
                each.settimeout(PATIENCE)
            for each in silent[:20]:  # they have waited longest
                closed += each.recv(1) == b""
            answered = self.answers()
            for each in silent:
                each.close()
            return closed, answered

        assert await deferToThread(attack) == (20, True)
        assert await deferToThread(eventually, self.answers, "it answers once they are gone")

    def answers(self) -> bool:
        """Whether there is room for another connection."""
        try:
            return bool(ControlClient(self.path).status())
        except NoDaemon:
            return False
