"""The end of sessions: the relay drains, or something breaks."""

from __future__ import annotations

from twisted.logger import capturedLogs

from tests.net.relay import FakeContent, Relay
from twistedrelay.interfaces import SpoolError
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.values import events
from twistedrelay.values import reply as replies

SHUTDOWN = "421 4.3.2 Service not available\r\n"
MESSAGE = b"Subject: x\r\n\r\ntext\r\n.\r\n"


def test_idle_sessions_end() -> None:
    relay = Relay()
    fresh, greeted, in_transaction = relay.connect(), relay.connect(), relay.connect()
    greeted.command("EHLO x.example")
    in_transaction.command("EHLO x.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>")
    fresh.said()
    relay.sessions.drain()
    for client in (fresh, greeted, in_transaction):
        assert client.said() == SHUTDOWN
        assert client.is_closing
        client.transport.close()
    assert relay.sessions.count() == 0
    assert {event.reason for event in relay.events.of(events.Disconnected)} == {"shutdown"}


def test_a_message_that_arrives_is_finished() -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(MESSAGE[:10])
    relay.sessions.drain()
    assert client.said() == ""
    client.send(MESSAGE[10:] + b"MAIL FROM:<a@b.example>\r\n")
    said = client.said()
    assert said.startswith("250 2.6.0 ")
    assert said.endswith(SHUTDOWN)
    assert client.is_closing
    assert len(relay.submitted) == 1


def test_no_further_message_is_begun() -> None:
    """However far ahead the client talks."""
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(MESSAGE + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
    relay.sessions.drain()
    relay.spool.held[0].callback(None)
    assert client.codes() == [250, 421]
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "shutdown"


def test_a_message_that_is_being_stored_is_answered() -> None:
    """To say 421 instead would have the client send it again."""
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(MESSAGE)
    relay.sessions.drain()
    assert client.said() == ""
    relay.spool.held[0].callback(None)
    assert client.codes() == [250, 421]
    assert client.is_closing
    assert not relay.events.of(events.ReceiveUncertain)


def test_a_message_that_cannot_be_stored_is_answered() -> None:
    relay = Relay({"Default Frontend": {"tarpit_interval": "5s"}})
    client = relay.connect().begin()
    relay.sessions.drain()
    relay.spool.error = SpoolError("full", replies.SYSTEM_RESOURCES)
    client.send(MESSAGE)
    assert client.codes() == [452, 421]


def test_a_faulty_message_is_refused_for_good() -> None:
    relay = Relay({"Default Frontend": {"tarpit_interval": "5s"}})
    client = relay.connect().begin()
    relay.sessions.drain()
    client.send(b"a\nb\r\n.\r\n")
    assert client.codes() == [550, 421]


def test_a_session_in_a_tarpit_ends() -> None:
    relay = Relay({"Default Frontend": {"tarpit_interval": "5s"}})
    client = relay.connect()
    client.command("HURRAH")
    relay.sessions.drain()
    assert client.said() == SHUTDOWN
    relay.clock.advance(6)
    assert client.said() == ""


def test_sessions_that_closed_already_are_left_alone() -> None:
    relay = Relay({"Default Frontend": {"remote_ip_ranges": ["192.168.0.0/16"]}})
    refused, ended = relay.connect("10.0.0.1"), relay.connect()
    ended.send(b"QUIT\r\n")
    refused.said()
    ended.said()
    relay.sessions.drain()
    assert refused.said() == ended.said() == ""


def test_what_does_not_end_is_dropped() -> None:
    relay = Relay()
    client = relay.connect().begin()
    relay.sessions.drain()
    relay.sessions.abort()
    assert client.transport.closed
    assert relay.spool.contents[0].aborted == 1
    assert relay.sessions.count() == 0


class BrokenAcceptance(Acceptance):
    """A defect in the policy."""

    __slots__ = ()

    def rcpt(self, *arguments: object) -> replies.Reply:  # type: ignore[override]
        raise ZeroDivisionError("a defect")


def test_a_defect_ends_its_session_and_no_other() -> None:
    relay = Relay()
    other = relay.connect()
    other.said()
    relay.replace(acceptance=BrokenAcceptance(relay.config))
    client = relay.connect()
    client.send(b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\n")
    client.said()
    with capturedLogs() as logs:
        client.send(b"RCPT TO:<user@akkaya.local>\r\nDATA\r\n")
    assert client.said() == "421 4.3.0 Temporary server error, closing transmission channel\r\n"
    assert client.is_closing
    assert any(entry.get("log_failure") is not None and entry["session"] == client.session.session for entry in logs)
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "internal error"
    assert other.command("NOOP")[:3] == "250"
    assert relay.counts.total("Default Frontend") == 1


class BrokenContent(FakeContent):
    """A defect in the spool."""

    def write(self, chunk: bytes) -> None:
        raise ZeroDivisionError("a defect")


def test_a_defect_in_the_middle_of_a_message() -> None:
    relay = Relay()
    relay.spool.make_content = BrokenContent
    client = relay.connect().begin()
    with capturedLogs():
        client.send(MESSAGE)
    assert client.codes() == [421]
    client.transport.close()
    assert relay.spool.contents[0].aborted == 1
    assert relay.spool.stored == []


def test_a_defect_behind_the_store_is_logged() -> None:
    """The message is safe and acknowledged; the session is not, and says so."""
    relay = Relay()

    def submit(message: object) -> None:
        raise ZeroDivisionError("a defect")

    relay.replace(submit=submit)
    client = relay.connect().begin()
    with capturedLogs() as logs:
        client.send(MESSAGE)
    assert client.codes() == [250, 421]
    assert any(entry.get("log_failure") is not None for entry in logs)
