"""C{relayctl connector test}: a look from outside that sends nothing."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from tests.relayctl.conftest import RELAY_YAML, Relayctl
from tests.relayctl.smtpserver import SMTPServer


@pytest.fixture
def context() -> ssl.SSLContext:
    """A server's side of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("relay.akkaya.local").configure_cert(made)
    return made


def listen_on(config_file: Path, port: int, more: str = "") -> None:
    """Let IP_Relay, and nobody else, be bound to a port."""
    text = RELAY_YAML.replace('["0.0.0.0:25"]', f'["0.0.0.0:{port}"]{more}')
    config_file.write_text(text.replace('"192.168.1.55"', '"127.0.0.0/8"'))


def test_banner_tls_certificate_and_verdicts(relayctl: Relayctl, config_file: Path, context: ssl.SSLContext) -> None:
    server = SMTPServer({"RSET": "250 2.0.0 ok"}, ("STARTTLS", "SIZE 100"), context)
    listen_on(config_file, server.port)
    result = relayctl("connector", "test", "ip_relay", "--from", "a@b.example")
    server.close()
    assert result.exit_code == 0, result.output
    assert "=== TLS started: TLSv1." in result.stdout
    assert "=== certificate: " in result.stdout
    assert "--> RCPT TO:<postmaster@akkaya.local>" in result.stdout
    assert "--> RCPT TO:<someone@example.com>" in result.stdout
    verbs = [line.split()[0].upper() for line in server.commands]
    assert "DATA" not in verbs
    assert verbs.count("RSET") == 2
    assert server.message == b""


def test_for_machines(relayctl: Relayctl, config_file: Path) -> None:
    server = SMTPServer({"RCPT": "550 5.7.54 SMTP; Unable to relay", "RSET": "250 2.0.0 ok"}, ("SIZE 100",))
    listen_on(config_file, server.port)
    result = relayctl("connector", "test", "IP_Relay", "--to", "x@y.example", "--json")
    server.close()
    [row] = json.loads(result.stdout)
    assert (row["binding"], row["connector"], row["tls"], row["error"]) == (f"0.0.0.0:{server.port}", "IP_Relay", "", "")
    assert "SIZE 100" in row["ehlo"]
    assert row["verdicts"] == ["x@y.example: 550 5.7.54 SMTP; Unable to relay"]


def test_another_connector_that_answers_is_named(relayctl: Relayctl, config_file: Path) -> None:
    server = SMTPServer({"RSET": "250 2.0.0 ok"})
    config_file.write_text(RELAY_YAML.replace('"0.0.0.0:25"', f'"0.0.0.0:{server.port}"'))
    result = relayctl("connector", "test", "IP_Relay")
    server.close()
    assert "Default Frontend answers 127.0.0.1 here, not IP_Relay" in result.stdout


def test_where_nobody_listens(relayctl: Relayctl, config_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    listen_on(config_file, port)
    result = relayctl("connector", "test", "IP_Relay")
    assert result.exit_code == 1
    assert f"0.0.0.0:{port}: Connection refused" in result.stderr
    assert relayctl("connector", "test", "Nope").exit_code == 1
    assert relayctl("connector", "test", "IP_Relay", "--source-address", "here").exit_code == 2
