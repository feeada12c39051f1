"""STARTTLS where nothing demands it: used where it works, never trusted, and never a way to slip replies in."""

from __future__ import annotations

import re

import trustme

from tests.end_to_end.authority import server_context, without_certificate
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import eventually


def test_opportunistic_tls() -> None:
    """A certificate that nobody knows is better than clear text; a handshake that fails is followed by clear text, once."""
    context = server_context(trustme.CA(), "unknown.test")
    with Sink(tls=context) as works, Sink(tls=without_certificate()) as broken, Sink(tls=context) as refuses, Sink(tls=context) as ignored:
        refuses.on("starttls", "454 4.7.0 not now")
        configuration, ports = article(works.hop)
        configuration["accepted_domains"] |= {"broken.test": {"next_hop": broken.hop}, "refuses.test": {"next_hop": refuses.hop}}
        configuration["send_connectors"] = {"Ignored": {"address_spaces": ["*"], "smart_hosts": [ignored.hop], "ignore_starttls": True}}
        with Relay(configuration, ports) as relay:
            relay.submit(["user@akkaya.local", "user@broken.test", "user@refuses.test", "user@example.test"])
            for sink in (works, broken, refuses, ignored):
                eventually(lambda sink=sink: sink.delivered, "it arrives")  # type: ignore[misc]
            eventually(relay.is_empty, "nothing waits any more")
            eventually(lambda: relay.output().count(" SEND ") == 4, "the log tells of all four")
            sent = [line for line in relay.output().splitlines() if " SEND " in line]
        assert [sink.delivered[0].secure for sink in (works, broken, refuses, ignored)] == [True, False, False, False]
        assert [sink.connections for sink in (works, broken, refuses, ignored)] == [1, 2, 1, 1]
        assert "STARTTLS" not in ignored.commands
        [line] = [line for line in sent if "<user@akkaya.local>" in line]
        assert re.search(r'tls="TLSv1\.3 TLS_\w+"', line), line
        assert sum("tls=" in line for line in sent) == 1


def test_replies_slipped_in_before_tls() -> None:
    """Octets behind the reply to STARTTLS were not said under TLS (response injection): the session ends, the message waits."""
    with Sink(tls=server_context(trustme.CA(), "unknown.test")) as sink:
        sink.on("starttls", "220 go on\r\n250-sink\r\n250 8BITMIME")
        configuration, ports = article(sink.hop)
        with Relay(configuration, ports) as relay:
            relay.submit(["user@akkaya.local"])
            [row] = eventually(lambda: relay.queues(status="Retry"), "it waits")
            assert "injection" in row["last_error"]
            assert not any(command.startswith("MAIL") for command in sink.commands)
            sink.on("starttls", None)
            eventually(lambda: sink.delivered, "it arrives")
            assert sink.delivered[0].secure
