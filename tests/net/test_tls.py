"""TLS of sessions, over real loopback connections, and where there is no certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from OpenSSL import SSL
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.net.relay import FQDN, FakeContent, Relay
from tests.network import LOOPBACK, Dialogue
from twistedrelay.net.esmtp import DISK_BACKLOG
from twistedrelay.net.transport import ListeningPort, Turn
from twistedrelay.values import events

reactor: Any = installed
CERTIFICATE = trustme.CA().issue_cert(FQDN)
MESSAGE = b"Subject: x\r\n\r\ntext\r\n.\r\n"


def context() -> SSL.Context:
    """A server's context with the test certificate."""
    made = SSL.Context(SSL.TLS_METHOD)
    CERTIFICATE.configure_cert(made)
    return made


def test_no_certificate_for_starttls() -> None:
    relay = Relay()
    client = relay.connect()
    client.command("EHLO x.example")
    assert client.command("STARTTLS") == "454 4.7.0 TLS not available due to temporary reason\r\n"
    assert client.command("NOOP")[:3] == "250"
    assert relay.events.of(events.CommandRefused)[0].reason == "no certificate"


def test_no_certificate_for_implicit_tls() -> None:
    relay = Relay({"Submissions": {"implicit_tls": True}})
    client = relay.connect()
    assert client.said() == "", "nothing in the clear"
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.TLSFailed)[0].reason == "no certificate"
    assert relay.counts.total("Submissions") == 0


def test_nobody_is_turned_away_in_the_clear() -> None:
    relay = Relay({"Submissions": {"implicit_tls": True, "remote_ip_ranges": ["10.0.0.0/8"]}})
    client = relay.connect()
    assert client.said() == ""
    assert client.is_closing


