"""TLS of sessions, over real loopback connections, and where there is no certificate."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.net.loopback import OverLoopback, context, reactor
from tests.net.relay import Relay
from tests.network import LOOPBACK, PATIENCE, Dialogue
from twistedrelay.values import events


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
        [failed] = self.relay.events.of(events.TLSFailed)
        assert "[" not in failed.reason, "what OpenSSL says, not how pyOpenSSL holds it"
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
            with socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as client:
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
        silent = socket.create_connection((LOOPBACK, self.port), timeout=PATIENCE)
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
        silent = socket.create_connection((LOOPBACK, self.port), timeout=PATIENCE)
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
            with socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as client, pytest.raises(ssl.SSLError):
                ssl.create_default_context().wrap_socket(client, server_hostname="localhost")

        yield self.play(play)
        yield self.gone()
        assert len(self.relay.events.of(events.Disconnected)) == 1
