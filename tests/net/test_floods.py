"""Back-pressure over real connections: clients that talk and do not listen, a disk that is slower than the network."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.net.loopback import OverLoopback, reactor
from tests.net.relay import FakeContent
from tests.network import LOOPBACK, PATIENCE, Dialogue
from twistedrelay.net.esmtp import DISK_BACKLOG


class FloodTests(OverLoopback):
    """A client that talks and does not listen."""

    @inlineCallbacks
    def test_replies_that_are_not_read_do_not_pile_up(self) -> Any:
        """The session stops long before all that was received is answered, and goes on when the client listens."""
        count = 20_000
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(PATIENCE)
            client.connect((LOOPBACK, self.port))
            sending = deferToThread(client.sendall, b"EHLO\r\n" * count)
            most, last = 0, -1
            while last != self.pending() or not last:
                last = self.pending()
                most = max(most, last)
                yield deferLater(reactor, 0.1)
            assert 0 < most < 300_000
            said = yield deferToThread(self.listen, client, count)
            yield sending
        assert said == count

    def pending(self) -> int:
        """Octets that the kernel did not take."""
        transports = [session.transport for session in self.relay.sessions]
        return sum(len(transport.dataBuffer) - transport.offset + transport._tempDataLen for transport in transports)

    @staticmethod
    def listen(client: socket.socket, count: int) -> int:
        """How many replies come."""
        mark = b"\r\n250 LIMITS RCPTMAX=200\r\n"
        found, rest = 0, b""
        while found < count and (part := client.recv(1_000_000)):
            rest += part
            found += rest.count(mark)
            rest = rest[-len(mark) + 1 :]
        return found


class SlowContent(FakeContent):
    """A disk that is slower than the network."""

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        self.waiting += len(chunk)
        if self.waiting > DISK_BACKLOG:
            reactor.callLater(0.02, self.drain)


class LargeMessageTests(OverLoopback):
    """Reading is paused and goes on."""

    def transfer(self, tls: bool) -> Deferred[Any]:
        self.relay.spool.make_content = SlowContent
        content = b"Subject: x\r\n\r\n" + b"0123456789abcdef" * 60 + b"\r\n"
        content += (b"x" * 998 + b"\r\n") * 6000

        def play(port: int) -> str:
            with Dialogue(port) as session:
                session.command("EHLO client.example")
                if tls:
                    session.start_tls()
                    session.command("EHLO client.example")
                return session.message("a@client.example", ["user@akkaya.local"], content)

        def check(said: str) -> None:
            assert said[:3] == "250"
            assert self.relay.spool.contents[0].octets.endswith(content)

        return self.play(play).addCallback(check)

    def test_in_the_clear(self) -> Deferred[Any]:
        """A slow disk loses nothing."""
        return self.transfer(tls=False)

    def test_under_tls(self) -> Deferred[Any]:
        """Nor does it where Twisted decrypts what it read already."""
        return self.transfer(tls=True)
