"""Which way out mail takes from the running relay: by size, sender, receive connector; several smart hosts; and where it never goes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.nameserver import NameServer
from tests.end_to_end.relay import TEST, Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.test_mx_delivery import SMTP_PORT, network
from tests.network import eventually

__all__ = ["network"]


@pytest.fixture
def sinks() -> Iterator[ExitStack]:
    """Stops all sinks that enter it."""
    with ExitStack() as stack:
        yield stack


def relay_with(connectors: dict[str, Any], mailbox: Sink, linked: str = "") -> Relay:
    """A relay with these send connectors; what 127.0.0.2 submits may be linked with one."""
    configuration, ports = article(mailbox.hop)
    configuration["send_connectors"] = connectors
    if linked:
        configuration["receive_connectors"]["IP_Relay"]["linked_send_connector"] = linked
    return Relay(configuration, ports)


def report(mailbox: Sink, recipient: str) -> bytes:
    """The report about a recipient that arrived in the mailbox."""
    found = eventually(
        lambda: [each.content for each in mailbox.delivered if f"rfc822; {recipient}".encode() in each.content],
        f"a report about {recipient}",
    )
    assert len(found) == 1
    return found[0]


def test_several_smart_hosts(sinks: ExitStack) -> None:
    """RoundRobin shares the load; Failover prefers the first, and goes on with the second where the first is gone."""
    mailbox, one, two, first, second = (sinks.enter_context(Sink()) for _ in range(5))
    connectors = {
        "Shared": {"address_spaces": ["shared.test"], "smart_hosts": [one.hop, two.hop], "smtp_max_messages_per_connection": 1},
        "In order": {
            "address_spaces": ["order.test"],
            "smart_hosts": [first.hop, second.hop],
            "smart_host_selection": "Failover",
            "smtp_max_messages_per_connection": 1,
        },
    }
    with relay_with(connectors, mailbox) as relay:
        for number in range(20):
            relay.submit([f"user{number}@shared.test"])
        eventually(lambda: len(one.delivered) + len(two.delivered) == 20, "all arrive")
        assert min(len(one.delivered), len(two.delivered)) > 0
        for number in range(8):
            relay.submit([f"user{number}@order.test"])
        eventually(lambda: len(first.delivered) == 8, "all go to the first")
        assert second.connections == 0
        first.stop()
        for number in range(8, 16):
            relay.submit([f"user{number}@order.test"])
        eventually(lambda: len(second.delivered) == 8, "the others to the second")
        first.start()
        connections = first.connections
        for number in range(16, 20):
            relay.submit([f"user{number}@order.test"])
        eventually(lambda: len(second.delivered) == 12, "and they stay there for a while")
        assert first.connections == connections
        eventually(relay.is_empty, "nothing waits any more")
    assert (
        Counter(who for sink in (one, two, first, second) for each in sink.delivered for who in each.recipients).most_common(1)[0][1] == 1
    )


def test_where_connections_come_from_and_how_they_begin(sinks: ExitStack) -> None:
    mailbox, sourced, plain = (sinks.enter_context(Sink()) for _ in range(3))
    connectors = {
        "Sourced": {"address_spaces": ["sourced.test"], "smart_hosts": [sourced.hop], "source_ip_address": "127.0.0.3", "fqdn": "out.test"},
        "Plain": {"address_spaces": ["plain.test"], "smart_hosts": [plain.hop], "force_helo": True},
    }
    with relay_with(connectors, mailbox) as relay:
        relay.submit(["user@sourced.test", "user@plain.test", "user@akkaya.local"])
        for sink in (mailbox, sourced, plain):
            eventually(lambda sink=sink: sink.delivered, "it arrives")  # type: ignore[misc]
    assert (sourced.peers, plain.peers, mailbox.peers) == ({"127.0.0.3"}, {"127.0.0.1"}, {"127.0.0.1"})
    assert sourced.commands[0] == "EHLO out.test"
    assert plain.commands[0] == "HELO relay.akkaya.local"


def test_a_receive_connector_with_a_way_of_its_own(sinks: ExitStack) -> None:
    """What a linked connector took leaves by its send connector alone, but not what is for our own mailboxes."""
    mailbox, provider, rest = (sinks.enter_context(Sink()) for _ in range(3))
    connectors = {
        "Provider": {"address_spaces": [], "smart_hosts": [provider.hop]},
        "Rest": {"address_spaces": ["*"], "smart_hosts": [rest.hop]},
    }
    relay = relay_with(connectors, mailbox, linked="Provider")
    relay.configuration["accepted_domains"]["partner.test"] = {"domain_type": "ExternalRelay"}
    relay.write()
    with relay:
        relay.submit(["user@partner.test", "user@akkaya.local"])
        eventually(lambda: provider.for_recipient("user@partner.test"), "by the linked connector")
        eventually(lambda: mailbox.for_recipient("user@akkaya.local"), "to the mailbox")
        with relay.dialogue() as session:
            session.command("EHLO client")
            assert session.message("a@client.example", ["other@partner.test"], TEST).startswith("250")
        eventually(lambda: rest.for_recipient("other@partner.test"), "others by the usual one")
        eventually(relay.is_empty, "nothing waits any more")
    assert (len(provider.delivered), len(rest.delivered), len(mailbox.delivered)) == (1, 1, 1)


def test_two_logins_at_one_smart_host_never_share_a_connection(sinks: ExitStack, tmp_path: Path) -> None:
    mailbox, provider = sinks.enter_context(Sink()), sinks.enter_context(Sink())
    senders = ("one@akkaya.local", "two@akkaya.local", "three@other.test")
    provider.accounts = {sender: f"pass of {sender}" for sender in senders}
    at_work: dict[int, str] = {}  # the sink serves each connection in a thread of its own
    mixed: list[tuple[str, str]] = []

    def logged_in(argument: str) -> None:
        at_work[threading.get_ident()] = argument.split()[1]

    def sending(sender: str) -> None:
        if at_work.get(threading.get_ident()) != sender:
            mixed.append((at_work.get(threading.get_ident(), "nobody"), sender))

    provider.on("auth", logged_in)
    provider.on("mail", sending)
    connectors = {}
    for sender, space in zip(senders, ("one@akkaya.local", "akkaya.local", "*.test"), strict=True):
        password = tmp_path / sender
        password.write_text(f"pass of {sender}\n")
        connectors[sender] = {
            "address_spaces": ["*"],
            "sender_address_spaces": [space],
            "smart_hosts": [provider.hop],
            "smart_host_auth_mechanism": "BasicAuth",
            "authentication_credential": {"username": sender, "password_file": str(password)},
        }
    with relay_with(connectors, mailbox) as relay:
        for number in range(30):
            relay.submit([f"user{number}@partner.test"], sender=senders[number % 3])
        eventually(lambda: len(provider.delivered) == 30, "all arrive")
        eventually(relay.is_empty, "nothing waits any more")
        relay.submit(["user@partner.test"], sender="stranger@elsewhere.example")
        eventually(lambda: relay.queues(delivery_type="Unreachable", message_count=1), "nobody's login is lent to a stranger")
    assert mixed == []
    assert {login.username for login in provider.logins} == set(senders)
    by_connection: dict[int, set[str]] = {}
    for each in provider.delivered:
        by_connection.setdefault(each.connection, set()).add(each.sender)
    assert all(len(used) == 1 for used in by_connection.values())


def test_the_size_of_a_message_decides(sinks: ExitStack) -> None:
    mailbox, near, far = (sinks.enter_context(Sink()) for _ in range(3))
    connectors = {
        "Near": {"address_spaces": ["partner.test"], "smart_hosts": [near.hop], "max_message_size": "64KB"},
        "Far": {"address_spaces": ["*"], "smart_hosts": [far.hop], "max_message_size": "200KB"},
    }
    with relay_with(connectors, mailbox) as relay:
        for kilobytes in (1, 100, 300):
            content = TEST + b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n" * 16 * kilobytes
            relay.submit([f"user{kilobytes}@partner.test"], content=content)
        eventually(lambda: near.for_recipient("user1@partner.test"), "the small one by the nearest")
        eventually(lambda: far.for_recipient("user100@partner.test"), "the larger one by the other")
        assert b"\r\nStatus: 5.3.4\r\n" in report(mailbox, "user300@partner.test")
        eventually(relay.is_empty, "nothing waits any more")
    assert (len(near.delivered), len(far.delivered)) == (1, 1)


def test_strangers_cannot_send_us_to_private_addresses_or_to_ourselves(network: str, sinks: ExitStack) -> None:
    """MX and address literals of this host, MX with our name, MX with an address that we listen on: returned, and nobody was called."""
    mailbox = sinks.enter_context(Sink())
    inside = sinks.enter_context(Sink(SMTP_PORT, host=f"{network}.2"))
    configuration, ports = article(mailbox.hop)
    configuration["receive_connectors"]["Default Frontend"]["bindings"].append(f"{network}.1:{SMTP_PORT}")
    configuration["send_connectors"] = {
        "Internet": {"address_spaces": ["*"]},
        "Inside": {"address_spaces": ["*.inside.test"], "private_targets_enabled": True},
    }
    with NameServer() as names:
        configuration["server"]["external_dns_servers"] = [names.address]
        names.records = {
            "inner.test": [("A", f"{network}.2")],
            "relay.test": [("A", f"{network}.1")],
            "private.test": [("MX", "10 inner.test.")],
            "byname.test": [("MX", "10 relay.akkaya.local."), ("MX", "20 inner.test.")],
            "byaddress.inside.test": [("MX", "10 relay.test."), ("MX", "20 inner.test.")],
            "good.inside.test": [("MX", "10 inner.test."), ("MX", "20 relay.test.")],
        }
        codes = {
            "user@private.test": "5.4.4",
            f"user@[{network}.2]": "5.4.4",
            "user@byname.test": "5.4.6",
            "user@byaddress.inside.test": "5.4.6",
        }
        with Relay(configuration, ports) as relay:
            for recipient in codes:
                relay.submit([recipient], sender="boss@akkaya.local")
            for recipient, code in codes.items():
                assert f"\r\nStatus: {code}\r\n".encode() in report(mailbox, recipient), recipient
            assert inside.connections == 0
            relay.submit(["user@good.inside.test"])
            eventually(lambda: inside.for_recipient("user@good.inside.test"), "where it is allowed, and we are only the second choice")
            eventually(relay.is_empty, "nothing waits any more")


def test_a_smart_host_that_is_the_relay_itself_is_an_error() -> None:
    configuration, ports = article("127.0.0.1:24")
    configuration["send_connectors"] = {"Round": {"address_spaces": ["*"], "smart_hosts": [f"127.0.0.1:{ports['relay']}"]}}
    relay = Relay(configuration, ports)
    try:
        done = relay.relayctl("check")
        assert done.returncode == 1
        assert "send_connectors.Round.smart_hosts[0]" in done.stdout + done.stderr
        assert "is this relay itself" in done.stdout + done.stderr
    finally:
        relay.close()
