"""Delivery by the DNS: a name server made up for the test, and mail hosts on port 25 of loopback addresses of our own."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.end_to_end.nameserver import NameServer
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import eventually, reserve

SMTP_PORT = 25


@pytest.fixture
def network() -> str:
    """The first three octets of loopback addresses that only this test uses; binding port 25 needs root."""
    for _ in range(50):
        prefix = f"127.77.{random.randrange(1, 255)}"
        if not reserve(prefix):
            continue
        try:
            for last in (1, 2, 3):
                with socket.socket() as probe:
                    probe.bind((f"{prefix}.{last}", SMTP_PORT))
        except PermissionError:
            assert os.geteuid() != 0
            pytest.skip("mail hosts listen on port 25, which only root may bind here")
        except OSError:
            continue
        return prefix
    pytest.fail("port 25 of every loopback address is taken: a mail server of this machine listens on 0.0.0.0")


@pytest.fixture
def sinks(network: str) -> Iterator[tuple[Sink, Sink, Sink]]:
    """Mail hosts 1, 2 and 3."""
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(Sink(SMTP_PORT, host=f"{network}.{last}")) for last in (1, 2, 3))
        yield first, second, third


def relay_by_dns(names: NameServer, mailbox: Sink) -> Relay:
    """A relay that sends everything where the DNS says."""
    configuration, ports = article(mailbox.hop)
    configuration["server"]["external_dns_servers"] = [names.address]
    configuration["send_connectors"] = {"Internet": {"address_spaces": ["*"], "private_targets_enabled": True}}
    return Relay(configuration, ports)


def hosts(network: str) -> dict[str, list[tuple[str, str]]]:
    """The addresses: mx1, mx2 and mx3 listen, nobody does at C{dead}."""
    return {f"{name}.test": [("A", f"{network}.{last}")] for name, last in (("mx1", 1), ("mx2", 2), ("mx3", 3), ("dead", 9))}


def test_which_host_mail_goes_to(network: str, sinks: tuple[Sink, Sink, Sink]) -> None:
    """Preference decides, equal ones share; one that is dead or says no is passed over; without MX the domain is its own host."""
    first, second, refusing = sinks
    refusing.on("connect", "554 5.3.2 no service here")
    with NameServer() as names, Sink() as mailbox:
        names.records = hosts(network) | {
            "prefers.test": [("MX", "20 mx1.test."), ("MX", "10 mx2.test.")],
            "passed.test": [("MX", "5 dead.test."), ("MX", "10 nowhere.test."), ("MX", "20 mx3.test."), ("MX", "30 mx1.test.")],
            "plain.test": [("A", f"{network}.2")],
            "bücher.test".encode("idna").decode(): [("MX", "10 mx1.test.")],
        }
        equal = [f"equal{number}.test" for number in range(16)]
        names.records |= {domain: [("MX", "10 mx1.test."), ("MX", "10 mx2.test.")] for domain in equal}
        wanted = {
            "user@prefers.test": second,
            "user@passed.test": first,
            "user@plain.test": second,
            f"user@[{network}.1]": first,
            "user@xn--bcher-kva.test": first,
        }
        with relay_by_dns(names, mailbox) as relay:
            relay.submit([*wanted, *(f"user@{domain}" for domain in equal)])
            for recipient, sink in wanted.items():
                eventually(lambda recipient=recipient, sink=sink: sink.for_recipient(recipient), recipient)  # type: ignore[misc]
            eventually(relay.is_empty, "nothing waits any more")
        shares = [sum(bool(sink.for_recipient(f"user@{domain}")) for domain in equal) for sink in (first, second)]
        assert sum(shares) == len(equal)
        assert all(shares), "equal preferences share"
        assert (refusing.delivered, mailbox.delivered) == ([], [])
        assert refusing.connections


def test_what_the_dns_says_no_to(network: str, sinks: tuple[Sink, Sink, Sink]) -> None:
    """No such domain, a null MX, hosts without addresses: returned at once.  A DNS that fails: mail waits, says why, and goes later."""
    with NameServer() as names, Sink() as mailbox:
        names.records = hosts(network) | {
            "null.test": [("MX", "0 .")],
            "empty.test": [],
            "nohost.test": [("MX", "10 nowhere.test.")],
            "later.test": [("MX", "10 mx1.test.")],
        }
        names.failing = {"later.test"}
        codes = {"null.test": "5.1.10", "empty.test": "5.4.4", "nohost.test": "5.4.4", "missing.test": "5.4.4"}
        with relay_by_dns(names, mailbox) as relay:
            for domain in (*codes, "later.test"):
                relay.submit([f"user@{domain}"], sender="boss@akkaya.local")
            eventually(lambda: len(mailbox.delivered) == len(codes), "four reports")
            for domain, code in codes.items():
                [report] = [each for each in mailbox.delivered if f"rfc822; user@{domain}".encode() in each.content]
                assert (report.sender, report.recipients) == ("", ("boss@akkaya.local",))
                assert f"\r\nStatus: {code}\r\n".encode() in report.content
            [row] = eventually(lambda: relay.queues(status="Retry"), "later.test waits")
            assert row["next_hop_domain"] == "later.test"
            assert row["last_error"].startswith("451 4.4.3")
            names.failing.clear()
            eventually(lambda: sinks[0].for_recipient("user@later.test"), "it arrives")
            eventually(relay.is_empty, "nothing waits any more")
        assert len(mailbox.delivered) == len(codes)
