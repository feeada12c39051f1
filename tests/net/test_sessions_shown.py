"""Sessions in progress as views show them, and their end by an administrator."""

from __future__ import annotations

from tests.net.relay import Relay
from twistedrelay.values import events


def test_views() -> None:
    relay = Relay()
    first, second = relay.connect(), relay.connect()
    first.command("EHLO one.example")
    second.begin()
    views = {view.helo: view for view in relay.sessions.views()}
    assert views["one.example"].state == "Idle"
    assert views["client.example"].state == "Receiving"
    assert {view.connector for view in views.values()} == {"Default Frontend"}
    assert first.command("MAIL FROM:<a@b.example>").startswith("250 ")
    assert {view.state for view in relay.sessions.views()} == {"Transaction", "Receiving"}
    first.command("QUIT")
    first.transport.close()
    assert [view.helo for view in relay.sessions.views()] == ["client.example"]


def test_messages_are_counted() -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n.\r\n")
    (view,) = relay.sessions.views()
    assert (view.messages, view.state) == (1, "Idle")


def test_one_session_is_ended() -> None:
    relay = Relay()
    one, other = relay.connect(), relay.connect()
    one.command("EHLO one.example")
    other.command("EHLO other.example")
    number = next(view.session for view in relay.sessions.views() if view.helo == "one.example")
    assert relay.sessions.disconnect(number)
    assert one.said() == "421 4.3.2 Service not available\r\n"
    assert one.is_closing
    assert not other.is_closing
    one.transport.close()
    assert not relay.sessions.disconnect(number)
    assert [event.reason for event in relay.events.of(events.Disconnected)] == ["ended by an administrator"]


def test_a_message_that_is_being_stored_is_answered_first() -> None:
    """To say 421 instead would have the client send it again."""
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n.\r\n")
    (view,) = relay.sessions.views()
    assert view.state == "Storing"
    assert relay.sessions.disconnect(view.session)
    assert client.said() == ""
    relay.spool.held[0].callback(None)
    assert client.codes() == [250, 421]
    assert client.is_closing
    client.transport.close()
    assert not relay.events.of(events.ReceiveUncertain)
    assert relay.events.of(events.Disconnected)[0].reason == "ended by an administrator"
