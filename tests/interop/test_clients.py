"""Real client libraries and programs against the real daemon."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.end_to_end.relay import child_environment
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, eventually, unverified

PASSWORD = "päss wörd"
CONTENT = b"Subject: Test email\r\n\r\nTesting\r\n"

#: Twisted's own submission client; run in a process of its own, for its reactor.
TWISTED_CLIENT = """
import sys
from io import BytesIO
from OpenSSL import SSL
from twisted.internet import defer, ssl, task
from twisted.mail.smtp import ESMTPSenderFactory

class Trusting(ssl.ClientContextFactory):
    method = SSL.TLS_METHOD

def main(reactor, port, user, password):
    sent = defer.Deferred()
    content = BytesIO(b"Subject: Test email\\n\\n.Testing\\n")
    factory = ESMTPSenderFactory(user.encode(), password.encode(), user, ["cengiz@gmail.com", "user@akkaya.local"], content, sent,
                                 contextFactory=Trusting(), requireAuthentication=True, requireTransportSecurity=True)
    reactor.connectTCP("127.0.0.1", int(port), factory)
    return sent.addCallback(lambda result: print(result[0]))

task.react(main, sys.argv[1:])
"""


@pytest.fixture
def user(site: Site) -> str:
    """An account that may log in."""
    site.relay.add_user("cengiz@akkaya.local", PASSWORD)
    return "cengiz@akkaya.local"


def test_smtplib_anonymous(site: Site) -> None:
    """One session, many messages, one refused recipient among good ones."""
    with smtplib.SMTP(LOOPBACK, site.relay.port, timeout=60) as client:
        for _ in range(3):
            refused = client.sendmail("a@client.example", ["user@akkaya.local", "cengiz@gmail.com"], CONTENT)
            assert refused == {"cengiz@gmail.com": (550, b"5.7.54 SMTP; Unable to relay recipient in non-accepted domain")}
        assert client.vrfy("user")[0] == 252
        assert client.noop()[0] == 250
        assert client.rset()[0] == 250
        assert client.docmd("HELP")[0] == 214
    eventually(lambda: len(site.mailbox.delivered) == 3, "all three arrive")


@pytest.mark.parametrize("mechanism", ["plain", "login"])
@pytest.mark.parametrize("at_once", [True, False], ids=["initial response", "no initial response"])
def test_smtplib_login(site: Site, user: str, mechanism: str, at_once: bool) -> None:
    """AUTH PLAIN and LOGIN, with and without an initial response; a password beyond ASCII."""
    with smtplib.SMTP(LOOPBACK, site.relay.ports["submission"], timeout=60) as client:
        client.starttls(context=unverified())
        client.ehlo()

        def plain(challenge: bytes | None = None) -> str | None:
            return f"\0{user}\0{PASSWORD}" if challenge is not None or at_once else None

        answers = iter([user, PASSWORD])

        def login(challenge: bytes | None = None) -> str | None:
            return next(answers) if challenge is not None or at_once else None

        client.user, client.password = user, PASSWORD
        code, _ = auth(client, mechanism.upper(), plain if mechanism == "plain" else login, at_once)
        assert code == 235
        client.sendmail(user, "cengiz@gmail.com", CONTENT)
    eventually(lambda: site.outside.delivered, "it arrives")


def auth(client: smtplib.SMTP, mechanism: str, answer: Callable[[bytes | None], str | None], at_once: bool) -> tuple[int, bytes]:
    """An AUTH exchange in UTF-8, which smtplib's own cannot do."""
    from base64 import b64decode, b64encode

    def encoded(text: str | None) -> str:
        return b64encode((text or "").encode()).decode()

    code, text = client.docmd("AUTH", f"{mechanism} {encoded(answer(None))}" if at_once else mechanism)
    while code == 334:
        code, text = client.docmd(encoded(answer(b64decode(text))))
    return code, text


def test_twisteds_own_client(site: Site, user: str) -> None:
    """ESMTPSenderFactory with STARTTLS and AUTH."""
    command = [sys.executable, "-c", TWISTED_CLIENT, str(site.relay.ports["submission"]), user, PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=child_environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"
    eventually(lambda: site.outside.delivered and site.mailbox.delivered, "both arrive")
    assert site.outside.delivered[0].content.endswith(b"\r\n.Testing\r\n")


@pytest.mark.parametrize("options", [[], ["--pipeline"], ["-tls"], ["--protocol", "SMTP"]], ids=["plain", "pipelined", "STARTTLS", "HELO"])
def test_swaks(site: Site, program: Callable[[str], str], options: list[str]) -> None:
    """swaks in its ways of speaking."""
    command = [program("swaks"), "--server", LOOPBACK, "--port", str(site.relay.port), "--timeout", "60s", *options]
    command += ["--from", "a@client.example", "--to", "user@akkaya.local,other@akkaya.local"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    eventually(lambda: site.mailbox.delivered, "it arrives")
    assert sorted(site.mailbox.delivered[0].recipients) == ["other@akkaya.local", "user@akkaya.local"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_curl(site: Site, program: Callable[[str], str], user: str, mechanism: str, scheme: str) -> None:
    """curl with STARTTLS and implicit TLS, both mechanisms."""
    curl = program("curl")
    content = site.relay.directory / "mail"
    content.write_bytes(CONTENT)
    port = site.relay.ports["submission" if scheme == "smtp" else "submissions"]
    command = [
        curl,
        "-sS",
        "--ssl-reqd",
        "--insecure",
        "--url",
        f"{scheme}://{LOOPBACK}:{port}/client.example",
        "--login-options",
        f"AUTH={mechanism}",
    ]
    command += ["--user", f"{user}:{PASSWORD}", "--mail-from", user, "--mail-rcpt", "cengiz@gmail.com", "--mail-rcpt", "user@akkaya.local"]
    done = subprocess.run(
        [*command, "--upload-file", str(content), "--max-time", "60"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: site.outside.delivered and site.mailbox.delivered, "both arrive")
