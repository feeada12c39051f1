"""XCLIENT: a trusted host speaks for somebody, and the session becomes that one's."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.net.relay import Client, Relay
from twistedrelay.net.ends import Ends
from twistedrelay.net.xclient import ends_told
from twistedrelay.values import events
from twistedrelay.values import reply as replies
from twistedrelay.values.netrange import IPAddress, parse_ip

GATEWAY, CLIENT, INSIDE = "10.0.0.9", "203.0.113.7", "192.168.1.55"
TWO: dict[str, dict[str, Any]] = {
    "Default Frontend": {"xclient_from": ["10.0.0.0/24"]},
    "IP_Relay": {"remote_ip_ranges": [INSIDE], "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}},
}
ENDS = Ends(parse_ip(GATEWAY), 50000, parse_ip("192.168.1.5"), 25)


@attrs.frozen
class Said:
    """What XCLIENT says."""

    address: IPAddress | None = None
    port: int = 0
    login: str = ""
    destination_address: IPAddress | None = None
    destination_port: int = 0


def test_the_ends_that_were_told() -> None:
    assert ends_told(Said(parse_ip(CLIENT)), ENDS) == Ends(parse_ip(CLIENT), 0, ENDS.local, 25, f"{GATEWAY}:50000")
    told = ends_told(Said(parse_ip(CLIENT), 4000, "", parse_ip("192.0.2.25"), 587), attrs.evolve(ENDS, proxy="10.9.9.9:1"))
    assert told == Ends(parse_ip(CLIENT), 4000, parse_ip("192.0.2.25"), 587, f"{GATEWAY}:50000 10.9.9.9:1")


def test_what_is_not_accepted() -> None:
    assert ends_told(Said(), ENDS) is replies.XCLIENT_NEEDS_ADDRESS
    assert ends_told(Said(parse_ip(CLIENT), login="admin"), ENDS) is replies.XCLIENT_NO_LOGIN


@pytest.mark.parametrize(("peer", "trusted"), [(GATEWAY, True), (INSIDE, False), ("10.0.1.9", False), ("::ffff:10.0.0.9", True)])
def test_only_from_trusted_hosts(peer: str, trusted: bool) -> None:
    client = Relay(TWO).connect(peer)
    assert client.session.engine.settings.xclient is trusted
    assert client.session.site.connector.xclient_from or not trusted


def spoken_for(relay: Relay, client: Client, address: str) -> None:
    """XCLIENT, as the engine tells it."""
    client.command("EHLO gateway.example")
    client.send(f"XCLIENT ADDR={address} PORT=4000\r\n".encode())


def test_everything_begins_anew() -> None:
    relay = Relay(TWO)
    client = relay.connect(GATEWAY)
    assert rcpt_outside(client) == 550
    client.command("RSET")
    spoken_for(relay, client, INSIDE)
    assert client.codes() == [220]
    gone, came = relay.events.of(events.Disconnected)[0], relay.events.of(events.Connected)[1]
    assert (gone.connector, gone.reason) == ("Default Frontend", "XCLIENT")
    assert (came.connector, came.peer, came.proxy) == ("IP_Relay", f"{INSIDE}:4000", f"{GATEWAY}:50000")
    assert (relay.counts.total("Default Frontend"), relay.counts.total("IP_Relay"), relay.counts.open) == (0, 1, 1)
    assert client.session.facts.helo == ""
    assert client.command("MAIL FROM:<a@b.example>").startswith("503"), "a hello is needed again"
    assert rcpt_outside(client) == 250
    client.transport.close()
    assert (relay.counts.total("IP_Relay"), relay.counts.open) == (0, 0)


def rcpt_outside(client: Client) -> int:
    client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@elsewhere.example>\r\n")
    return client.codes()[-1]


def test_only_once() -> None:
    relay = Relay({"Default Frontend": {"xclient_from": ["0.0.0.0/0"]}})
    client = relay.connect(GATEWAY)
    spoken_for(relay, client, CLIENT)
    client.said()
    assert "XCLIENT" not in client.command("EHLO x")
    assert client.command(f"XCLIENT ADDR={INSIDE}").startswith("500")
    assert client.session.facts.peer_text == CLIENT


def test_limits_of_who_is_spoken_for() -> None:
    relay = Relay({"Default Frontend": {"xclient_from": [GATEWAY], "max_inbound_connection_per_source": 1}})
    relay.connect(CLIENT)
    client = relay.connect(GATEWAY)
    spoken_for(relay, client, CLIENT)
    assert client.codes() == [421]
    assert client.is_closing
    client.transport.close()
    assert relay.counts.total("Default Frontend") == 1


def test_nobody_wants_who_is_spoken_for() -> None:
    relay = Relay({"Default Frontend": {"xclient_from": [GATEWAY], "remote_ip_ranges": ["10.0.0.0/8"]}})
    client = relay.connect(GATEWAY)
    spoken_for(relay, client, CLIENT)
    assert client.codes() == [421]


def test_a_login_is_refused() -> None:
    relay = Relay(TWO)
    client = relay.connect(GATEWAY)
    client.command("EHLO gateway.example")
    assert client.command(f"XCLIENT ADDR={CLIENT} LOGIN=cengiz@akkaya.local").startswith("501")
    assert client.command("XCLIENT ADDR=[UNAVAILABLE]").startswith("501")
    assert client.session.facts.peer_text == GATEWAY
