"""Recipients known at RCPT: a list that changes, the real slapd, and a next hop that is asked, with the real daemon."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.accounts import PEOPLE, SERVICE, Program, Slapd
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, eventually
from tests.programs import in_ci

UNKNOWN = "550 5.1.1 User unknown"


def relay_with(next_hop: str, recipients: dict[str, Any], outside: str = "") -> Relay:
    """The article's relay, whose domain has these recipients."""
    configuration, ports = article(next_hop, outside)
    configuration["accepted_domains"]["akkaya.local"]["recipients"] = recipients
    return Relay(configuration, ports)


def replies(relay: Relay, *recipients: str, source: str = LOOPBACK, pipelined: bool = False) -> list[str]:
    """The replies to RCPT for addresses of our domain."""
    with relay.dialogue(source=source) as client:
        client.command("EHLO client.example")
        client.command("MAIL FROM:<a@client.example>")
        lines = [f"RCPT TO:<{one if '@' in one else f'{one}@akkaya.local'}>" for one in recipients]
        if not pipelined:
            return [client.command(line) for line in lines]
        client.send("".join(f"{line}\r\n" for line in lines).encode())
        return [client.reply() for _ in lines]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for slapd."""
    with tempfile.TemporaryDirectory(prefix="recipients-") as made:
        yield Path(made).resolve()


def test_a_list() -> None:
    """Unknown ones are refused at once, relay hosts are told nothing, a changed list counts, a broken one does not."""
    with Sink() as sink:
        relay = relay_with(sink.hop, {"file": "recipients"}, sink.hop)
        people = relay.directory / "recipients"
        people.write_text("# people\ncengiz\ninfo@akkaya.local\n")
        with relay:
            said = replies(relay, "Cengiz", "info", "nobody", "postmaster", "cengiz+shop", "x@outside.example")
            assert [line[:3] for line in said] == ["250", "250", "550", "250", "250", "550"]
            assert said[2].startswith(UNKNOWN)
            assert replies(relay, "nobody", source="127.0.0.2")[0].startswith("250 2.1.5")  # no oracle
            people.write_text("nobody\n")
            eventually(lambda: replies(relay, "nobody")[0].startswith("250"), "the list is read again")
            assert replies(relay, "cengiz")[0].startswith(UNKNOWN)
            people.write_text("two words@@\n\x01\n")
            eventually(lambda: "the old list of recipients stays in use" in relay.output(), "the broken list is told of")
            assert replies(relay, "nobody", "cengiz", pipelined=True)[0].startswith("250")


def test_a_list_that_cannot_be_used_is_a_finding() -> None:
    """The daemon does not start with it."""
    relay = relay_with("127.0.0.1:1", {"file": "recipients"})
    (relay.directory / "recipients").write_text("# nobody yet\n")
    found = relay.relayctl("check")
    assert found.returncode == 1 and "recipients.file" in found.stdout + found.stderr and "lists nobody" in found.stdout + found.stderr
    relay.close()


def test_slapd(place: Path, program: Program) -> None:
    """Mail and proxyAddresses count; where the directory is away, who was known stays known and others wait."""
    if not in_ci():
        pytest.importorskip("ldap")
    with Slapd(place, program) as slapd:
        (place / "password").write_text("look me up\n")
        settings = {"urls": [slapd.url], "tls_ca_file": "ca.pem", "bind_dn": SERVICE, "password_file": "password", "base": PEOPLE}
        (place / "ldap.yaml").write_text(yaml.safe_dump(settings))
        with relay_with(
            "127.0.0.1:1", {"ldap": str(place / "ldap.yaml"), "negative_cache_time": "0s", "positive_cache_time": "1s"}
        ) as relay:
            said = replies(relay, "cengiz", "INFO", "scanner", "scanner+x", "nobody", "half", "*", "c*z", "a)(mail=*", pipelined=True)
            assert [line[:3] for line in said] == ["250", "250", "250", "250", "550", "550", "550", "550", "501"]
            slapd.stop()
            said = replies(relay, "nobody", "cengiz")
            assert said[0].startswith("451 4.4.3") and said[1].startswith("250")
            eventually(lambda: replies(relay, "cengiz")[0].startswith("250"), "who was known stays known")


def test_the_next_hop_is_asked() -> None:
    """Its refusals at RCPT are ours; its answers are kept; while it is away all is taken; one that takes everything is told of."""
    with Sink() as sink:
        sink.on("rcpt", lambda address: None if address.startswith("c") else "550 5.1.1 no such user")
        with relay_with(sink.hop, {"call_ahead": True}) as relay:
            said = replies(relay, "cengiz", "nobody", "cengiz", "cem", "Nobody", pipelined=True)
            assert [line[:3] for line in said] == ["250", "550", "250", "250", "550"]
            assert sink.delivered == []
            asked = [line for line in sink.commands if line.startswith("RCPT") and "no-such-user" not in line]
            assert len(asked) == 3 and sink.commands.count("MAIL FROM:<>") == len([line for line in sink.commands if "RCPT" in line])
            with relay.dialogue() as client:
                client.command("EHLO client.example")
                assert client.message("a@client.example", ["cengiz@akkaya.local"], b"Subject: x\r\n\r\ny\r\n").startswith("250")
            eventually(lambda: sink.for_recipient("cengiz@akkaya.local"), "the message arrives")
            sink.stop()
            assert [line[:3] for line in replies(relay, "newcomer", "nobody", "cengiz")] == ["250", "550", "250"]
    with Sink() as sink, relay_with(sink.hop, {"call_ahead": True}) as relay:
        assert replies(relay, "anybody")[0].startswith("250")
        eventually(lambda: "takes every address of akkaya.local" in relay.output(), "it is found out")


def test_the_next_hop_does_not_answer() -> None:
    """It lets us wait: the session waits with us, in order, and no longer than some seconds; one that leaves takes nothing with it."""
    with Sink() as sink:
        sink.on("rcpt", lambda address: time.sleep(3))
        with relay_with(sink.hop, {"call_ahead": True}) as relay:
            with relay.dialogue() as client:
                client.send(
                    b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<one@akkaya.local>\r\nRSET\r\nMAIL FROM:<b@client.example>\r\n"
                )
            assert replies(relay, "one", "x@outside.example", "two", pipelined=True)[1].startswith("550 5.7.54")
