"""What sessions do while resources run short: L{twistedrelay.policy.pressure} at MAIL, and the rate of connections."""

from __future__ import annotations

from tests.net.relay import Relay
from twistedrelay.config.pressure import BackPressure as Settings
from twistedrelay.policy.pressure import BackPressure, Reading
from twistedrelay.policy.throttle import ConnectionRate
from twistedrelay.values import events

RESOURCES = "452 4.3.1 Insufficient system resources\r\n"


def pressed(relay: Relay, **values: float) -> BackPressure:
    pressure = BackPressure(Settings())
    pressure.sample({name: Reading(value) for name, value in values.items()})
    relay.replace(pressure=pressure)
    return pressure


def test_a_stranger_is_refused_and_may_try_again_in_the_same_session() -> None:
    relay = Relay()
    pressure = pressed(relay, used_disk_space=95.0)
    client = relay.connect()
    client.command("EHLO client.example")
    assert client.command("MAIL FROM:<a@client.example>") == RESOURCES
    [refused] = relay.events.of(events.CommandRefused)
    assert refused.reason == "used_disk_space is Medium (95 %)"
    pressure.sample({"used_disk_space": Reading(10.0)})
    assert client.command("MAIL FROM:<a@client.example>").startswith("250 ")


def test_a_login_goes_on_at_medium_and_not_at_high() -> None:
    relay = Relay()
    pressure = pressed(relay, private_bytes=73.0)
    client = relay.connect()
    client.command("EHLO client.example")
    assert client.login().startswith("235 ")
    assert client.command("MAIL FROM:<cengiz@akkaya.local>").startswith("250 ")
    client.command("RSET")
    pressure.sample({"private_bytes": Reading(76.0)})
    assert client.command("MAIL FROM:<cengiz@akkaya.local>") == RESOURCES


def test_a_message_that_began_goes_on() -> None:
    relay = Relay()
    client = relay.connect().begin()
    pressed(relay, used_disk_space=99.9)
    client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
    assert client.codes() == [250]


def test_a_verdict_of_its_own_comes_first() -> None:
    relay = Relay({"Default Frontend": {"permission_groups": ["ExchangeUsers"]}})
    pressure = pressed(relay, used_disk_space=99.9)
    client = relay.connect()
    client.command("EHLO client.example")
    assert client.command("MAIL FROM:<a@client.example>").startswith("530 ")
    assert pressure.refused == 0


def test_a_long_queue_makes_strangers_wait() -> None:
    relay = Relay()
    pressed(relay, submission_queue_length=12_000)
    client = relay.connect()
    client.command("EHLO client.example")
    assert client.command("MAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>") == ""
    assert relay.sessions.tarpitted() == 1
    relay.pass_time(9.5)
    assert client.said() == ""
    relay.pass_time(1)
    assert client.codes() == [250, 250]
    assert relay.sessions.tarpitted() == 0


def test_who_leaves_while_waiting_leaves_nothing() -> None:
    relay = Relay()
    pressed(relay, submission_queue_length=12_000)
    client = relay.connect()
    client.command("EHLO client.example")
    client.command("MAIL FROM:<a@client.example>")
    client.transport.close()
    relay.pass_time(60)
    assert relay.clock.getDelayedCalls() == []


def test_connections_beyond_their_rate() -> None:
    relay = Relay()
    relay.replace(connection_rate=ConnectionRate(3))
    said = [relay.connect().said() for _ in range(5)]
    assert [text[:3] for text in said] == ["220", "220", "220", "421", "421"]
    assert "(max_connection_rate_per_minute)" in said[-1]
    assert [event.limit for event in relay.events.of(events.ConnectionRefused)] == ["max_connection_rate_per_minute"] * 2
    relay.clock.advance(60)
    assert relay.connect().said().startswith("220")


def test_health_probes_do_not_count() -> None:
    relay = Relay({"Default Frontend": {"health_probe_from": ["192.168.1.30"]}})
    relay.replace(connection_rate=ConnectionRate(1))
    assert all(relay.connect().said().startswith("220") for _ in range(5))
    assert relay.connect("192.168.1.31").said().startswith("220")
    assert relay.connect("192.168.1.31").said().startswith("421")


def test_replies_are_counted_by_code() -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
    client.command("XYZZY")
    assert client.session.site.replies == {220: 1, 250: 4, 354: 1, 500: 1}