def test_what_comes_behind_starttls_ends_the_session() -> None:
    relay = Relay()
    relay.certificates.context = context()
    for injected in (b"NOOP\r\n", b"X", b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\n"):
        client = relay.connect()
        client.command("EHLO x.example")
        client.send(b"STARTTLS\r\n" + injected)
        assert client.codes() == [503]
        assert client.is_closing


def test_a_handshake_is_read_though_the_last_reply_was_not() -> None:
    """The transport paused the session, and its TLS layer will not tell it to go on."""
    relay = Relay()
    relay.certificates.context = context()
    client = relay.connect()
    client.command("EHLO x.example")
    client.transport.full = True
    assert client.command("STARTTLS") == "220 2.0.0 SMTP server ready\r\n"
    assert client.transport.reading


class OverLoopback(TestCase):
    """Real connections."""

    timeout = 20
    connector: dict[str, Any] = {}  # noqa: RUF012

    def setUp(self) -> None:
        self.relay = Relay({"Default Frontend": {"bindings": [f"{LOOPBACK}:25"], **self.connector}}, clock=reactor)
        self.relay.certificates.context = context()
        self.listener = ListeningPort(0, self.relay.factories[0], LOOPBACK, Turn(reactor), reactor)
        self.listener.startListening()
        self.port = self.listener.getHost().port
        self.addCleanup(self.close)

    @inlineCallbacks
    def close(self) -> Any:
        yield self.listener.stopListening()
        self.relay.sessions.abort()
        while self.relay.sessions.count():
            yield deferLater(reactor, 0.01)
        assert self.relay.counts.total("Default Frontend") == 0

    @inlineCallbacks
    def gone(self) -> Any:
        """No session is left."""
        while self.relay.sessions.count():
            yield deferLater(reactor, 0.01)

    def play(self, play: Callable[[int], Any]) -> Deferred[Any]:
        """Let a client talk, in a thread."""
        return deferToThread(play, self.port)


class StartTLSTests(OverLoopback):
    """STARTTLS."""

    @inlineCallbacks
    def test_a_message(self) -> Any:
        """The handshake; all that was said before is forgotten; a message; an orderly end."""

        def play(port: int) -> list[str]:
            with Dialogue(port) as session:
                assert "STARTTLS" in session.command("EHLO clear.example")
                session.start_tls()
                before = session.command("MAIL FROM:<a@client.example>")
                offered = session.command("EHLO client.example")
                again = session.command("STARTTLS")
                stored = session.message("a@client.example", ["user@akkaya.local"], b"Subject: x\n\ntext\n")
                ended = session.command("QUIT")
                assert session.closed()
                return [before, offered, again, stored, ended]

        before, offered, again, stored, ended = yield self.play(play)
        assert before == "503 5.5.2 Send hello first"
        assert "STARTTLS" not in offered
        assert [again[:3], stored[:3], ended[:3]] == ["503", "250", "221"]
        [started] = self.relay.events.of(events.TLSStarted)
        assert started.version == "TLSv1.3"
        received = self.relay.spool.contents[0].octets
        assert b"from client.example " in received
        assert f"with ESMTPS (version=TLSv1.3, cipher={started.cipher})".encode() in received
        yield self.gone()
        assert self.relay.events.of(events.TLSFailed) == []
        assert self.relay.events.of(events.Disconnected)[0].reason == "QUIT"

    @inlineCallbacks
    def test_behind_more_replies_than_a_transport_holds(self) -> Any:
        """The client read late, so the transport had paused the session when TLS began."""

        def play(port: int) -> str:
            with Dialogue(port) as session:
                session.command("EHLO client.example")
                session.send(b"NOOP\r\n" * 10_000 + b"STARTTLS\r\n")
                for _ in range(10_000):
                    session.reply()
                assert session.reply()[:3] == "220"
                session.wrap()
                return session.command("EHLO client.example")

        said = yield self.play(play)
        assert said[:3] == "250"

    @inlineCallbacks
    def test_a_handshake_that_fails(self) -> Any:
        """It is told, and the session ends."""

        def play(port: int) -> None:
            with Dialogue(port) as session:
                session.command("EHLO client.example")
                session.command("STARTTLS")
                session.send(b"EHLO in the clear\r\n")
                session.closed()

        yield self.play(play)
        yield self.gone()
        assert len(self.relay.events.of(events.TLSFailed)) == 1
        assert self.relay.events.of(events.TLSStarted) == []

    @inlineCallbacks
    def test_the_relay_drains(self) -> Any:
        """The last words come under TLS."""

        def play(port: int) -> str:
            with Dialogue(port) as session:
                session.command("EHLO client.example")
                session.start_tls()
                session.command("EHLO client.example")
                reactor.callFromThread(self.relay.sessions.drain)
                said = session.reply()
                assert session.closed()
                return said

        said = yield self.play(play)
        assert said == "421 4.3.2 Service not available"

    @inlineCallbacks
    def test_a_flood_that_is_read_late(self) -> Any:
        """No reply is lost, and the session goes on."""

        def play(port: int) -> int:
            with Dialogue(port) as session:
                session.command("EHLO client.example")
                session.start_tls()
                session.send(b"NOOP\r\n" * 10_000)
                return sum(session.reply()[:3] == "250" for _ in range(10_000)) + (session.command("QUIT")[:3] == "221")

        answered = yield self.play(play)
        assert answered == 10001


class FloodTests(OverLoopback):
    """A client that talks and does not listen."""

    @inlineCallbacks
    def test_replies_that_are_not_read_do_not_pile_up(self) -> Any:
        """The session stops long before all that was received is answered, and goes on when the client listens."""
        count = 20_000
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
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
        mark = b"\r\n250 8BITMIME\r\n"
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


class ImplicitTLSTests(OverLoopback):
    """TLS from the first octet."""

    connector = {"implicit_tls": True}  # noqa: RUF012

    @inlineCallbacks
    def test_a_message(self) -> Any:
        """The banner comes behind the handshake; STARTTLS is not offered."""

        def play(port: int) -> list[str]:
            with Dialogue(port, greeting=False) as session:
                session.wrap()
                said = [session.reply(), session.command("EHLO client.example"), session.command("STARTTLS")]
                said.append(session.message("a@client.example", ["user@akkaya.local"], b"Subject: x\n\ntext\n"))
                said.append(session.command("QUIT"))
                assert session.closed()
                return said

        said = yield self.play(play)
        assert [reply[:3] for reply in said] == ["220", "250", "503", "250", "221"]
        assert "STARTTLS" not in said[1]
        assert b"with ESMTPS (version=TLSv1.3" in self.relay.spool.contents[0].octets

    @inlineCallbacks
    def test_clear_text(self) -> Any:
        """Nothing is said in the clear to a client that does not speak TLS."""

        def play(port: int) -> bytes:
            with socket.create_connection((LOOPBACK, port), timeout=20) as client:
                client.sendall(b"EHLO clear.example\r\n" * 10)
                said = b""
                try:
                    while part := client.recv(1000):
                        said += part
                except ConnectionResetError:
                    pass
                return said

        said = yield self.play(play)
        assert b"220" not in said
        assert b"EHLO" not in said
        yield self.gone()
        assert len(self.relay.events.of(events.TLSFailed)) == 1

    @inlineCallbacks
    def test_a_client_that_says_nothing(self) -> Any:
        """It is dropped when its time is over, without a word in the clear."""
        silent = socket.create_connection((LOOPBACK, self.port), timeout=20)
        self.addCleanup(silent.close)
        while not self.relay.events.of(events.Connected):
            yield deferLater(reactor, 0.01)
        self.relay.sessions.sweep(reactor.seconds() + 301)
        yield self.gone()
        assert self.relay.events.of(events.Disconnected)[0].reason == "connection_inactivity_timeout"
        said = yield deferToThread(self.received, silent)
        assert said == b""

    @staticmethod
    def received(client: socket.socket) -> bytes:
        """What came before the end."""
        try:
            return client.recv(1000)
        except ConnectionResetError:
            return b""

    @inlineCallbacks
    def test_the_relay_drains_during_a_handshake(self) -> Any:
        """There is nobody to talk to yet."""
        silent = socket.create_connection((LOOPBACK, self.port), timeout=20)
        self.addCleanup(silent.close)
        while not self.relay.events.of(events.Connected):
            yield deferLater(reactor, 0.01)
        self.relay.sessions.drain()
        yield self.gone()
        assert self.relay.events.of(events.Disconnected)[0].reason == "shutdown"

    @inlineCallbacks
    def test_a_client_that_distrusts_the_certificate(self) -> Any:
        """It leaves, and that is told."""

        def play(port: int) -> None:
            with socket.create_connection((LOOPBACK, port), timeout=20) as client, pytest.raises(ssl.SSLError):
                ssl.create_default_context().wrap_socket(client, server_hostname="localhost")

        yield self.play(play)
        yield self.gone()
        assert len(self.relay.events.of(events.Disconnected)) == 1
