"""C{relayctl explain} against the real daemon: each answer is replayed by a real SMTP client, and the daemon says the same."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import smtplib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, PATIENCE, free_port
from twistedrelay.answers.explain.document import Explanation

PASSWORD = "correct horse"
USER = "cengiz@akkaya.local"

HANDSHAKE = "(TLS handshake)"
NO_TLS = "no TLS"

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """The article's relay, with an account, some more connectors and a dead smart host."""
    with Sink() as sink:
        configuration, ports = article(sink.hop, f"{LOOPBACK}:{free_port()}")
        common = {key: configuration["receive_connectors"]["Default Frontend"][key] for key in ("tarpit_interval", "bindings")}
        configuration["receive_connectors"] |= {
            "Strict": {
                **common,
                "remote_ip_ranges": ["127.0.0.3"],
                "permission_groups": ["AnonymousUsers"],
                "require_tls": True,
                "tls_minimum_version": "TLSv1.3",
            },
            "Slow": {
                **common,
                "remote_ip_ranges": [{"range": "127.0.0.4", "owner": "the lab"}],
                "permission_groups": ["AnonymousUsers"],
                "tarpit_interval": "1s",
                "max_message_size": "64KB",
                "max_recipients_per_message": 1,
            },
            "Few": {
                **common,
                "remote_ip_ranges": ["127.0.0.5"],
                "permission_groups": ["AnonymousUsers"],
                "max_inbound_connection_per_source": 1,
            },
            "Gone": {
                **common,
                "remote_ip_ranges": [{"range": "127.0.0.6", "expires": "2020-01-01"}],
                "permission_groups": ["AnonymousUsers"],
            },
        }
        configuration["receive_connectors"]["Default Frontend"]["remote_ip_ranges"] = ["127.0.0.0-127.0.0.9"]
        running = Relay(configuration, ports)
        with running:
            running.add_user(USER, PASSWORD, "--send-as", "sales@akkaya.local")
            yield running


def explain(relay: Relay, *arguments: str) -> Explanation:
    """The daemon's answer."""
    done = relay.relayctl("explain", *arguments, "--json")
    assert done.returncode in (0, 1), done.stderr
    told = Explanation.model_validate(json.loads(done.stdout))
    assert done.returncode == (0 if told.accepted else 1)
    assert told.live
    return told


