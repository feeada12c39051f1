"""Time: idle too long, connected too long, and whose time it is."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.net.relay import Client, Relay
from twistedrelay.values import events

TIMED_OUT = "421 4.4.1 Connection timed out\r\n"


def relay_with(**keys: Any) -> Relay:
    return Relay({"Default Frontend": {"connection_inactivity_timeout": "60s", "connection_timeout": "300s", **keys}})


def test_idle_for_too_long() -> None:
    relay = relay_with()
    client = relay.connect()
    client.said()
    relay.pass_time(59)
    assert client.said() == ""
    relay.pass_time(2)
    assert client.said() == TIMED_OUT
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "connection_inactivity_timeout"


def test_each_command_is_a_sign_of_life_until_the_connection_is_too_old() -> None:
    """A command every 50 s lives no longer than connection_timeout."""
    relay = relay_with()
    client = relay.connect()
    client.said()
    for _ in range(5):
        relay.pass_time(50)
        assert client.command("NOOP").startswith("250")
    relay.pass_time(51)
    assert client.said() == TIMED_OUT
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "connection_timeout"


def test_a_part_of_a_command_is_no_sign_of_life() -> None:
    """One octet every 10 s is idle for connection_inactivity_timeout."""
    relay = relay_with()
    client = relay.connect()
    client.said()
    for octet in b"NOOP N":
        assert client.said() == ""
        client.send(bytes([octet]))
        relay.pass_time(10)
    relay.pass_time(2)
    assert client.said() == TIMED_OUT
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "connection_inactivity_timeout"


def test_in_the_middle_of_a_message() -> None:
    relay = relay_with(min_data_rate=0)
    client = relay.connect().begin()
    client.send(b"Subject: half\r\n")
    relay.pass_time(61)
    assert client.said() == TIMED_OUT
    client.transport.close()
    assert relay.spool.contents[0].aborted
    assert relay.spool.stored == []


def test_the_time_that_we_take_is_not_the_clients() -> None:
    """A store that takes two minutes; then the client has its whole minute again."""
    relay = relay_with()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n.\r\n")
    relay.pass_time(120)
    assert client.said() == ""
    relay.spool.held[0].callback(None)
    assert client.codes() == [250]
    relay.pass_time(58)
    assert not client.is_closing
    relay.pass_time(3)
    assert client.said() == TIMED_OUT


def test_a_tarpit_is_not_the_clients_time() -> None:
    relay = relay_with(connection_inactivity_timeout="5s", tarpit_interval="5s")
    client = relay.connect()
    client.command("HURRAH")
    relay.pass_time(5)
    assert client.codes() == [500]
    relay.pass_time(4)
    assert not client.is_closing


def test_a_login_is_not_the_clients_time() -> None:
    relay = relay_with()
    answer: Deferred[Any] = Deferred()
    relay.users.answer = lambda: answer
    client = relay.connect()
    client.command("EHLO x.example")
    client.login()
    relay.pass_time(25)
    answer.callback(relay.users)
    relay.pass_time(58)
    assert client.codes() == [235]


def test_a_slow_disk_is_not_the_clients_time() -> None:
    relay = relay_with()
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n" + b"x" * 300_000 + b"\r\n")
    content = relay.spool.contents[0]
    content.waiting = 2_000_000
    client.send(b"more\r\n")
    relay.pass_time(200)
    assert not client.is_closing
    content.drain()
    relay.pass_time(58)
    assert not client.is_closing


def test_an_old_connection_gets_the_reply_to_its_message_first() -> None:
    relay = relay_with()
    relay.spool.held = []
    client = relay.connect().begin()
    relay.pass_time(30)
    client.send(b"Subject: x\r\n\r\n.\r\n")
    relay.pass_time(400)
    relay.spool.held[0].callback(None)
    assert client.codes() == [250]
    relay.pass_time(2)
    assert client.said() == TIMED_OUT


def test_who_does_not_read_our_last_words_is_dropped() -> None:
    relay = relay_with()
    client = relay.connect()
    client.send(b"QUIT\r\n")
    relay.pass_time(9)
    assert not client.transport.closed
    relay.pass_time(2)
    assert client.transport.closed
    assert relay.sessions.count() == 0


def slow_content(relay: Relay, rate: int, seconds: int) -> Client:
    """A message that arrives at so many octets a second, in packets without line ends."""
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n")
    for _ in range(seconds):
        relay.pass_time(1)
        client.send(b"x" * rate)
    return client


def test_a_message_that_arrives_too_slowly() -> None:
    relay = relay_with(min_data_rate=100)
    client = slow_content(relay, 90, 62)
    assert client.said().startswith("421 4.4.1 The message arrives too slowly (min_data_rate)")
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "min_data_rate"
    assert relay.spool.contents[0].aborted


def test_a_message_that_arrives_just_fast_enough() -> None:
    client = slow_content(relay_with(min_data_rate=100), 110, 200)
    client.send(b"\r\n.\r\n")
    assert client.codes() == [250]


def test_who_was_fast_may_pause() -> None:
    """A scanner sends its pages as they are fed."""
    relay = relay_with(min_data_rate=100, connection_inactivity_timeout="250s", connection_timeout="1h")
    client = slow_content(relay, 100, 2)
    client.send(b"x" * 30_000)
    relay.pass_time(200)
    assert not client.is_closing
    client.send(b"x" * 1000)
    relay.pass_time(90)
    assert not client.is_closing
    relay.pass_time(75)
    assert client.said().startswith("421 4.4.1 The message arrives too slowly (min_data_rate)")


def test_who_was_fast_may_not_stay_silent() -> None:
    relay = relay_with(min_data_rate=100, connection_inactivity_timeout="130s", connection_timeout="1h")
    client = slow_content(relay, 10_000, 10)
    relay.pass_time(129)
    assert not client.is_closing
    relay.pass_time(2)
    assert client.said() == TIMED_OUT


def test_the_pace_of_a_message_that_is_refused_already() -> None:
    """Too large, but it comes fast: it is read to its end, and its sender hears why."""
    relay = relay_with(min_data_rate=100, max_message_size=65536)
    client = slow_content(relay, 2000, 130)
    client.send(b"\r\n.\r\n")
    assert client.codes() == [552]


def test_no_pace_between_messages() -> None:
    relay = relay_with(min_data_rate=100, connection_inactivity_timeout="250s")
    client = slow_content(relay, 200, 10)
    client.send(b"\r\n.\r\n")
    assert client.codes() == [250]
    relay.pass_time(200)
    assert not client.is_closing


def test_a_slow_disk_does_not_make_the_client_slow() -> None:
    relay = relay_with(min_data_rate=100, connection_timeout="1h")
    client = slow_content(relay, 200, 50)
    content = relay.spool.contents[0]
    content.waiting = 2_000_000
    client.send(b"x" * 300_000)
    relay.pass_time(300)
    content.drain()
    relay.pass_time(58)
    assert not client.is_closing
    relay.pass_time(3)
    assert client.is_closing


def test_an_old_connection_ends_in_a_message_too() -> None:
    relay = relay_with(min_data_rate=100)
    client = slow_content(relay, 200, 299)
    relay.pass_time(3)
    assert client.said() == TIMED_OUT
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "connection_timeout"


def test_who_does_not_read_replies_is_sent_away() -> None:
    relay = relay_with()
    client = relay.connect()
    client.transport.full = True
    client.send(b"NOOP\r\n" * 100)
    assert not client.transport.reading
    relay.pass_time(61)
    assert client.is_closing
    relay.pass_time(11)
    assert client.transport.closed


def test_a_clock_that_is_set_ends_no_session_and_leaves_none_for_ever() -> None:
    for jump in (7200.0, -7200.0):
        relay = relay_with(min_data_rate=100)
        client = relay.connect()
        client.said()
        client.command("HELO client.example")
        client.command("MAIL FROM:<a@client.example>")
        client.command("RCPT TO:<user@akkaya.local>")
        assert client.command("DATA").startswith("354")
        client.send(b"Subject: slow\r\n")
        relay.clock.rightNow += jump
        relay.sessions.wait_on(jump)
        relay.pass_time(50)
        assert client.said() == "", jump
        relay.pass_time(11)
        assert client.said().startswith("421"), jump
        assert client.is_closing
        client.transport.close()
        assert 61 <= relay.events.of(events.Disconnected)[0].seconds <= 63
