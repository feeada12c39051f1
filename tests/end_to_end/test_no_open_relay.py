"""No way of changing a running relay makes it an open relay, and what the audit advises works to the letter."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.relay import Relay, article
from tests.network import eventually, free_port

pytestmark = pytest.mark.end_to_end

RIGHT = ("--user", "Anonymous Logon", "--extended-rights", "Accept-Any-Recipient")
OUTSIDE = "user@outside.example"


@pytest.fixture
def relay() -> Iterator[Relay]:
    configuration, ports = article("maildir:mail", "maildir:out")
    ports["open"] = free_port()
    wide = {"bindings": [f"0.0.0.0:{ports['open']}"], "permission_groups": ["AnonymousUsers"], "tarpit_interval": "0s"}
    configuration["receive_connectors"]["Wide"] = wide
    with Relay(configuration, ports) as running:
        yield running


def answer(relay: Relay) -> str:
    """What an anonymous client of the wide connector is told about a recipient elsewhere."""
    with relay.dialogue("open", source="127.0.0.7") as session:
        session.command("EHLO client")
        session.command("MAIL FROM:<a@b.example>")
        return session.command(f"RCPT TO:<{OUTSIDE}>")


def test_every_way_to_an_open_relay_is_refused(relay: Relay) -> None:
    written = relay.file.read_text()
    wide = ("--bindings", f"0.0.0.0:{free_port()}", "--permission-groups", "AnonymousUsers", "--remote-ip-ranges", "0.0.0.0/1")
    for command in (
        ("permission", "add", "Wide", *RIGHT),
        ("connector", "set", "Wide", "--add-extended-rights", "Anonymous Logon=Accept-Any-Recipient"),
        ("connector", "set", "Wide", "--add-auth-mechanism", "ExternalAuthoritative", "--permission-groups", "ExchangeServers"),
        ("connector", "set", "IP_Relay", "--bindings", f"0.0.0.0:{free_port()}", "--remote-ip-ranges", "0.0.0.0/0"),
        ("connector", "set", "IP_Relay", "--bindings", f"[::]:{free_port()}", "--add-remote-ip-ranges", "2000::/3"),
        ("connector", "add", "Another", *wide, "--extended-rights", "Anonymous Logon=Accept-Any-Recipient"),
        ("domain", "add", "*", "--domain-type", "InternalRelay"),
    ):
        for options in ((), ("--what-if",)):
            done = relay.relayctl(*command, *options)
            assert done.returncode == 1, (command, done.stdout, done.stderr)
            assert "open relay" in done.stderr, (command, done.stderr)
            assert "Nothing was changed." in done.stderr
    assert relay.file.read_text() == written
    assert not (relay.directory / "connectors.d").exists()

    relay.configuration["receive_connectors"]["Wide"]["extended_rights"] = {"Anonymous Logon": ["Accept-Any-Recipient"]}
    relay.write()
    done = relay.relayctl("reload")
    assert done.returncode == 1
    assert "this is an open relay" in done.stderr
    assert relay.process is not None
    relay.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was not changed: " in relay.output() and "open relay" in relay.output(), "SIGHUP is refused")
    assert answer(relay).startswith("550 5.7.54")
    relay.file.write_text(written)


def test_one_that_is_meant_is_a_finding_whose_cure_works(relay: Relay) -> None:
    """Who says that it is meant gets it, and each command that the audit gives does what it says."""
    assert relay.relayctl("connector", "set", "Wide", "--i-know-this-is-an-open-relay", "true").returncode == 0
    assert relay.relayctl("permission", "add", "Wide", *RIGHT).returncode == 0
    assert answer(relay).startswith("250")
    assert relay.relayctl("connector", "set", "Wide", "--i-know-this-is-an-open-relay", "false").returncode == 1, "not while it is one"
    assert relay.relayctl("connector", "set", "Wide", "--unset", "i_know_this_is_an_open_relay").returncode == 1

    def findings() -> list[dict[str, str]]:
        return [row for row in json.loads(relay.relayctl("audit", "--json").stdout) if row["object"].endswith("Wide")]

    [found] = [row for row in findings() if row["code"] == "open-relay"]
    words = shlex.split(found["cure"])
    assert words[0] == "relayctl"
    done = relay.relayctl(*words[1:])
    assert done.returncode == 0, (found["cure"], done.stderr)
    assert "open-relay" not in [row["code"] for row in findings()]
    assert answer(relay).startswith("550 5.7.54")
