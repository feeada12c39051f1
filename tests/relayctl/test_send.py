"""C{relayctl send}: the dialogue is shown, secrets are not, refusals are exit code 1."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import Result

from tests.relayctl.conftest import Relayctl
from tests.relayctl.smtpserver import SMTPServer
from twistedrelay.config.schema import Config
from twistedrelay.relayctl.session import Failure, Session
from twistedrelay.relayctl.verbs.send import Server, parse_server, server_of

Serve = Callable[..., SMTPServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers and ends them."""
    servers: list[SMTPServer] = []

    def start(*arguments: Any, **options: Any) -> SMTPServer:
        servers.append(SMTPServer(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def context() -> ssl.SSLContext:
    """A server's TLS, of a CA that nobody trusts."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(made)
    return made


def send(relayctl: Relayctl, server: SMTPServer, *options: str, stdin: str | None = None) -> Result:
    """A test message to a server."""
    base = ("send", "--server", f"127.0.0.1:{server.port}", "--from", "a@akkaya.local", "--to", "b@akkaya.local")
    return relayctl(*base, *options, stdin=stdin)


def test_each_step_is_shown(relayctl: Relayctl, serve: Serve) -> None:
    server = serve()
    result = send(relayctl, server, "--helo", "me.example", "--subject", "Test çok", "--body", "Selam")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"=== connecting to 127.0.0.1 port {server.port}"
    assert lines[1].startswith("<-- 220 relay ESMTP  (")
    sent = [line[4:] for line in lines if line.startswith("-->")]
    assert [line.split(" ")[0] for line in sent] == ["EHLO", "MAIL", "RCPT", "DATA", "(the", "QUIT"]
    assert "EHLO me.example" in sent
    assert "MAIL FROM:<a@akkaya.local>" in sent
    assert "RCPT TO:<b@akkaya.local>" in sent
    assert "<-- 250-8BITMIME" in lines
    assert lines[-1] == f"Accepted by 127.0.0.1 port {server.port}: queue id 854698491929 <x@y>"
    assert b"Subject: " in server.message
    assert b"To: b@akkaya.local\r\n" in server.message


def test_several_recipients_and_the_null_path(relayctl: Relayctl, serve: Serve) -> None:
    server = serve()
    result = relayctl("send", "--server", f"127.0.0.1:{server.port}", "--from", "<>", "--to", "b@x.example", "--to", "c@x.example")
    assert result.exit_code == 0, result.output
    assert "MAIL FROM:<>" in server.commands
    assert sum(command.startswith("RCPT") for command in server.commands) == 2


@pytest.mark.parametrize(
    ("verb", "reply", "hint"),
    [
        ("RCPT", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "Accept-Any-Recipient"),
        ("MAIL", "530 5.7.57 Client was not authenticated", "--user"),
        ("MAIL", "451 4.3.0 later", ""),
        ("DATA", "452 4.3.1 Insufficient system resources", ""),
        (".", "554 5.4.6 Hop count exceeded", ""),
        ("banner", "421 4.3.2 Service not available", " connector list`"),
    ],
)
def test_a_refusal_is_1_with_the_reply(relayctl: Relayctl, serve: Serve, verb: str, reply: str, hint: str) -> None:
    server = serve({verb: reply})
    result = send(relayctl, server)
    assert result.exit_code == 1
    assert reply in result.stdout
    assert reply[:9] in result.stderr
    assert hint in result.stderr
    assert "Traceback" not in result.output
    assert server.message == b"" or verb == "."


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_password_is_sent_but_never_shown(relayctl: Relayctl, serve: Serve, mechanism: str) -> None:
    answers = {} if mechanism == "PLAIN" else {"AUTH": "334 UGFzc3dvcmQ6"}
    server = serve(answers, extensions=(f"AUTH {mechanism}",))
    result = send(relayctl, server, "--user", "a@akkaya.local", "--password-stdin", "--no-tls", stdin="s3cret word\nmore\n")
    assert result.exit_code == 0, result.output
    assert f"--> AUTH {mechanism} ***" in result.stdout
    secrets = [
        b"s3cret word",
        base64.b64encode(b"s3cret word"),
        base64.b64encode(b"\0a@akkaya.local\0s3cret word"),
    ]
    assert any(secret.decode() in " ".join(server.commands) for secret in secrets)
    assert not any(secret.decode() in result.output for secret in secrets)


def test_a_failed_login_is_1(relayctl: Relayctl, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    server = serve({"AUTH": "535 5.7.3 Authentication unsuccessful"}, extensions=("AUTH PLAIN",))
    result = send(relayctl, server, "--user", "a", "--password-file", str(tmp_path / "secret"), "--no-tls")
    assert result.exit_code == 1
    assert "535 5.7.3" in result.stderr
    assert " user list`" in result.stderr
    assert "s3cret" not in result.output


def test_a_login_is_tried_once(relayctl: Relayctl, serve: Serve) -> None:
    server = serve({"AUTH": "535 5.7.3 Authentication unsuccessful"}, extensions=("AUTH LOGIN PLAIN",))
    result = send(relayctl, server, "--user", "a", "--password-stdin", "--no-tls", stdin="s3cret\n")
    assert result.exit_code == 1
    assert [command.split()[1] for command in server.commands if command.startswith("AUTH")] == ["PLAIN"]


def test_a_server_without_auth(relayctl: Relayctl, serve: Serve) -> None:
    result = send(relayctl, serve(), "--user", "a", "--password-stdin", "--no-tls", stdin="s3cret\n")
    assert result.exit_code == 1
    assert "AUTH" in result.stderr


def test_no_password_over_clear_text_unasked(relayctl: Relayctl, serve: Serve) -> None:
    server = serve(extensions=("AUTH PLAIN",))
    result = send(relayctl, server, "--user", "a", "--password-stdin", stdin="s3cret\n")
    assert result.exit_code == 1
    assert "--no-tls" in result.stderr
    assert not any(command.startswith("AUTH") for command in server.commands)


def test_starttls_where_offered(relayctl: Relayctl, serve: Serve, context: ssl.SSLContext) -> None:
    result = send(relayctl, serve(extensions=("STARTTLS",), context=context))
    assert result.exit_code == 0, result.output
    assert "--> STARTTLS" in result.stdout
    assert "=== TLS started: TLSv1." in result.stdout
    plain = send(relayctl, serve(extensions=("STARTTLS",), context=context), "--no-tls")
    assert plain.exit_code == 0
    assert "STARTTLS" not in [line[4:] for line in plain.stdout.splitlines() if line.startswith("-->")]


@pytest.mark.parametrize("option", ["--starttls", "--implicit-tls"])
def test_who_insists_on_tls_gets_a_valid_certificate_or_nothing(
    relayctl: Relayctl, serve: Serve, context: ssl.SSLContext, option: str
) -> None:
    implicit = option == "--implicit-tls"
    server = serve(extensions=("STARTTLS",), context=context, implicit=implicit)
    result = send(relayctl, server, option)
    assert result.exit_code == 1
    assert "--insecure" in result.stderr
    assert server.message == b""
    taken = send(relayctl, serve(extensions=("STARTTLS",), context=context, implicit=implicit), option, "--insecure")
    assert taken.exit_code == 0, taken.output
    assert "=== TLS started: TLSv1." in taken.stdout


def test_starttls_that_is_not_offered(relayctl: Relayctl, serve: Serve) -> None:
    result = send(relayctl, serve(), "--starttls")
    assert result.exit_code == 1
    assert "STARTTLS" in result.stderr


def test_hostile_replies_cannot_move_the_cursor(relayctl: Relayctl, serve: Serve) -> None:
    result = send(relayctl, serve({"RCPT": "550 5.1.1 \x1b[2Jgone"}))
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "\\x1b[2Jgone" in result.stderr


def test_nobody_listens(relayctl: Relayctl) -> None:
    result = relayctl("send", "--server", "127.0.0.1:1", "--from", "a@b.example", "--to", "c@d.example")
    assert result.exit_code == 1
    assert " status`" in result.stderr


@pytest.mark.parametrize(
    "options",
    [("--password-stdin",), ("--user", "a", "--password-stdin", "--password-file", "x"), ("--server", "a:b:c"), ("--subject", "a\nb")],
)
def test_usage(relayctl: Relayctl, options: tuple[str, ...]) -> None:
    assert relayctl("send", "--from", "a@b.example", "--to", "c@d.example", *options).exit_code == 2


@pytest.mark.parametrize("address", ["a\r\nRCPT TO:<x@y>@b.example", "ü@b.example"])
def test_addresses_that_cannot_be_sent(relayctl: Relayctl, serve: Serve, address: str) -> None:
    server = serve()
    result = relayctl("send", "--server", f"127.0.0.1:{server.port}", "--from", address, "--to", "c@d.example")
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert not any(command.startswith("RCPT") for command in server.commands)


def test_servers() -> None:
    assert parse_server("relay.example") == Server("relay.example", 25)
    assert parse_server("relay.example:465") == Server("relay.example", 465, implicit_tls=True)
    assert parse_server("[::1]:2525") == Server("::1", 2525)


def test_the_default_server_fits(config_file: Path) -> None:
    config: Config = Session(str(config_file)).config
    assert server_of(config, login=False) == Server("127.0.0.1", 25)
    assert server_of(config, login=True) == Server("127.0.0.1", 587)
    closed = config.model_copy(update={"receive_connectors": {}})
    with pytest.raises(Failure, match="AnonymousUsers"):
        server_of(closed, login=False)
