"""The protocol log of live sessions: the dialogue of verbose connectors, no secret, no content, nothing of others."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from twisted.internet.defer import maybeDeferred

from tests.net.relay import CLIENT, PASSWORD, Relay
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_log import ProtocolLog, heading
from twistedrelay.wire.server import SMTPServer

SCANNER = "10.1.2.3"


class Logged:
    """A relay with one verbose connector, and one for scanners that is not."""

    def __init__(self, path: Path) -> None:
        self.relay = Relay(
            {
                "Default Frontend": {"protocol_logging_level": "Verbose", "max_protocol_errors": 3},
                "Scanners": {"remote_ip_ranges": ["10.1.2.0/24"]},
            }
        )
        self.path = path
        log = ProtocolLog(
            self.relay.clock,
            LogDirectory(str(path), "RECV", heading),
            ["Default Frontend"],
            "EXCSERVER",
            maybeDeferred,
            lambda text: pytest.fail(text),
        )
        self.relay.replace(protocol_log=log, events=EventSink([self.relay.events, log]))

    @property
    def text(self) -> str:
        self.relay.clock.advance(1)
        return "".join(path.read_text() for path in sorted(self.path.iterdir())) if self.path.exists() else ""

    def rows(self) -> list[tuple[str, str, str]]:
        rows = list(csv.reader(line for line in self.text.splitlines() if not line.startswith("#")))
        assert [int(row[3]) for row in rows] == list(range(len(rows)))
        return [(row[6], row[7], row[8]) for row in rows]


@pytest.fixture
def logged(tmp_path: Path) -> Logged:
    return Logged(tmp_path / "protocol")


def test_a_session(logged: Logged) -> None:
    client = logged.relay.connect().begin("a@client.example")
    client.send(b"Subject: confidential\r\n\r\nNOOP in the body\r\n.\r\nRCPT TO:<x@y>\r\nQUIT\r\n")
    client.transport.close()
    rows = logged.rows()
    assert rows[0] == ("+", "", "")
    assert rows[1][2] == "Set Session Permissions"
    assert [text for event, text, _ in rows if event == "<"] == [
        "EHLO client.example",
        "MAIL FROM:<a@client.example>",
        "RCPT TO:<user@akkaya.local>",
        "DATA",
        "RCPT TO:<x@y>",
        "QUIT",
    ]
    said = [text[:3] for event, text, _ in rows if event == ">" and text[3] == " "]
    assert said == ["220", "250", "250", "250", "354", "250", "503", "221"]
    assert ("*", "1", "message queued") in rows
    assert rows[-1] == ("-", "", "QUIT")
    assert "confidential" not in logged.text
    assert "in the body" not in logged.text


def test_no_secret_is_logged(logged: Logged) -> None:
    client = logged.relay.connect()
    client.command("EHLO x.example")
    for password in ("wrong guess", PASSWORD):
        client.login(password)
    client.send(b"AUTH LOGIN\r\nQUIT\r\n")
    client.transport.close()
    rows = logged.rows()
    assert ("*", "cengiz@akkaya.local", "authenticated") in rows
    assert rows.count(("<", "AUTH PLAIN <authentication response>", "")) == 2
    for secret in (PASSWORD, "wrong", "AGNlbm"):
        assert secret not in logged.text


def test_what_is_said_unasked_is_logged(logged: Logged) -> None:
    client = logged.relay.connect()
    client.said()
    logged.relay.pass_time(310)
    client.transport.close()
    rows = logged.rows()
    assert rows[-2:] == [(">", "421 4.4.1 Connection timed out", ""), ("-", "", "connection_inactivity_timeout")]


def test_a_limit_that_fires_is_named(logged: Logged) -> None:
    client = logged.relay.connect()
    client.send(b"HURRAH\r\n" * 3)
    client.transport.close()
    rows = logged.rows()
    assert ("*", "", "refused: max_protocol_errors") in rows
    assert rows[-1] == ("-", "", "max_protocol_errors")


def test_another_connector_has_an_engine_that_tells_nothing(logged: Logged) -> None:
    client = logged.relay.connect(SCANNER)
    assert type(client.session.engine) is SMTPServer
    client.begin()
    client.transport.close()
    assert logged.text == ""
    assert type(logged.relay.connect(CLIENT).session.engine) is not SMTPServer


def test_a_session_that_becomes_another_clients_is_logged_from_then_on(tmp_path: Path) -> None:
    """The connector of the trusted host has no protocol logging, that of its client has."""
    inside = "192.168.1.55"
    relay = Relay({"Default Frontend": {"xclient_from": ["10.0.0.0/24"]}, "IP_Relay": {"remote_ip_ranges": [inside]}})
    log = ProtocolLog(relay.clock, LogDirectory(str(tmp_path), "RECV", heading), ["IP_Relay"], "EXCSERVER", maybeDeferred, pytest.fail)
    relay.replace(protocol_log=log, events=EventSink([relay.events, log]))
    client = relay.connect("10.0.0.9")
    client.command("EHLO gateway.example")
    client.send(f"XCLIENT ADDR={inside} PORT=4000\r\nQUIT\r\n".encode())
    client.transport.close()
    relay.clock.advance(1)
    lines = "".join(path.read_text() for path in tmp_path.iterdir()).splitlines()
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    assert [(row[6], row[7][:4]) for row in rows if row[6] != "*"] == [("+", ""), (">", "220 "), ("<", "QUIT"), (">", "221 "), ("-", "")]
    assert [int(row[3]) for row in rows] == list(range(len(rows)))
    assert {row[5] for row in rows} == {f"{inside}:4000"}
