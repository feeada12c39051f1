"""Attacks on time, memory and places: slow and silent clients, floods, and what each may cost at the most."""

from __future__ import annotations

import struct

import pytest

from tests.net.relay import Client, Relay
from twistedrelay.net.conversation import INPUT_BACKLOG
from twistedrelay.values import events

DRIP = 10  #: seconds between two octets of a slow client
TIMES = {"connection_inactivity_timeout": "60s", "connection_timeout": "600s", "min_data_rate": 100}


def begun(lines: bytes, **keys: object) -> tuple[Relay, Client]:
    """A client that has said these lines."""
    relay = Relay({"Default Frontend": {**TIMES, **keys}})
    client = relay.connect()
    client.send(lines)
    client.said()
    return relay, client


def lifetime(relay: Relay, client: Client, octets: bytes) -> float:
    """How long a client stays that sends one octet every ten seconds, again and again."""
    start = relay.clock.seconds()
    while not client.is_closing and not client.transport.closed:
        place = int((relay.clock.seconds() - start) // DRIP)
        client.send(octets[place % len(octets) : place % len(octets) + 1])
        relay.pass_time(DRIP)
        assert relay.clock.seconds() - start < 1000
    return float(relay.clock.seconds() - start)


@pytest.mark.parametrize(
    ("before", "octets", "longest"),
    [
        (b"", b"EHLO a.very.long.name.example", 80),
        (b"EHLO x\r\n", b"MAIL FROM:<somebody@client.example>", 80),
        (b"EHLO x\r\nAUTH LOGIN\r\n", b"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB", 80),
        (b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n", b"Subject: x\r\n", 80),
        (b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\nSubject: x\r\n\r\n", b"x" * 50, 80),
        (b"", b"NOOP\r\n", 620),
    ],
)
def test_one_octet_every_ten_seconds(before: bytes, octets: bytes, longest: int) -> None:
    """Slow loris, wherever it begins; only whole commands are signs of life, and they end with connection_timeout."""
    relay, client = begun(before)
    assert lifetime(relay, client, octets) <= longest


def test_a_slow_proxy_header() -> None:
    relay = Relay({"Default Frontend": {"proxy_protocol_from": ["10.0.0.9"]}})
    client = relay.connect("10.0.0.9")
    for octet in b"PROXY TCP4 203":
        if client.transport.closed:
            break
        client.send(bytes([octet]))
        relay.pass_time(1)
    assert client.transport.closed
    assert client.said() == ""


def test_an_endless_proxy_header() -> None:
    relay = Relay({"Default Frontend": {"proxy_protocol_from": ["10.0.0.9"]}})
    client = relay.connect("10.0.0.9")
    client.send(b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 65535))
    assert client.transport.closed


def test_a_header_of_somebody_s_own_does_not_open_the_relay() -> None:
    """Whoever is not a trusted balancer keeps his own address, however he says otherwise."""
    inside = {"remote_ip_ranges": ["192.168.1.55"], "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}
    for spoken in (
        b"PROXY TCP4 192.168.1.55 192.168.1.5 1 25\r\n",
        b"XCLIENT ADDR=192.168.1.55\r\n",
        b"EHLO x\r\nXCLIENT ADDR=192.168.1.55\r\n",
    ):
        relay = Relay({"Default Frontend": {"proxy_protocol_from": ["10.0.0.9"], "xclient_from": ["10.0.0.9"]}, "IP_Relay": inside})
        client = relay.connect("203.0.113.7")
        client.said()
        client.send(spoken + b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@elsewhere.example>\r\n")
        assert client.codes()[-1] == 550


def test_commands_behind_a_tarpit_are_bounded() -> None:
    relay, client = begun(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n", tarpit_interval="5s")
    client.send(b"RCPT TO:<c@elsewhere.example>\r\n")
    sent = 0
    while client.transport.reading:
        client.send(b"RCPT TO:<c@elsewhere.example>\r\n" * 100)
        sent += 3100
        assert sent < 2 * INPUT_BACKLOG
    assert relay.buffers.used <= sent


def test_a_crowd_that_says_nothing_goes() -> None:
    every = {"max_inbound_connection_per_source": "unlimited", "max_inbound_connection_percentage_per_source": 100}
    relay = Relay({"Default Frontend": {**TIMES, **every}}, max_connections=50)
    crowd = [relay.connect() for _ in range(60)]
    assert [client.codes() for client in crowd] == [[220]] * 50 + [[421]] * 10
    relay.pass_time(75)
    for client in crowd:
        client.transport.close()
    assert relay.counts.open == relay.sessions.count() == 0
    assert {event.reason for event in relay.events.of(events.Disconnected)} == {"connection_inactivity_timeout"}
    assert relay.connect().codes() == [220]


def test_messages_that_never_end_do_not_fill_the_memory() -> None:
    """A hundred clients that each begin a message and keep it just below what goes to the disk."""
    every = {"max_inbound_connection_per_source": "unlimited", "max_inbound_connection_percentage_per_source": 100}
    relay = Relay({"Default Frontend": every}, max_buffered_size=2**20)
    refused = 0
    for _ in range(100):
        client = relay.connect()
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
        if client.codes()[-1] == 452:
            refused += 1
        elif client.transport.reading:
            client.send(b"Subject: x\r\n\r\n" + b"x" * 60000)
    assert refused > 50
    assert relay.buffers.used < 2**20 + 2 * 60100
    relay.pass_time(10)
    assert relay.buffers.full is False or any(session.transport.disconnecting for session in relay.sessions)