class Replay(smtplib.SMTP):
    """A client that remembers each reply word for word."""

    def __init__(self, source: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.replies: list[str] = []
        self._tls = tls
        super().__init__(timeout=PATIENCE, source_address=(source, 0))
        self.connect(LOOPBACK, port)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        plain = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        return plain if self._tls is None else self._tls.wrap_socket(plain)

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        lines = text.decode().split("\n")
        self.replies.append("\n".join([f"{code}-{line}" for line in lines[:-1]] + [f"{code} {lines[-1]}"]))
        return code, text


def anything(minimum: ssl.TLSVersion | None = None, maximum: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context that believes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if minimum is not None and maximum is not None:
        context.minimum_version, context.maximum_version = minimum, maximum
    return context


def replayed(relay: Relay, told: Explanation, source: str, port: int, context: ssl.SSLContext | None = None) -> list[str]:
    """What a real client hears that says what the explanation says; C{"no TLS"} where the handshake fails."""
    implicit = told.dialogue[0].command == HANDSHAKE
    with contextlib.closing(Replay(source, port, (context or anything()) if implicit else None)) as client:
        for step in told.dialogue:
            if step.command == HANDSHAKE and not implicit:
                assert client.sock is not None
                try:
                    client.sock = (context or anything()).wrap_socket(client.sock)
                except ssl.SSLError:
                    return [*client.replies, NO_TLS]
                client.file = None
            elif step.command.startswith("AUTH"):
                client.docmd("AUTH PLAIN", base64.b64encode(f"\0{told.question.user}\0{PASSWORD}".encode()).decode())
            elif not step.command.startswith("("):
                client.docmd(step.command)
        return client.replies


def said(told: Explanation) -> list[str]:
    """The replies of an explanation."""
    return [step.reply or NO_TLS for step in told.dialogue if step.command != HANDSHAKE or not step.accepted]


def without_time(replies: list[str]) -> list[str]:
    """The same without the time in the banner."""
    return [re.sub(r"ready at .*", "ready", reply) for reply in replies]


RCPT = ("--mail", "a@cozumpark.com", "--rcpt", "user@akkaya.local", "--rcpt", "someone@example.com")

CASES = {
    "default": ("127.0.0.1", "relay", RCPT, "Default Frontend"),
    "relay": ("127.0.0.2", "relay", RCPT, "IP_Relay"),
    "must have TLS": ("127.0.0.3", "relay", RCPT, "Strict"),
    "has TLS": ("127.0.0.3", "relay", ("--tls", *RCPT), "Strict"),
    "old TLS": ("127.0.0.3", "relay", ("--tls", "1.2", *RCPT), "Strict"),
    "too large": ("127.0.0.4", "relay", ("--size", "100000", *RCPT), "Slow"),
    "too many": ("127.0.0.4", "relay", ("--size", "1000", "--rcpt", "user@akkaya.local", *RCPT), "Slow"),
    "expired": ("127.0.0.6", "relay", RCPT, "Default Frontend"),
    "nobody": ("127.0.0.77", "relay", RCPT, ""),
    "submission without TLS": ("127.0.0.1", "submission", ("--auth", USER, *RCPT), "Client Frontend"),
    "submission anonymous": ("127.0.0.1", "submission", RCPT, "Client Frontend"),
    "submission": ("127.0.0.1", "submission", ("--tls", "--auth", USER, "--mail", USER, *RCPT[2:]), "Client Frontend"),
    "as another": ("127.0.0.1", "submission", ("--tls", "--auth", USER, "--mail", "boss@akkaya.local", *RCPT[2:]), "Client Frontend"),
    "as allowed": ("127.0.0.1", "submission", ("--tls", "--auth", USER, "--mail", "sales@akkaya.local", *RCPT[2:]), "Client Frontend"),
    "implicit TLS": ("127.0.0.1", "submissions", ("--tls", "--auth", "CENGIZ@akkaya.local", "--mail", USER, *RCPT[2:]), "Submissions"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_client_hears_what_was_explained(relay: Relay, case: str) -> None:
    """From each address, word for word."""
    source, place, options, connector = CASES[case]
    port = relay.ports[place]
    told = explain(relay, "--from", source, "--to", f"{LOOPBACK}:{port}", "--ehlo", "client.example", *options)
    context = anything(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2) if "1.2" in options else None
    assert told.receive_connector == connector
    assert without_time(replayed(relay, told, source, port, context)) == without_time(said(told))


def test_what_counts_now_is_seen(relay: Relay) -> None:
    """A second connection of a source that may have one is refused, and the explanation says by which limit; asking costs nothing."""
    to = f"{LOOPBACK}:{relay.port}"
    assert explain(relay, "--from", "127.0.0.5", "--to", to).accepted
    with relay.dialogue(source="127.0.0.5"):
        told = explain(relay, "--from", "127.0.0.5", "--to", to)
        assert not told.accepted
        assert told.dialogue[0].reply.startswith("421 4.3.2")
        assert told.dialogue[0].reason == "max_inbound_connection_per_source"
        limit = next(one for one in told.limits if one.name == "max_inbound_connection_per_source")
        assert (limit.value, limit.current, limit.reached) == ("1", "1 now", True)
        with relay.dialogue(source="127.0.0.5") as second:
            assert second.banner == told.dialogue[0].reply


def test_the_queue_of_a_way_is_seen(relay: Relay) -> None:
    """Mail to outside waits for a dead smart host, and the explanation of the next one says so."""
    relay.submit(["someone@example.com"])
    told = explain(relay, "--from", "127.0.0.2", "--to", f":{relay.port}", *RCPT)
    route = next(route for route in told.routes if route.recipient == "someone@example.com")
    assert route.send_connector == "Internet"
    assert route.queue is not None
    assert route.queue.message_count >= 1


def test_without_a_daemon_the_file_answers(relay: Relay) -> None:
    """The same verdicts, with the lines of the file that decided."""
    asked = ("explain", "--from", "127.0.0.2", "--to", f":{relay.port}", *RCPT)
    live = Explanation.model_validate(json.loads(relay.relayctl(*asked, "--json").stdout))
    alone = Explanation.model_validate(json.loads(relay.relayctl(*asked, "--json", "--offline").stdout))
    assert not alone.live
    assert [(step.command, without_time([step.reply])) for step in alone.dialogue] == [
        (step.command, without_time([step.reply])) for step in live.dialogue
    ]
    assert [route.next_hop for route in alone.routes] == [route.next_hop for route in live.routes]
    line = int(alone.candidates[0].place.rpartition(":")[2])
    assert "127.0.0.2" in relay.file.read_text().splitlines()[line - 1]


def test_questions_without_an_answer(relay: Relay) -> None:
    """Usage is 2, and a port that nobody has is 1 with those that there are."""
    assert relay.relayctl("explain", "--from", "nonsense").returncode == 2
    assert relay.relayctl("explain", "--from", "127.0.0.1", "--mail", "no address").returncode == 2
    done = relay.relayctl("explain", "--from", "127.0.0.1", "--to", ":1")
    assert done.returncode == 1
    assert str(relay.port) in done.stderr
    assert relay.relayctl("explain", "--from", "127.0.0.1", "--to", ":1", "--offline").stderr == done.stderr


def test_names_of_the_dns(relay: Relay) -> None:
    """--resolve asks for the hosts of the next hop, by the daemon and without one."""
    asked = ("explain", "--from", "127.0.0.2", "--to", f":{relay.port}", *RCPT, "--resolve", "--json")
    for more in ((), ("--offline",)):
        routes = json.loads(relay.relayctl(*asked, *more).stdout)["routes"]
        assert all(LOOPBACK in route["targets"][0] for route in routes)
