"""Back pressure against a real relay: thresholds that this machine passes at once, real clients, and the way back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.relay import TEST, Relay, article
from tests.network import Dialogue, eventually, stuffed

RESOURCES = "452 4.3.1 Insufficient system resources"
QUICK = {"resource_monitoring_interval": "100ms"}


def thresholds(medium: int, high: int) -> dict[str, int]:
    """Without hysteresis worth the name."""
    return {"low_to_medium": medium, "medium_to_high": high, "high_to_medium": medium, "medium_to_low": medium}


def pressed(**back_pressure: Any) -> Relay:
    """A relay with other thresholds."""
    configuration, ports = article("maildir:mail")
    configuration["transport"]["back_pressure"] = {**QUICK, **back_pressure}
    configuration["receive_connectors"]["Trusted"] = {
        **configuration["receive_connectors"]["IP_Relay"],
        "remote_ip_ranges": ["127.0.0.3"],
        "auth_mechanism": ["ExternalAuthoritative", "Tls"],
        "permission_groups": ["ExchangeServers"],
        "extended_rights": {},
    }
    return Relay(configuration, ports)


def mail(session: Dialogue) -> str:
    """The reply to MAIL."""
    assert session.command("EHLO client").startswith("250")
    return session.command("MAIL FROM:<a@akkaya.local>")


def level(relay: Relay) -> str:
    """The level now."""
    found: dict[str, Any] = relay.control.get("/v1/back-pressure")
    return str(found["level"])


@pytest.fixture
def memory_is_short() -> Iterator[Relay]:
    """Its own memory counts as Medium: it always has some, and never all."""
    with pressed(private_bytes=thresholds(0, 100)) as relay:
        eventually(lambda: level(relay) == "Medium", "the level is Medium")
        yield relay


def test_at_medium_strangers_are_refused_and_others_go_on(memory_is_short: Relay) -> None:
    relay = memory_is_short
    for source in ("127.0.0.1", "127.0.0.2"):
        with relay.dialogue(source=source) as stranger:
            assert mail(stranger) == RESOURCES
            assert stranger.command("NOOP").startswith("250")
    with relay.dialogue(source="127.0.0.3") as server:
        assert mail(server).startswith("250")
        assert server.command("RCPT TO:<user@akkaya.local>").startswith("250")
        assert server.command("DATA").startswith("354")
        server.send(stuffed(TEST))
        assert server.reply().startswith("250")
    eventually(lambda: list((relay.directory / "mail/new").glob("*")), "delivery goes on")
    assert "back pressure: private_bytes rises from Low to Medium: " in relay.output()
    eventually(lambda: 'refused "MAIL FROM:<a@akkaya.local>"' in relay.output(), "it is logged")
    shown = relay.status()
    assert shown["back_pressure"].startswith("Medium: private_bytes is Medium (")
    assert shown["health"] == "ready"


def test_at_high_everybody_is_refused_and_readiness_says_so() -> None:
    with pressed(private_bytes=thresholds(0, 0)) as relay:
        eventually(lambda: level(relay) == "High", "the level is High")
        for source in ("127.0.0.1", "127.0.0.3"):
            with relay.dialogue(source=source) as session:
                assert mail(session) == RESOURCES
        done = relay.relayctl("health", "--json")
        assert done.returncode == 1
        [failed] = [check for check in json.loads(done.stdout)["checks"] if not check["ok"]]
        assert failed["name"] == "back_pressure"
        assert failed["reason"].startswith("private_bytes is High")


def test_a_long_queue_slows_down_then_refuses_and_all_is_well_again_when_it_is_short() -> None:
    limits = {"low_to_medium": 2, "medium_to_high": 1000, "high_to_medium": 500, "medium_to_low": 2}
    relay = pressed(
        queue_length=limits,
        smtp_start_throttling_delay_interval="300ms",
        smtp_step_throttling_delay_interval="0s",
        submission_queue_history_depth=40,
    )
    relay.configuration["accepted_domains"]["away.example"] = {"next_hop": "127.0.0.9:9"}
    relay.write()
    with relay:
        for _ in range(3):
            relay.submit(["user@away.example"])
        eventually(lambda: level(relay) == "Medium", "the level is Medium")
        with relay.dialogue() as stranger:
            began = time.monotonic()
            assert mail(stranger).startswith("250")
            assert time.monotonic() - began >= 0.3

        def refused() -> bool:
            with relay.dialogue() as stranger:
                return mail(stranger) == RESOURCES

        eventually(refused, "slowing down did not help")
        waiting = [int(row["id"]) for row in relay.control.messages()]
        relay.control.remove(waiting[0], with_ndr=False)
        time.sleep(0.5)
        assert level(relay) == "Medium"  # not below the threshold yet: hysteresis
        relay.control.remove(waiting[1], with_ndr=False)
        eventually(lambda: level(relay) == "Low", "the level is Low")
        relay.submit(["user@akkaya.local"])
        eventually(lambda: "queue_length falls from Medium to Low: 1, below 2" in relay.output(), "it is logged")


def test_connections_beyond_their_rate_are_turned_away() -> None:
    configuration, ports = article("maildir:mail")
    configuration["transport"]["max_connection_rate_per_minute"] = 12
    with Relay(configuration, ports) as relay:
        said = []
        for _ in range(15):
            with Dialogue(relay.port, greeting=False) as session:
                said.append(session.reply())
        limit = "421 4.3.2 The rate of connections has exceeded a limit (max_connection_rate_per_minute), closing transmission channel"
        assert said[0].startswith("220")
        assert said[-1] == limit
