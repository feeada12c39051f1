"""Every limit of a receive connector by a live session: what is said, and that the limit's name is told to the log.

A parameter without a row here has no limit to break, or is another room's: see C{docs/parameters.rst}.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tests.net.relay import FQDN, PASSWORD, Client, FakeUsers, Relay
from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.values import events

HOP = b"Received: from a.example by %s; Sun, 22 Nov 2026 00:00:00 +0000\r\n"
WRONG = "AUTH PLAIN " + b64encode(f"\0{FakeUsers.address}\0wrong".encode()).decode()


def commands(*lines: str) -> Callable[[Relay], str]:
    """A session that says these lines behind EHLO; what was said to the last one."""

    def play(relay: Relay) -> str:
        client = relay.connect()
        client.command("EHLO client.example")
        return [client.command(line) for line in lines][-1]

    return play


def message(content: bytes) -> Callable[[Relay], str]:
    """A session that sends this message."""

    def play(relay: Relay) -> str:
        client = relay.connect().begin()
        client.send(content + b"\r\n.\r\n")
        return client.said()

    return play


def without_name(relay: Relay) -> str:
    client = relay.connect()
    client.said()
    return client.command("EHLO")


def connections(*peers: str) -> Callable[[Relay], str]:
    """Connections of these; the greeting of the last."""

    def play(relay: Relay) -> str:
        greetings = [relay.connect(peer).said() for peer in peers]
        assert all(greeting[:3] == "220" for greeting in greetings[:-1])
        return greetings[-1]

    return play


def silence(seconds: float, every: float = 0.0) -> Callable[[Relay], str]:
    """A session that says nothing, or a word every now and then."""

    def play(relay: Relay) -> str:
        client = relay.connect()
        client.said()
        waited = 0.0
        while waited < seconds:
            relay.pass_time(every or seconds)
            waited += every or seconds
            if every and not client.is_closing:
                client.command("NOOP")
        return client.said()

    return play


MAIL = "MAIL FROM:<a@client.example>"
RATE = "421 4.4.2 Message submission rate for this client has exceeded the configured limit"
TOO_MANY_CONNECTIONS = "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel"
TIMED_OUT = "421 4.4.1 Connection timed out"
RESERVED = "Recipient address reserved by RFC 2606"
HOPS = "554 5.4.6 Hop count exceeded - possible mail loop"
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"

#: The parameter, its value (and others'), what the client does, what it hears at last.
LIMITS: list[tuple[str, dict[str, Any], Callable[[Relay], str], str]] = [
    ("max_inbound_connection", {"max_inbound_connection": 2}, connections("10.0.0.1", "10.0.0.2", "10.0.0.3"), TOO_MANY_CONNECTIONS),
    ("max_inbound_connection_per_source", {"max_inbound_connection_per_source": 3}, connections(*["10.0.0.1"] * 4), TOO_MANY_CONNECTIONS),
    (
        "max_inbound_connection_percentage_per_source",
        {"max_inbound_connection": 100, "max_inbound_connection_percentage_per_source": 5},
        connections(*["10.0.0.1"] * 5),
        TOO_MANY_CONNECTIONS,
    ),
    ("connection_timeout", {"connection_timeout": "30s", "connection_inactivity_timeout": "20s"}, silence(40, every=10), TIMED_OUT),
    ("connection_inactivity_timeout", {"connection_inactivity_timeout": "20s"}, silence(22), TIMED_OUT),
    (
        "max_message_size",
        {"max_message_size": "64KB"},
        commands(f"{MAIL} SIZE=65537"),
        "552 5.3.4 Message size exceeds fixed maximum message size",
    ),
    (
        "max_message_size",
        {"max_message_size": "64KB"},
        message(b"A: b\r\n\r\n" + b"x" * 70_000),
        "552 5.3.4 Message size exceeds fixed maximum message size",
    ),
    (
        "max_header_size",
        {"max_header_size": "1KB"},
        message(b"Subject: " + b"x" * 1024 + b"\r\n\r\nbody"),
        "552 5.3.4 Header size exceeds fixed maximum size (max_header_size)",
    ),
    (
        "max_header_size",
        {},
        message(b"X-Long: long\r\n" * 40_000 + b"\r\nbody"),
        "552 5.3.4 Header size exceeds fixed maximum size (max_header_size)",
    ),
    ("max_hop_count", {"max_hop_count": 3}, message(HOP % b"b.example" * 4), f"{HOPS} (max_hop_count)"),
    ("max_hop_count", {}, message(HOP % b"b.example" * 61), f"{HOPS} (max_hop_count)"),
    ("max_local_hop_count", {"max_local_hop_count": 2}, message(HOP % FQDN.encode() * 3), f"{HOPS} (max_local_hop_count)"),
    ("max_local_hop_count", {}, message(HOP % FQDN.encode() * 6), f"{HOPS} (max_local_hop_count)"),
    (
        "max_recipients_per_message",
        {"max_recipients_per_message": 1},
        commands(MAIL, "RCPT TO:<user@akkaya.local>", "RCPT TO:<info@akkaya.local>"),
        "452 4.5.3 Too many recipients",
    ),
    ("message_rate_limit", {"message_rate_limit": 1}, commands(MAIL, "RSET", "MAIL FROM:<b@client.example>"), RATE),
    ("message_rate_limit", {"message_rate_limit": 1, "message_rate_source": "User"}, commands(MAIL, "RSET", MAIL), RATE),
    ("message_rate_limit", {"message_rate_limit": 1, "message_rate_source": "All"}, commands(MAIL, "RSET", MAIL), RATE),
    (
        "max_protocol_errors",
        {"max_protocol_errors": 2},
        commands("HURRAH", "HURRAH"),
        "421 4.7.0 Too many errors on this connection (max_protocol_errors), closing transmission channel",
    ),
    (
        "max_logon_failures",
        {"max_logon_failures": 2},
        commands(WRONG, WRONG),
        "421 4.7.0 Too many failed logons on this connection (max_logon_failures), closing transmission channel",
    ),
    ("require_tls", {"require_tls": True}, commands(MAIL), STARTTLS_FIRST),
    ("require_tls", {"require_tls": True}, commands(WRONG), STARTTLS_FIRST),
    ("require_tls", {"require_tls": True}, commands("VRFY user"), STARTTLS_FIRST),
    (
        "require_ehlo_domain",
        {"require_ehlo_domain": True},
        without_name,
        "501 5.5.4 Invalid domain name: one must be given (require_ehlo_domain)",
    ),
    ("bare_linefeed_rejection_enabled", {}, message(b"A: b\n\r\nbody"), "550 5.6.11 "),
    *(
        ("reject_reserved_top_level_recipient_domains", {}, commands(MAIL, f"RCPT TO:<a@{domain}>"), f"550 5.1.4 {RESERVED}")
        for domain in ("b.test", "b.example", "b.invalid", "b.localhost", "localhost", "B.EXAMPLE")
    ),
    *(
        ("reject_reserved_second_level_recipient_domains", {}, commands(MAIL, f"RCPT TO:<a@{domain}>"), f"550 5.1.5 {RESERVED}")
        for domain in ("example.com", "example.net", "mail.example.org")
    ),
    (
        "reject_single_label_recipient_domains",
        {},
        commands(MAIL, "RCPT TO:<a@printserver>"),
        "550 5.1.6 Recipient addresses in single label domains not accepted",
    ),
]


@pytest.mark.parametrize(("name", "keys", "play", "said"), LIMITS, ids=[f"{row[0]}-{index}" for index, row in enumerate(LIMITS)])
def test_a_limit_is_told(name: str, keys: dict[str, Any], play: Callable[[Relay], str], said: str) -> None:
    if name.startswith("reject_"):
        keys = {name: True, "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}
    relay = Relay({"Default Frontend": keys})
    assert play(relay).splitlines()[-1].startswith(said)
    for session in list(relay.sessions):
        session.transport.close()
    told = [event.reason for event in relay.events.of(events.CommandRefused)]
    told += [event.limit for event in relay.events.of(events.ConnectionRefused)]
    told += [event.reason for event in relay.events.of(events.Disconnected)]
    assert name in told
    assert relay.spool.stored == []


@pytest.mark.parametrize(("name", "keys", "play", "said"), LIMITS, ids=[f"{row[0]}-{index}" for index, row in enumerate(LIMITS)])
def test_who_stays_below_a_limit_is_left_alone(name: str, keys: dict[str, Any], play: Callable[[Relay], str], said: str) -> None:
    """The same session on a connector that does not ask for it."""
    off: dict[str, Any] = {
        "max_message_size": "36MB",
        "max_header_size": "1MB",
        "max_hop_count": 500,
        "max_local_hop_count": 0,
        "max_logon_failures": 0,
        "bare_linefeed_rejection_enabled": False,
        "connection_inactivity_timeout": "5m",
    }
    relaxed = {key: value for key, value in keys.items() if key != name} | ({name: off[name]} if name in off else {})
    if name.startswith("max_inbound_connection"):
        relaxed = {"max_inbound_connection_percentage_per_source": 100}
    if name in ("connection_timeout", "connection_inactivity_timeout"):
        relaxed = {"connection_inactivity_timeout": "5m"}
    relay = Relay({"Default Frontend": relaxed})
    last = (play(relay).splitlines() or [""])[-1]
    assert not last.startswith(said)
    assert name not in [event.reason for event in relay.events.of(events.CommandRefused)]


def test_every_limit_of_the_schema_is_in_the_table() -> None:
    tested = {row[0] for row in LIMITS}
    limits = {key for key in ReceiveConnector.model_fields if key.startswith(("max_", "require_", "reject_")) or key.endswith("_timeout")}
    assert limits - tested == {"max_future_release_interval"}


def test_an_address_literal_is_no_single_label() -> None:
    relay = Relay({"R": {"reject_single_label_recipient_domains": True, "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}})
    assert commands(MAIL, "RCPT TO:<a@[IPv6:2001:db8::1]>")(relay)[:3] == "250"


def test_the_rate_by_user_follows_the_login() -> None:
    relay = Relay({"R": {"message_rate_limit": 1, "message_rate_source": "User"}})
    login = "AUTH PLAIN " + b64encode(f"\0{FakeUsers.address}\0{PASSWORD}".encode()).decode()
    own = f"MAIL FROM:<{FakeUsers.address}>"
    assert commands(login, own)(relay)[:3] == "250"
    assert commands(login, own)(relay).startswith(RATE), "the login counts in every session"
    assert commands(MAIL)(relay)[:3] == "250"
    assert commands("MAIL FROM:<other@client.example>")(relay)[:3] == "250", "another sender of the same address"
    assert commands(MAIL)(relay).startswith(RATE)


def test_no_rate_source_is_no_limit() -> None:
    relay = Relay({"R": {"message_rate_limit": 1, "message_rate_source": "None"}})
    assert commands(*[MAIL, "RSET"] * 10, MAIL)(relay)[:3] == "250"


def begun(relay: Relay) -> Client:
    return relay.connect().begin()


def test_the_session_lives_on_after_a_refused_header_and_nothing_of_it_is_kept() -> None:
    relay = Relay({"R": {"max_header_size": "1KB"}})
    client = begun(relay)
    for _ in range(100):
        client.send(b"X-Long: " + b"x" * 60_000 + b"\r\n")
    client.send(b"\r\nbody\r\n.\r\n")
    assert client.codes() == [552]
    assert relay.spool.contents[0].octets == b""
    assert relay.spool.contents[0].aborted == 1
    begun(relay)
    client.begin().send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
    assert client.codes() == [250]


def test_a_long_header_section_below_the_limit_is_taken() -> None:
    relay = Relay({"R": {"max_header_size": "1MB"}})
    client = begun(relay)
    fields = b"X-TwistedRelay-Forged: 1\r\n" + b"X-Long: long\r\n" * 70_000 + b"Message-ID: <last@client.example>\r\n"
    client.send(fields + b"\r\nbody\r\n.\r\n")
    assert client.codes() == [250]
    assert relay.spool.stored[0].message_id == "<last@client.example>"
    octets = relay.spool.contents[0].octets
    assert octets.endswith(fields.removeprefix(b"X-TwistedRelay-Forged: 1\r\n") + b"\r\nbody\r\n")


def test_the_firewall_is_at_work_in_a_session() -> None:
    relay = Relay()
    client = begun(relay)
    client.send(
        b"Authentication-Results: relay.akkaya.local;\r\n spf=pass\r\nBcc: a@b\r\nReturn-Path: <a@b>\r\n\r\nX-TwistedRelay-A: body\r\n.\r\n"
    )
    assert client.codes() == [250]
    octets = relay.spool.contents[0].octets
    assert re.split(rb" [+-]\d{4}\r\n", octets, maxsplit=1)[1] == b"Bcc: a@b\r\nReturn-Path: <a@b>\r\n\r\nX-TwistedRelay-A: body\r\n"
