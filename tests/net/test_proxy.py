"""Load balancers: the PROXY header before everything else, and health probes that leave no trace."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.net.relay import Client, Relay
from twistedrelay.values import events

BALANCER, CLIENT, INSIDE = "10.0.0.9", "203.0.113.7", "192.168.1.55"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TRUSTING = {"proxy_protocol_from": ["10.0.0.8/30"]}
TWO: dict[str, dict[str, Any]] = {
    "Default Frontend": TRUSTING,
    "IP_Relay": {"remote_ip_ranges": [INSIDE], "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}},
}


def v1(source: str = CLIENT, destination: str = "192.0.2.25") -> bytes:
    return f"PROXY TCP4 {source} {destination} 40000 25\r\n".encode()


def v2(source: bytes = b"\xcb\x00\x71\x07", command: int = 0x21, vectors: bytes = b"") -> bytes:
    body = source + b"\xc0\x00\x02\x19" + struct.pack("!HH", 40000, 25) + vectors
    return SIGNATURE + struct.pack("!BBH", command, 0x11, len(body)) + body


LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def behind(relay: Relay, header: bytes, peer: str = BALANCER) -> Client:
    client = relay.connect(peer)
    client.send(header)
    return client


def quiet(relay: Relay) -> bool:
    """Nothing was logged and nothing is counted."""
    return not relay.events and relay.counts.total("Default Frontend") == 0


@pytest.mark.parametrize("header", [v1(), v2()])
def test_nothing_is_said_before_the_header(header: bytes) -> None:
    """Split at every octet, with a client that is quick behind it."""
    for end in range(len(header)):
        relay = Relay(TWO)
        client = behind(relay, header[:end])
        assert client.said() == ""
        assert not relay.events
        client.send(header[end:] + b"EHLO x.example\r\n")
        assert client.codes() == [220, 250]
        [connected] = relay.events.of(events.Connected)
        assert (connected.peer, connected.local, connected.proxy) == (f"{CLIENT}:40000", "192.0.2.25:25", f"{BALANCER}:50000")


@pytest.mark.parametrize("header", [v1(INSIDE), v2(b"\xc0\xa8\x01\x37")])
def test_the_connector_is_that_of_the_client(header: bytes) -> None:
    relay = Relay(TWO)
    client = behind(relay, header)
    assert relay.events.of(events.Connected)[0].connector == "IP_Relay"
    client.said()
    client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@elsewhere.example>\r\n")
    assert client.codes() == [250, 250, 250]
    assert relay.counts.total("IP_Relay") == 1
    assert client.session.facts.proxy == f"{BALANCER}:50000"
    client.transport.close()
    assert relay.counts.total("IP_Relay") == relay.counts.open == 0


def test_the_balancer_s_own_connector_does_not_matter() -> None:
    """One connector trusts the balancer, and another takes the client."""
    relay = Relay({"Balanced": {"remote_ip_ranges": [BALANCER], **TRUSTING}, "Clients": {"remote_ip_ranges": ["203.0.113.0/24"]}})
    behind(relay, v1())
    assert relay.events.of(events.Connected)[0].connector == "Clients"


def test_the_destination_chooses_too() -> None:
    relay = Relay({"Wide": TRUSTING, "Special": {"bindings": ["192.0.2.99:25"]}})
    behind(relay, v1(destination="192.0.2.99"))
    behind(relay, v1(destination="192.0.2.98"))
    assert [event.connector for event in relay.events.of(events.Connected)] == ["Special", "Wide"]


def test_limits_are_those_of_the_client() -> None:
    relay = Relay({"Default Frontend": {**TRUSTING, "max_inbound_connection_per_source": 1}})
    assert behind(relay, v1()).codes() == [220]
    assert behind(relay, v1("203.0.113.8")).codes() == [220]
    refused = behind(relay, v1())
    assert refused.codes() == [421]
    assert refused.is_closing
    assert relay.events.of(events.ConnectionRefused)[0].limit == "max_inbound_connection_per_source"


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n", v2(command=0x20)])
def test_a_balancer_that_speaks_for_itself(header: bytes) -> None:
    relay = Relay(TWO)
    assert behind(relay, header).codes() == [220]
    [connected] = relay.events.of(events.Connected)
    assert (connected.peer, connected.proxy) == (f"{BALANCER}:50000", "")


def test_what_the_balancer_says_about_tls_is_only_noted() -> None:
    tls = b"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"
    relay = Relay({"Default Frontend": {**TRUSTING, "auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"]}})
    client = behind(relay, v2(vectors=tls + b"\x02\x00\x0amx.example"))
    assert relay.events.of(events.Connected)[0].proxy == f"{BALANCER}:50000 tls=TLSv1.3 authority=mx.example"
    assert client.session.facts.tls_version == ""
    assert "AUTH" not in client.command("EHLO x")


@pytest.mark.parametrize("octets", [b"EHLO x\r\n", b"PROXY TCP4 nonsense\r\n", v2(command=0x2F), b"\x16\x03\x01", b"PROXY " + b"x" * 200])
def test_anything_else_is_closed_without_a_word(octets: bytes) -> None:
    relay = Relay(TWO)
    client = behind(relay, octets)
    assert client.said() == ""
    assert client.transport.closed
    [refused] = relay.events
    assert isinstance(refused, events.ConnectionRefused)
    assert refused.limit.startswith("proxy_protocol_from")
    assert refused.peer == f"{BALANCER}:50000"
    assert relay.sessions.count() == relay.counts.open == 0


def test_a_header_has_five_seconds() -> None:
    """However slowly it comes."""
    relay = Relay(TWO)
    client = relay.connect(BALANCER)
    for octet in v1()[:5]:
        relay.pass_time(0.9)
        client.send(bytes([octet]))
    assert not client.transport.closed
    assert relay.sessions.count() == 1
    relay.pass_time(1.5)
    assert client.transport.closed
    assert client.said() == ""


def test_a_balancer_that_only_looks_whether_we_are_there() -> None:
    relay = Relay(TWO)
    relay.connect(BALANCER).transport.close()
    assert quiet(relay)
    assert relay.sessions.count() == relay.counts.open == 0


def test_the_relay_stops_meanwhile() -> None:
    relay = Relay(TWO)
    client = relay.connect(BALANCER)
    relay.sessions.drain()
    assert client.transport.closed
    assert relay.sessions.count() == 0


def test_a_header_from_others_is_a_bad_command() -> None:
    relay = Relay(TWO)
    client = relay.connect("10.0.0.12")
    client.said()
    client.send(v1(INSIDE))
    assert client.codes() == [500]
    assert client.session.facts.connector_name == "Default Frontend"
    client.send(v2())
    assert 250 not in client.codes()


def test_a_second_header_is_a_bad_command() -> None:
    relay = Relay(TWO)
    client = behind(relay, v1() + v1(INSIDE))
    assert client.codes() == [220, 500]
    assert client.session.facts.peer_text == CLIENT


def test_a_disabled_connector_trusts_nobody() -> None:
    relay = Relay({"Default Frontend": {}, "Off": {**TRUSTING, "enabled": False}})
    assert relay.connect(BALANCER).codes() == [220]


def test_ipv4_in_ipv6_is_folded() -> None:
    relay = Relay({"Default Frontend": TRUSTING, "Six": {"bindings": ["[::]:25"], **TRUSTING}})
    client = relay.connect("::ffff:10.0.0.9")
    assert client.said() == ""
    client.send(b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.25 40000 25\r\n")
    assert client.codes() == [220]
    assert relay.events.of(events.Connected)[0].peer == f"{CLIENT}:40000"


PROBED = {"Default Frontend": {"health_probe_from": [CLIENT]}}


@pytest.mark.parametrize("said", [b"", b"QUIT\r\n", b"NOOP\r\nQUIT\r\n", b"HELO x\r\nQUIT\r\n", b"EHLO x\r\nRSET\r\nQUIT\r\n"])
def test_a_probe_leaves_no_trace(said: bytes) -> None:
    relay = Relay(PROBED)
    client = relay.connect(CLIENT)
    client.send(said)
    assert client.said().startswith("220")
    client.transport.close()
    assert quiet(relay)
    assert relay.sessions.count() == relay.counts.open == 0


def test_a_probe_takes_no_place() -> None:
    relay = Relay({"Default Frontend": {**PROBED["Default Frontend"], "max_inbound_connection": 1}})
    for _ in range(5):
        assert relay.connect(CLIENT).codes() == [220]
    assert relay.connect().codes() == [220]
    assert relay.connect().codes() == [421]


@pytest.mark.parametrize("command", ["MAIL FROM:<a@b.example>", "VRFY x", "AUTH PLAIN AGEAYg==", "NONSENSE"])
def test_a_probe_that_says_more_is_an_ordinary_session(command: str) -> None:
    relay = Relay(PROBED)
    client = relay.connect(CLIENT)
    client.command("EHLO x")
    assert quiet(relay)
    assert client.command(command)
    assert [type(event) for event in relay.events][:2] == [events.Connected, events.PermissionsSet]
    assert relay.counts.total("Default Frontend") == 1
    client.transport.close()
    assert relay.counts.total("Default Frontend") == 0
    assert isinstance(relay.events[-1], events.Disconnected)


def test_a_probe_that_says_more_where_there_is_no_room() -> None:
    relay = Relay({"Default Frontend": {**PROBED["Default Frontend"], "max_inbound_connection": 1}})
    relay.connect()
    client = relay.connect(CLIENT)
    client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\n")
    assert client.codes() == [220, 250, 421]
    assert client.is_closing
    client.transport.close()
    assert relay.counts.total("Default Frontend") == 1
    assert len(relay.events.of(events.Disconnected)) == 0


def test_pipelined_commands_of_a_probe_reveal_it_once() -> None:
    relay = Relay(PROBED)
    relay.connect(CLIENT).send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
    assert len(relay.events.of(events.Connected)) == 1
    assert relay.counts.total("Default Frontend") == 1


BOTH = {"Default Frontend": {**TRUSTING, "health_probe_from": [BALANCER]}}


@pytest.mark.parametrize("header", [LOCAL, v1(BALANCER)])
def test_a_check_with_a_header(header: bytes) -> None:
    relay = Relay(BOTH)
    client = behind(relay, header)
    assert client.codes() == [220]
    client.send(b"EHLO check\r\nQUIT\r\n")
    client.transport.close()
    assert quiet(relay)


def test_a_check_without_a_header_gets_its_banner_after_a_moment() -> None:
    relay = Relay(BOTH)
    client = relay.connect(BALANCER)
    assert client.said() == ""
    relay.pass_time(0.5)
    assert client.codes() == [220]
    client.send(b"QUIT\r\n")
    assert client.codes() == [221]
    client.transport.close()
    assert quiet(relay)


def test_a_check_without_a_header_that_speaks_first() -> None:
    relay = Relay(BOTH)
    client = behind(relay, b"QUIT\r\n")
    assert client.codes() == [220, 221]
    assert quiet(relay)


def test_a_check_that_speaks_first_gets_one_session() -> None:
    """The moment that would have shown it for a silent one passes then, too."""
    relay = Relay(BOTH)
    client = relay.connect(BALANCER)
    client.send(b"EHLO check\r\n")
    assert client.codes() == [220, 250]
    relay.pass_time(1)
    assert client.said() == ""
    client.send(b"QUIT\r\n")
    assert client.codes() == [221]
    client.transport.close()
    assert relay.sessions.count() == relay.counts.open == 0


def test_a_balancer_that_forgets_its_headers_carries_no_mail() -> None:
    """It would carry everybody's mail with its own rights."""
    relay = Relay(BOTH)
    client = behind(relay, b"EHLO x\r\n")
    assert client.codes() == [220, 250]
    assert client.command("MAIL FROM:<a@b.example>") == ""
    assert client.transport.closed
    assert relay.events.of(events.ConnectionRefused)[0].limit == "proxy_protocol_from (no header)"
    assert relay.events.of(events.Connected) == []
    assert relay.counts.open == 0


def test_clients_behind_a_balancer_that_probes_are_logged() -> None:
    relay = Relay(BOTH)
    behind(relay, v1())
    assert relay.events.of(events.Connected)
    assert relay.counts.total("Default Frontend") == 1
